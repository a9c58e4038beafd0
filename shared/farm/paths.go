package farm

import (
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Stem is a file's name without what tells that it is a 3MF or G-code.
func Stem(name string) string {
	for _, suffix := range []string{".gcode.3mf", ".3mf", ".gcode"} {
		if n := len(name) - len(suffix); n > 0 && strings.EqualFold(name[n:], suffix) {
			return name[:n]
		}
	}
	return name
}

// PrintDir is where the objects of a print are, below its site: readable, in the
// order of time, and unique by the id at its end.
func PrintDir(p Print) string {
	at := p.CreatedAt.UTC()
	who := p.PrinterName
	if p.Kind == KindFile {
		who = "uploads"
	}
	return path.Join(Slug(who, 40), at.Format("2006/01/02"), fmt.Sprintf("%s-%s-%d", at.Format("150405"), Slug(p.Name, 60), p.ID))
}

// FileName is what a file of a print is called in its folder.
func FileName(role, model string) string {
	switch role {
	case RoleThumbnail:
		return "thumbnail.jpg"
	case RoleFinish:
		return "finish.jpg"
	case RoleTimelapse:
		return "timelapse.mp4"
	case RoleRecord:
		return "print.json"
	default:
		name := SafeName(model, 120)
		if !strings.HasSuffix(strings.ToLower(name), ".3mf") {
			name += ".3mf" // or it might be called as one of the others
		}
		return name
	}
}

// FileRole tells whether a word is the role of a file that agents bring.
func FileRole(role string) bool {
	switch role {
	case RoleModel, RoleThumbnail, RoleFinish, RoleTimelapse:
		return true
	default:
		return false
	}
}

// Slug makes a part of a path out of a text: letters and digits of any script,
// dashes for the rest, at most limit bytes, never empty.
func Slug(text string, limit int) string {
	var out strings.Builder
	dash := false
	for _, r := range text {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' && r != '.' {
			dash = out.Len() > 0
			continue
		}
		if out.Len()+utf8.RuneLen(r)+1 > limit {
			break
		}
		if dash {
			out.WriteByte('-')
		}
		dash = false
		out.WriteRune(r)
	}
	slug := strings.Trim(out.String(), ".")
	switch {
	case slug == "":
		return "unnamed"
	case ReservedName(slug):
		return "_" + slug
	}
	return slug
}

// ReservedName tells whether Windows takes a file name for a device, whatever follows
// its first dot.
func ReservedName(name string) bool {
	stem, _, _ := strings.Cut(strings.ToUpper(name), ".")
	switch stem = strings.TrimRight(stem, " "); stem {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	device, number := strings.TrimRight(stem, "0123456789¹²³"), strings.TrimLeft(stem, "COMLPT")
	return (device == "COM" || device == "LPT") && utf8.RuneCountInString(number) == 1
}

// SafeName makes a file name of at most limit bytes that every file system and every
// S3 tool takes, as like the given one as can be; its suffix survives.
func SafeName(name string, limit int) string {
	name = strings.ToValidUTF8(name, "_")
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || strings.ContainsRune(`/\:*?"<>|`, r) {
			return '_'
		}
		return r
	}, name)
	name = strings.TrimRight(strings.TrimSpace(name), ". ")
	if len(name) > limit {
		stem, suffix := Stem(name), ""
		if suffix = name[len(stem):]; len(suffix) > limit/2 {
			suffix = ""
		}
		cut := limit - len(suffix)
		for cut > 0 && !utf8.RuneStart(stem[cut]) {
			cut--
		}
		name = strings.TrimRight(stem[:cut]+suffix, ". ")
	}
	switch {
	case strings.Trim(name, ".") == "":
		return "unnamed"
	case ReservedName(name):
		return "_" + name
	}
	return name
}

// IsSHA256 tells whether a text is a hash as it is written everywhere here.
func IsSHA256(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}
