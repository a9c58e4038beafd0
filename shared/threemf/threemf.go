// Package threemf reads the job archives of Bambu Lab printers: .3mf files, sliced
// (.gcode.3mf) and not. It tells the plates, what they need and how they look, and it
// opens pictures and G-code.
//
// Files come from printers, slicers and strangers. Whatever they hold, reading one
// takes little memory and little time: the container is checked before anything in it
// is read, every part is read up to a bound, all of them together up to another, and a
// file that plays tricks is refused with a reason. Parts that are missing, or that a
// slicer wrote oddly, are no reason to refuse: what can be read is told.
//
// The format is described nowhere officially; the facts here were found in files of
// Bambu Studio and OrcaSlicer. The package is pure: it reads from the io.ReaderAt it
// is given, in few and large reads, and keeps nothing open.
package threemf

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// File is an archive that was opened. Its methods may be called concurrently as far
// as its io.ReaderAt may. What they answer is shared: it is not for writing to.
type File struct {
	// Title, Designer and Application are of the model; "" when it does not say.
	Title, Designer, Application string
	Settings                     Settings

	r       io.ReaderAt
	members map[string]*member // by name, in lower case
	plates  []Plate            // by number
}

// Settings are of the whole project. What is not known is zero.
type Settings struct {
	PrinterModel string    // "Bambu Lab A1"
	PrintProfile string    // "0.20mm Standard @BBL A1"
	LayerHeight  float64   // mm
	Nozzles      []float64 // mm, by extruder
	BedType      string    // "Textured PEI Plate"
	Filaments    []SettingsFilament
}

// SettingsFilament is one filament of the project, used or not. The first has the id 1.
type SettingsFilament struct {
	Type, Color, Preset, PresetID string
}

// Plate is one plate of a file. What is not known is zero.
type Plate struct {
	Index          int    // from 1; there may be gaps
	Name           string // as a person called it
	GcodePath      string // "" when it is not sliced
	Prediction     int64  // seconds, start sequence included
	Weight         float64
	Metres         float64 // of filament, in all
	Objects        []Object
	Filaments      []Filament // those that are used
	PrinterModelID string     // "N2S"
	Nozzles        []float64  // mm, by extruder
	BedType        string     // "Textured PEI Plate"
	LayerHeight    float64    // mm
	TotalLayers    int
	SupportUsed    bool
	Skippable      bool // its objects can be skipped while it prints
	Timelapse      int  // 0 traditional, 1 smooth, -1 not possible
	Header         Header
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
	Nozzle   float64 // mm
	Extruder int     // 1 left or the only one, 2 right, 0 not told
}

// Header is what the first lines of a plate's G-code say. Lists are by used filament.
type Header struct {
	Slicer      string // "BambuStudio 02.04.00.70"
	ModelTime   int64  // seconds, without the start sequence
	TotalTime   int64  // seconds
	TotalLayers int
	MaxZ        float64 // mm
	LayerHeight float64 // mm
	Filaments   []int   // ids
	Grams       []float64
	Millimetres []float64
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

// covers are the pictures of a whole project, the best first.
var covers = []string{
	"Auxiliaries/.thumbnails/thumbnail_middle.png", "Auxiliaries/.thumbnails/thumbnail_3mf.png",
	"Auxiliaries/.thumbnails/thumbnail_small.png", "Metadata/thumbnail.png",
}

func gcodePath(n int) string { return fmt.Sprintf("Metadata/plate_%d.gcode", n) }

// Open reads a file of size bytes. Errors are *Error, or those of reading r.
func Open(r io.ReaderAt, size int64) (*File, error) {
	members, err := readContainer(r, size)
	if err != nil {
		return nil, err
	}
	l := loader{f: &File{r: r, members: members}, left: maxWork}
	sliced := l.f.gcodePlates()
	switch {
	case l.f.member(modelPath) == nil && len(sliced) == 0:
		return nil, refuse(Not3MF, "it is a ZIP file, but no 3MF: it holds neither a model nor G-code")
	case len(sliced) > maxPlates:
		return nil, refuse(Hostile, "it holds more than %d plates", maxPlates)
	}
	for _, n := range sliced {
		l.plate(n).GcodePath = l.f.member(gcodePath(n)).name
	}
	for _, read := range []func() error{l.readModel, l.readProject, l.readSettings, l.readSlices, l.readPlates} {
		if err := read(); err != nil {
			return nil, err
		}
	}
	return l.f, nil
}

func (f *File) member(name string) *member { return f.members[strings.ToLower(name)] }

// gcodePlates are the numbers of the plates that hold G-code.
func (f *File) gcodePlates() (out []int) {
	for name, m := range f.members {
		digits, isPlate := strings.CutPrefix(name, "metadata/plate_")
		digits, isCode := strings.CutSuffix(digits, ".gcode")
		if n := plateNumber(digits); isPlate && isCode && m.size > 0 && n > 0 && strings.EqualFold(gcodePath(n), name) {
			out = append(out, n)
		}
	}
	return out
}

// Sliced tells whether a plate can be printed.
func (f *File) Sliced() bool {
	return slices.ContainsFunc(f.plates, func(p Plate) bool { return p.GcodePath != "" })
}

// Plates are all plates, by number.
func (f *File) Plates() []Plate { return slices.Clone(f.plates) }

// Plate gives one.
func (f *File) Plate(n int) (Plate, bool) {
	i, found := f.find(n)
	if !found {
		return Plate{}, false
	}
	return f.plates[i], true
}

func (f *File) find(n int) (int, bool) {
	return slices.BinarySearchFunc(f.plates, n, func(p Plate, n int) int { return p.Index - n })
}

// Picture opens a picture of a plate, with its size in bytes. Of plate 0 it is that of
// the first plate that has one, or else the cover of the project. The caller closes it.
func (f *File) Picture(n int, kind PictureKind) (io.ReadCloser, int64, error) {
	name := kind.path(n)
	if n == 0 {
		name = f.cover(kind)
	}
	return f.open(name, maxPicture)
}

func (f *File) cover(kind PictureKind) string {
	for _, p := range f.plates {
		if slices.Contains(p.Pictures, kind) {
			return kind.path(p.Index)
		}
	}
	for _, name := range covers {
		if f.member(name) != nil && (kind == PlatePicture || kind == SmallPicture) {
			return name
		}
	}
	return kind.path(1)
}

// open opens a member of at most most bytes.
func (f *File) open(name string, most int64) (io.ReadCloser, int64, error) {
	m := f.member(name)
	if m == nil {
		return nil, 0, refuse(Missing, "there is no %s in it", path.Base(name))
	}
	if m.size > most {
		return nil, 0, refuse(Hostile, "%s has %d bytes, more than %d", m.short(), m.size, most)
	}
	r, err := m.open(f.r)
	if err != nil {
		return nil, 0, err
	}
	return r, m.size, nil
}
