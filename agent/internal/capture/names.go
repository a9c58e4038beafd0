package capture

import (
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// How well a name on a printer fits a print's, the best first.
const (
	fitFile    = iota // it is the file that the printer names
	fitExact          // the print's name with a suffix
	fitPlain          // apart from characters that cannot be in a file name, blanks and case
	fitLetters        // in its letters and digits
	fitLatin          // in those that every file system has
	fitCut            // as far as it goes: it was cut
)

// Shortest names that may fit that loosely.
const (
	leastLetters = 3
	leastLatin   = 6
	leastCut     = 24
)

// wanted is what the 3MF of a print may be called, and where it may be.
type wanted struct {
	file  string   // base name of what the printer names, "" when that tells nothing
	dir   string   // its folder, "" when not told
	stems []string // names without suffixes
}

// wantedOf reads the names that a printer gave for a print. A plate's G-code within
// the job (/data/Metadata/plate_1.gcode) tells nothing; one extracted beside it
// (x_plate_1.gcode) does.
func wantedOf(j job) wanted {
	var w wanted
	add := func(stem string) {
		if stem = strings.TrimSpace(stem); stem != "" && !slices.Contains(w.stems, stem) {
			w.stems = append(w.stems, stem)
		}
	}
	add(stemOf(j.Name))
	file := path.Base("/" + j.File)
	if file == "/" || plateFile(file) {
		return w
	}
	w.file = file
	w.dir = folderOf(j.File)
	add(stemOf(file))
	if stem, ok := withoutPlate(stemOf(file)); ok {
		add(stem)
	}
	return w
}

// mounts is where printers have the card or stick that their file server shows as its
// root; what else they name is out of its reach.
var mounts = []string{"/mnt/sdcard", "/sdcard", "/media/usb0"}

// inside are folders of a printer that no file server shows.
var inside = []string{"/data", "/userdata", "/mnt", "/media", "/usr", "/tmp"}

// folderOf is the folder of a file in which a file server may show it, "" when that is
// the root or unknown.
func folderOf(file string) string {
	if !strings.HasPrefix(file, "/") {
		return ""
	}
	dir := path.Dir(path.Clean(file))
	for _, mount := range mounts {
		if rest, ok := below(dir, mount); ok {
			dir = path.Join("/", rest)
			break
		}
	}
	for _, gone := range inside {
		if _, ok := below(dir, gone); ok {
			return ""
		}
	}
	if dir == "/" {
		return ""
	}
	return dir
}

func below(dir, top string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(dir, top)
	return rest, ok && (rest == "" || rest[0] == '/')
}

// plateFile: a name that only says which plate it is.
func plateFile(name string) bool {
	return strings.HasPrefix(name, "plate_") && strings.HasSuffix(name, ".gcode")
}

// withoutPlate takes "_plate_3" off the end of a name.
func withoutPlate(stem string) (string, bool) {
	at := strings.LastIndex(stem, "_plate_")
	if at <= 0 || strings.Trim(stem[at+len("_plate_"):], "0123456789") != "" {
		return stem, false
	}
	return stem[:at], true
}

// stemOf takes the suffixes off, however many there are.
func stemOf(name string) string {
	for {
		cut := name
		for _, suffix := range []string{".3mf", ".gcode"} {
			if n := len(cut) - len(suffix); n > 0 && strings.EqualFold(cut[n:], suffix) {
				cut = cut[:n]
			}
		}
		if cut == name {
			return name
		}
		name = cut
	}
}

// is3MF tells the suffix of the files that are looked for.
func is3MF(name string) bool { return strings.EqualFold(path.Ext(name), ".3mf") }

// fit tells how well a file's name fits.
func (w wanted) fit(name string) (rank int, ok bool) {
	if !is3MF(name) {
		return 0, false
	}
	if w.file != "" && name == w.file {
		return fitFile, true
	}
	rank = fitCut + 1
	have := stemOf(name)
	for _, want := range w.stems {
		rank = min(rank, fitOf(have, want))
	}
	return rank, rank <= fitCut
}

func fitOf(have, want string) int {
	switch {
	case have == want:
		return fitExact
	case plain(have) == plain(want):
		return fitPlain
	case same(have, want, letters, leastLetters):
		return fitLetters
	case letters(have) == latin(have) && same(have, want, latin, leastLatin): // it lost the others
		return fitLatin
	case len(have) >= leastCut && strings.HasPrefix(plain(want), strings.TrimRight(plain(have), "_.")):
		return fitCut
	default:
		return fitCut + 1
	}
}

func same(a, b string, of func(string) string, least int) bool {
	a, b = of(a), of(b)
	return len(a) >= least && a == b
}

// forbidden are characters that FAT does not take.
const forbidden = `/\:*?"<>|`

// plain writes a name as a card would: with underscores for what it does not take.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == utf8.RuneError || unicode.IsControl(r) || strings.ContainsRune(forbidden, r) {
			return '_'
		}
		return unicode.ToLower(r)
	}, strings.TrimSpace(name))
}

func letters(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
}

func latin(name string) string {
	return strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII {
			return -1
		}
		return r
	}, letters(name))
}

// direct are the names to try where a folder cannot be listed.
func (w wanted) direct() []string {
	var names []string
	add := func(name string) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if is3MF(w.file) {
		add(w.file)
	}
	for _, stem := range w.stems {
		card := strings.Map(func(r rune) rune {
			if unicode.IsControl(r) || strings.ContainsRune(forbidden, r) {
				return '_'
			}
			return r
		}, stem)
		for _, s := range []string{card, strings.ReplaceAll(card, " ", "_")} {
			add(s + ".gcode.3mf")
			add(s + ".3mf")
		}
	}
	return names
}
