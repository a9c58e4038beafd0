// Package threemf reads the job archives of Bambu Lab printers: .3mf files, sliced
// (.gcode.3mf) and not. It tells the plates, what they need and how they look, and it
// opens pictures and G-code.
//
// Files come from printers, slicers and strangers. Whatever they hold, reading one
// takes little memory and little time: the container is checked before anything in it
// is read, every part is read up to a bound, and a file that plays tricks is refused
// with a reason. Parts that are missing, or that a slicer wrote oddly, are no reason
// to refuse: what can be read is told.
//
// The format is described nowhere officially; the facts here were found in files of
// Bambu Studio and OrcaSlicer. The package is pure: it reads from the io.ReaderAt it
// is given and keeps nothing open.
package threemf

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Kind is why a file is refused.
type Kind string

// The kinds of refusals.
const (
	Damaged Kind = "damaged" // cut short, or no ZIP at all
	Not3MF  Kind = "not_3mf" // a ZIP of something else
	Hostile Kind = "hostile" // made to do harm, or to look like another file
	Missing Kind = "missing" // the part that was asked for is not there
)

// Error is a refusal. Reason is for a person.
type Error struct {
	Kind   Kind
	Reason string
}

// Error is the reason.
func (e *Error) Error() string { return e.Reason }

// Is tells whether an error is a refusal of that kind.
func Is(err error, kind Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == kind
}

func refuse(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, Reason: fmt.Sprintf(format, args...)}
}

// File is an archive that was opened. Its methods may be called concurrently as far
// as its io.ReaderAt may.
type File struct {
	// Title, Designer and Application are of the model; "" when it does not say.
	Title, Designer, Application string
	Settings                     Settings

	members map[string]*zip.File
	plates  []Plate
}

// Settings are of the whole project.
type Settings struct {
	PrinterModel string    // "Bambu Lab A1"
	PrintProfile string    // "0.20mm Standard @BBL A1"
	LayerHeight  float64   // mm; 0 unknown
	Nozzles      []float64 // mm
	BedType      string    // "Textured PEI Plate"
	Filaments    []SettingsFilament
}

// SettingsFilament is one filament of the project, used or not.
type SettingsFilament struct {
	Type, Color, Preset, PresetID string
}

// Plate is one plate of a file. What is not known is zero.
type Plate struct {
	Index          int    // from 1; there may be gaps
	Name           string // as a person called it
	GcodePath      string // "" when it is not sliced
	Prediction     int64  // seconds
	Weight         float64
	Metres         float64 // of filament, in all
	Objects        []Object
	Filaments      []Filament // those that are used
	PrinterModelID string
	Nozzles        []float64 // mm
	BedType        string
	LayerHeight    float64 // mm
	TotalLayers    int
	SupportUsed    bool
	Skippable      bool // its objects can be skipped while it prints
	Timelapse      int  // 0 traditional, 1 smooth, -1 not possible
	Pictures       []PictureKind
}

// Object is one printable instance.
type Object struct {
	ID      int // as skip_objects and the G-code know it
	Name    string
	Skipped bool
}

// Filament is one that a plate uses.
type Filament struct {
	ID       int // of the project, from 1; there may be gaps
	Type     string
	Color    string // #RRGGBB
	PresetID string
	Grams    float64
	Metres   float64
}

// PictureKind says which picture of a plate.
type PictureKind string

// The pictures of a plate.
const (
	PlatePicture PictureKind = "plate"          // 512 × 512
	SmallPicture PictureKind = "plate_small"    // 128 × 128
	NoLight      PictureKind = "plate_no_light" // without shading
	TopPicture   PictureKind = "top"
	PickPicture  PictureKind = "pick" // colours stand for objects
)

var pictureKinds = []PictureKind{PlatePicture, SmallPicture, NoLight, TopPicture, PickPicture}

func (k PictureKind) path(n int) string {
	if k == SmallPicture {
		return fmt.Sprintf("Metadata/plate_%d_small.png", n)
	}
	return fmt.Sprintf("Metadata/%s_%d.png", k, n)
}

func gcodePath(n int) string { return fmt.Sprintf("Metadata/plate_%d.gcode", n) }

// Open reads a file of size bytes. Errors are *Error, or of reading r.
func Open(r io.ReaderAt, size int64) (*File, error) {
	members, err := container(r, size)
	if err != nil {
		return nil, err
	}
	f := &File{members: members}
	if f.members["3D/3dmodel.model"] == nil && len(f.slicedPlates()) == 0 {
		return nil, refuse(Not3MF, "it is a ZIP file, but no 3MF: it holds neither a model nor G-code")
	}
	for _, read := range []func() error{f.readModel, f.readProject, f.readSettings, f.readSlices, f.readPlates} {
		if err := read(); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// slicedPlates are the numbers of plates that hold G-code.
func (f *File) slicedPlates() (out []int) {
	for name := range f.members {
		digits, ok := strings.CutPrefix(name, "Metadata/plate_")
		if digits, isCode := strings.CutSuffix(digits, ".gcode"); ok && isCode {
			if n, err := strconv.Atoi(digits); err == nil && n > 0 && n <= maxPlates && gcodePath(n) == name {
				out = append(out, n)
			}
		}
	}
	slices.Sort(out)
	return out
}

// Sliced tells whether a plate can be printed.
func (f *File) Sliced() bool { return len(f.slicedPlates()) > 0 }

// Plates are all plates, by number.
func (f *File) Plates() []Plate { return slices.Clone(f.plates) }

// Plate gives one.
func (f *File) Plate(n int) (Plate, bool) {
	i := slices.IndexFunc(f.plates, func(p Plate) bool { return p.Index == n })
	if i < 0 {
		return Plate{}, false
	}
	return f.plates[i], true
}

// plate gives a plate to write to, and makes it when it is new.
func (f *File) plate(n int) *Plate {
	i, found := slices.BinarySearchFunc(f.plates, n, func(p Plate, n int) int { return p.Index - n })
	if !found {
		f.plates = slices.Insert(f.plates, i, Plate{Index: n})
	}
	return &f.plates[i]
}

// Picture opens a picture of a plate, with its size in bytes.
func (f *File) Picture(n int, kind PictureKind) (io.ReadCloser, int64, error) {
	return f.open(kind.path(n), maxPicture)
}

// Gcode opens the G-code of a plate.
func (f *File) Gcode(n int) (io.ReadCloser, error) {
	r, _, err := f.open(gcodePath(n), maxMember)
	return r, err
}

// GcodeMD5 is the MD5 of a plate's G-code as the file tells it, upper-case hex.
func (f *File) GcodeMD5(n int) (string, error) {
	b, err := f.read(gcodePath(n)+".md5", 64)
	return strings.ToUpper(strings.TrimSpace(string(b))), err
}

// open opens a member of at most most bytes.
func (f *File) open(name string, most int64) (io.ReadCloser, int64, error) {
	m := f.members[name]
	if m == nil {
		return nil, 0, refuse(Missing, "there is no %s in it", path.Base(name))
	}
	size := int64(m.UncompressedSize64) //nolint:gosec // checked by container
	if size > most {
		return nil, 0, refuse(Hostile, "%s has %d bytes, more than %d", path.Base(name), size, most)
	}
	r, err := m.Open()
	if err != nil {
		return nil, 0, refuse(Damaged, "%s cannot be read: %v", path.Base(name), err)
	}
	return &bounded{r, size}, size, nil
}

// bounded reads what a member says to hold and no more.
type bounded struct {
	io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		// The end is where the ZIP checks the sum.
		if n, err := b.ReadCloser.Read(make([]byte, 1)); n > 0 || err != nil && !errors.Is(err, io.EOF) {
			return 0, refuse(Damaged, "it holds something else than it says")
		}
		return 0, io.EOF
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if errors.Is(err, io.EOF) && b.left > 0 {
		return n, refuse(Damaged, "it is cut short")
	}
	if errors.Is(err, io.EOF) {
		return n, nil
	}
	return n, err
}

// read reads a small member whole; one that is not there is empty.
func (f *File) read(name string, most int64) ([]byte, error) {
	r, _, err := f.open(name, most)
	if Is(err, Missing) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	b, err := io.ReadAll(r)
	if err != nil {
		var known *Error
		if errors.As(err, &known) {
			return nil, err
		}
		return nil, refuse(Damaged, "%s cannot be read: %v", path.Base(name), err)
	}
	return b, nil
}
