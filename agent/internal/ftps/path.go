package ftps

import (
	pathpkg "path"
	"strings"
	"unicode"
	"unicode/utf8"

	"bambuddy/shared/farm"
)

// Limits of names. Storage of printers is FAT: names have at most 255 UTF-16 units.
const (
	maxPath = 1024
	maxName = 765
)

// checkPath takes clean absolute paths of names a printer could hold.
func checkPath(path string) error {
	switch {
	case !strings.HasPrefix(path, "/"):
		return farm.Errorf(farm.Invalid, "path: must begin with /")
	case len(path) > maxPath:
		return farm.Errorf(farm.Invalid, "path: at most %d bytes", maxPath)
	case path == "/":
		return nil
	case pathpkg.Clean(path) != path:
		return farm.Errorf(farm.Invalid, "path: no empty parts, no . or .., no / at the end")
	}
	for name := range strings.SplitSeq(path[1:], "/") {
		if !usable(name) {
			return farm.Errorf(farm.Invalid, "path: has characters or names that no printer can hold")
		}
	}
	return nil
}

// checkFile is checkPath for what cannot be the root.
func checkFile(path string) error {
	if path == "/" {
		return farm.Errorf(farm.Invalid, "path: / is a folder")
	}
	return checkPath(path)
}

// usable tells whether a name can be part of a path, here and on any computer
// that unpacks it later.
func usable(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= maxName && utf8.ValidString(name) &&
		!strings.ContainsAny(name, `/\`) && !strings.ContainsFunc(name, unicode.IsControl)
}

// decode reads a printer's bytes: UTF-8, or else Latin-1.
func decode(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return string(runes)
}

// latin1 is the other way to send a path; false when there is none, or none
// that differs. 0xFF is a command of Telnet, on which FTP stands.
func latin1(path string) (string, bool) {
	var b []byte
	for _, r := range path {
		if r >= 0xFF {
			return "", false
		}
		b = append(b, byte(r))
	}
	return string(b), len(b) != len(path)
}
