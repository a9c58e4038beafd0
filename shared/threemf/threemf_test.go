package threemf

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"bambuddy/shared/farm"
)

func TestAFileOfSeveralPlates(t *testing.T) {
	f := open(t, pack(t, parts()...))
	if f.Title != "Benchy & friends 日本" || f.Designer != "Ännchen" || f.Application != "BambuStudio-02.04.00.70" || !f.Sliced() {
		t.Errorf("it is %q by %q of %q, sliced %v", f.Title, f.Designer, f.Application, f.Sliced())
	}
	same(t, "settings", f.Settings, Settings{
		PrinterModel: "Bambu Lab H2D", PrintProfile: "0.20mm Standard", LayerHeight: 0.2, Nozzles: []float64{0.4, 0.6}, BedType: "Textured PEI Plate",
		Filaments: []SettingsFilament{{"PLA", "#FFFFFF", "a", "GFL99"}, {"ABS", "#000000", "b", "GFB99"}, {"PETG", "#112233", "c", "GFG99"}},
	})
	header := Header{
		Slicer: "BambuStudio 02.04.00.70", ModelTime: 434, TotalTime: 94465, TotalLayers: 50, MaxZ: 10, LayerHeight: 0.16,
		Filaments: []int{1, 3}, Grams: []float64{10, 2.5}, Millimetres: []float64{1250, 500},
	}
	filaments := []Filament{{1, "PLA", "#FFFFFF", "GFL99", 10, 1.25, 0.4, 1}, {3, "PETG", "#112233", "GFG99", 2.5, 0.5, 0.6, 2}}
	same(t, "plates", f.Plates(), []Plate{
		{
			Index: 2, Name: "left", GcodePath: "Metadata/plate_2.gcode", Prediction: 865, Weight: 12.5, Metres: 1.75,
			Objects: []Object{{69, "Würfel", false}, {71, "Cone <2>", true}}, Filaments: filaments,
			PrinterModelID: "O1D", Nozzles: []float64{0.4, 0.6}, BedType: "Cool Plate", LayerHeight: 0.16, TotalLayers: 50,
			SupportUsed: true, Skippable: true, Timelapse: -1, Header: header, Pictures: []PictureKind{PlatePicture, SmallPicture, PickPicture},
		},
		{
			Index: 5, GcodePath: "Metadata/plate_5.gcode", Prediction: 60, Weight: 1, Metres: 1.75, Nozzles: []float64{0.4, 0.6}, BedType: "Textured PEI Plate",
			Filaments:   []Filament{{1, "PLA", "#FFFFFF", "GFL99", 10, 1.25, 0, 0}, {3, "PETG", "#112233", "GFG99", 2.5, 0.5, 0, 0}}, // of the G-code
			LayerHeight: 0.16, TotalLayers: 50, Header: header, Pictures: []PictureKind{TopPicture},
		},
		{Index: 6, Name: "not sliced", Objects: []Object{{88, "Cube", false}}, Nozzles: []float64{0.4, 0.6}, BedType: "Textured PEI Plate", LayerHeight: 0.2},
	})
	if p, ok := f.Plate(3); ok {
		t.Errorf("a plate that is not there: %+v", p)
	}
}

func TestSliceForTheArchive(t *testing.T) {
	f := open(t, pack(t, parts()...))
	same(t, "plate 2", f.Slice(2), farm.SliceData{
		Title: "Benchy & friends 日本", Plate: 2, LayerHeight: ptr(0.16), TotalLayers: 50, Nozzle: ptr(0.4), BedType: "Cool Plate", Estimate: ptr(int64(865)), EstimateGrams: ptr(12.5),
		Filaments: []farm.PrintFilament{{Slot: 1, Type: "PLA", Color: "#FFFFFF", Grams: 10, Metres: 1.25}, {Slot: 3, Type: "PETG", Color: "#112233", Grams: 2.5, Metres: 0.5}},
	})
	common := farm.SliceData{Title: "Benchy & friends 日本", LayerHeight: ptr(0.2), Nozzle: ptr(0.4), BedType: "Textured PEI Plate", Filaments: []farm.PrintFilament{}}
	same(t, "of nobody knows which", f.Slice(0), common)
	common.Plate = 9
	same(t, "one that is not there", f.Slice(9), common)

	one := open(t, pack(t, part{"Metadata/plate_7.gcode", gcode}))
	same(t, "the only one", one.Slice(0), farm.SliceData{
		Plate: 7, LayerHeight: ptr(0.16), TotalLayers: 50, Estimate: ptr(int64(94465)), EstimateGrams: ptr(12.5),
		Filaments: []farm.PrintFilament{{Slot: 1, Grams: 10, Metres: 1.25}, {Slot: 3, Grams: 2.5, Metres: 0.5}},
	})
}

// What a caller does with an answer changes no later one.
func TestSliceIsTheCallersOwn(t *testing.T) {
	f := open(t, pack(t, parts()...))
	s := f.Slice(2)
	*s.Nozzle, *s.LayerHeight, *s.Estimate, s.Filaments[0].Type = 9, 9, 9, "x"
	if again := f.Slice(2); *again.Nozzle != 0.4 || *again.LayerHeight != 0.16 || *again.Estimate != 865 || again.Filaments[0].Type != "PLA" {
		t.Errorf("it has become %+v", again)
	}
}

func TestACaptureOfARealFile(t *testing.T) {
	root := "../../../shared/protocol/captures/threemf-1color"
	if _, err := os.Stat(root); err != nil {
		t.Skip("the captures are not here")
	}
	called := map[string]string{"Content_Types.xml.txt": "[Content_Types].xml", "_rels/dot-rels.xml": "_rels/.rels", "Metadata/plate_1.gcode.outline.txt": "Metadata/plate_1.gcode"}
	var all []part
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(root, path)
		if renamed := called[name]; renamed != "" {
			name = renamed
		}
		all = append(all, part{name, string(b)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	f := open(t, pack(t, all...))
	same(t, "plates", f.Plates(), []Plate{{
		Index: 1, GcodePath: "Metadata/plate_1.gcode", Prediction: 865, Weight: 0.72, Metres: 0.24, PrinterModelID: "N2S", Nozzles: []float64{0.4}, BedType: "Textured PEI Plate",
		Objects: []Object{{69, "Würfel", false}}, Filaments: []Filament{{1, "PLA", "#FFFFFF", "GFL99", 0.72, 0.24, 0.4, 1}}, TotalLayers: 50,
		Header: Header{
			Slicer: "BambuStudio 02.04.00.70", ModelTime: 434, TotalTime: 865, TotalLayers: 50, MaxZ: 10,
			Filaments: []int{1}, Grams: []float64{0.72}, Millimetres: []float64{241.03},
		},
	}})
	if f.Application != "BambuStudio-02.04.00.70" || f.Title != "" {
		t.Errorf("it is %q of %q", f.Title, f.Application)
	}
	same(t, "slice", f.Slice(0), farm.SliceData{
		Plate: 1, TotalLayers: 50, Nozzle: ptr(0.4), BedType: "Textured PEI Plate", Estimate: ptr(int64(865)), EstimateGrams: ptr(0.72),
		Filaments: []farm.PrintFilament{{Slot: 1, Type: "PLA", Color: "#FFFFFF", Grams: 0.72, Metres: 0.24}},
	})
}

func ptr[T any](v T) *T { return &v }

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if reflect.DeepEqual(got, want) {
		return
	}
	g, _ := json.MarshalIndent(got, "", " ")
	w, _ := json.MarshalIndent(want, "", " ")
	gl, wl := strings.Split(string(g), "\n"), strings.Split(string(w), "\n")
	for i := range max(len(gl), len(wl)) {
		if a, b := at(gl, i), at(wl, i); a != b {
			t.Errorf("%s, line %d: %s, want %s", what, i+1, strings.TrimSpace(a), strings.TrimSpace(b))
		}
	}
	t.Errorf("%s differ", what)
}
