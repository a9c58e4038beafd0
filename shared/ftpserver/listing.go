package ftpserver

import (
	"bytes"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// recent is how old a file is whose time of day is told instead of its year.
const recent = 180 * 24 * time.Hour

// withoutOptions drops what clients mean for ls: "-la /cache".
func withoutOptions(arg string) string {
	for strings.HasPrefix(arg, "-") {
		_, arg, _ = strings.Cut(arg, " ")
	}
	return arg
}

// listing makes the lines of a directory, or of one file.
func (c *session) listing(arg string, line func(fs.FileInfo) string) ([]byte, error) {
	name, storage := c.resolve(arg), c.storage()
	info, err := storage.Stat(name)
	if err != nil {
		return nil, err
	}
	in := []fs.FileInfo{info}
	if info.IsDir() {
		if in, err = storage.ReadDir(name); err != nil {
			return nil, err
		}
	}
	if c.character().SortedLists {
		in = slices.Clone(in)
		slices.SortFunc(in, func(a, b fs.FileInfo) int { return strings.Compare(a.Name(), b.Name()) })
	}
	var out bytes.Buffer
	for _, i := range in {
		out.WriteString(line(i) + "\r\n")
	}
	return out.Bytes(), nil
}

// longLine is a line as ls -l makes it, in UTC.
func longLine(i fs.FileInfo) string {
	mode, links, size := "-rw-r--r--", 1, i.Size()
	if i.IsDir() {
		mode, links, size = "drwxr-xr-x", 2, 4096
	}
	form := "Jan _2 15:04"
	if age := time.Since(i.ModTime()); age > recent || age < -24*time.Hour {
		form = "Jan _2  2006"
	}
	return fmt.Sprintf("%s %4d %-8s %-8s %8d %s %s", mode, links, "1000", "1000", size, i.ModTime().UTC().Format(form), i.Name())
}

// nameLine is a name, after the path that was asked for or without it.
func nameLine(arg string, withPath bool) func(fs.FileInfo) string {
	return func(i fs.FileInfo) string {
		if withPath && arg != "" {
			return strings.TrimSuffix(arg, "/") + "/" + i.Name()
		}
		return i.Name()
	}
}

// hostileLines are lines that no honest server sends.
func hostileLines() []byte {
	var out bytes.Buffer
	for _, name := range []string{
		"..", ".", "../../etc/passwd", "/etc/passwd", "a/b.3mf", `..\..\windows`, "esc\x1b[31mred", "nul\x00byte.3mf", "cr\rreturn.3mf",
		"W\xfcrfel.3mf", "\u202egnp.3mf", strings.Repeat("long", 2000) + ".3mf", "",
	} {
		fmt.Fprintf(&out, "-rw-r--r--    1 1000     1000           12 Jun 17  2025 %s\r\n", name)
	}
	out.WriteString("-rw-r--r--    1 1000     1000     99999999999999999999999 Jun 17  2025 huge.3mf\r\n")
	out.WriteString("-rw-r--r--    1 1000     1000           -5 Foo 99  9999 negative.3mf\r\n")
	out.WriteString("lrwxrwxrwx    1 0        0               7 Jun 17  2025 link.3mf -> /etc/shadow\r\n")
	out.WriteString("total nonsense\r\n\r\n\xff\xfe\r\n")
	return out.Bytes()
}

// endless is a listing without an end.
type endless struct {
	made int
	rest string
}

func (e *endless) Read(b []byte) (int, error) {
	if e.rest == "" {
		e.made++
		e.rest = fmt.Sprintf("-rw-r--r--    1 1000     1000         1000 Jun 17  2025 file-%d.3mf\r\n", e.made)
	}
	n := copy(b, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}
