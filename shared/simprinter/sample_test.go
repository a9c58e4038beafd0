package simprinter

import (
	"archive/zip"
	"bytes"
	"crypto/md5" //nolint:gosec // the format asks for it
	"encoding/json"
	"encoding/xml"
	"fmt"
	"image"
	"image/png"
	"io"
	"strings"
	"testing"

	"bambuddy/shared/bambu"
)

// membersOf reads a sample.
func membersOf(t *testing.T, b []byte) map[string][]byte {
	t.Helper()
	archive, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, f := range archive.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if out[f.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	if len(out) != len(archive.File) {
		t.Error("a member is there twice")
	}
	return out
}

func sampleOf(t *testing.T, model string, j PrintJob) map[string][]byte {
	t.Helper()
	m, ok := bambu.ModelByCode(model)
	if !ok {
		t.Fatal(model)
	}
	return membersOf(t, new(samples).archive(j, m))
}

// A print without a file of its own gets an archive as the slicers write them.
func TestSample(t *testing.T) {
	all := sampleOf(t, "H2D", PrintJob{Name: "a <b>.3mf", Plate: 3, Plates: 2, Minutes: 12})
	for _, want := range []string{"[Content_Types].xml", "_rels/.rels", "3D/3dmodel.model", "Metadata/model_settings.config", "Metadata/_rels/model_settings.config.rels", "Metadata/cut_information.xml"} {
		if err := xml.Unmarshal(all[want], new(struct{})); err != nil {
			t.Errorf("%s: %v", want, err)
		}
	}
	for _, want := range []string{"Metadata/project_settings.config", "Metadata/filament_sequence.json"} {
		if !json.Valid(all[want]) {
			t.Errorf("%s: %s", want, all[want])
		}
	}
	if !strings.Contains(string(all["3D/3dmodel.model"]), `<metadata name="Title">a &lt;b&gt;</metadata>`) {
		t.Errorf("%s", all["3D/3dmodel.model"])
	}
	for n := 1; n <= 3; n++ {
		samplePlateIsWhole(t, all, n)
	}
	if bytes.Equal(all["Metadata/plate_1.png"], all["Metadata/plate_2.png"]) {
		t.Error("two plates look the same")
	}
	if len(all) != 9+3*8 {
		t.Errorf("%d members", len(all))
	}
}

func samplePlateIsWhole(t *testing.T, all map[string][]byte, n int) {
	t.Helper()
	code := all[fmt.Sprintf("Metadata/plate_%d.gcode", n)]
	for _, want := range []string{"; HEADER_BLOCK_START\n", "; total layer number: ", "; CONFIG_BLOCK_END\n", "; EXECUTABLE_BLOCK_END\n"} {
		if !strings.Contains(string(code), want) {
			t.Errorf("plate %d: no %q", n, want)
		}
	}
	if sum := fmt.Sprintf("%X", md5.Sum(code)); sum != string(all[fmt.Sprintf("Metadata/plate_%d.gcode.md5", n)]) { //nolint:gosec // as above
		t.Errorf("plate %d: its digest is not %s", n, sum)
	}
	if !json.Valid(all[fmt.Sprintf("Metadata/plate_%d.json", n)]) {
		t.Errorf("plate %d: boxes", n)
	}
	for name, size := range map[string]int{"plate_%d.png": 512, "plate_%d_small.png": 128, "plate_no_light_%d.png": 512, "top_%d.png": 512, "pick_%d.png": 512} {
		m, err := png.Decode(bytes.NewReader(all["Metadata/"+fmt.Sprintf(name, n)]))
		if err != nil {
			t.Errorf("plate %d: %s: %v", n, name, err)
			continue
		}
		if _, alpha := m.(*image.NRGBA); !alpha || m.Bounds().Dx() != size || m.Bounds().Dy() != size {
			t.Errorf("plate %d: %s is %T %v", n, name, m, m.Bounds())
		}
	}
}

// What a sample says of its plate is what the printer then does.
func TestSampleFacts(t *testing.T) {
	all := sampleOf(t, "A1", PrintJob{Name: "part", Plate: 2, Minutes: 1500})
	var info struct {
		Plates []struct {
			Metadata []struct {
				Key   string `xml:"key,attr"`
				Value string `xml:"value,attr"`
			} `xml:"metadata"`
			Objects   []struct{} `xml:"object"`
			Filaments []struct {
				ID    int     `xml:"id,attr"`
				Grams float64 `xml:"used_g,attr"`
			} `xml:"filament"`
		} `xml:"plate"`
	}
	if err := xml.Unmarshal(all["Metadata/slice_info.config"], &info); err != nil || len(info.Plates) != 1 {
		t.Fatalf("%v %+v", err, info)
	}
	p, values := info.Plates[0], map[string]string{}
	for _, m := range p.Metadata {
		values[m.Key] = m.Value
	}
	if values["index"] != "2" || values["prediction"] != "90180" || values["weight"] != "375.00" || values["printer_model_id"] != "N2S" || values["nozzle_diameters"] != "0.4" {
		t.Errorf("%v", values)
	}
	if len(p.Objects) != 2 || len(p.Filaments) != 2 || p.Filaments[1].ID != 3 || p.Filaments[0].Grams+p.Filaments[1].Grams != 375 {
		t.Errorf("%+v", p)
	}
	code := string(all["Metadata/plate_2.gcode"])
	if !strings.Contains(code, "; model printing time: 1d 1h 0m 0s; total estimated time: 1d 1h 3m 0s\n; total layer number: 7500\n") {
		t.Errorf("%.300s", code)
	}
}

// The same print gives the same bytes, another one others, whoever made them.
func TestSampleBytes(t *testing.T) {
	a1, _ := bambu.ModelByCode("A1")
	x1, _ := bambu.ModelByCode("X1C")
	j := PrintJob{Name: "part", Plate: 3, Minutes: 12}
	kept, first := new(samples), new(samples).archive(j, a1)
	for n := range keptArchives + 3 { // more than are kept
		kept.archive(PrintJob{Name: fmt.Sprint("part ", n)}, a1)
	}
	if !bytes.Equal(first, kept.archive(j, a1)) || len(kept.archives) > keptArchives {
		t.Errorf("not the same again, %d kept", len(kept.archives))
	}
	for _, other := range []PrintJob{{Name: "other", Plate: 3, Minutes: 12}, {Name: "part", Plate: 2, Minutes: 12}, {Name: "part", Plate: 3, Minutes: 13}, {Name: "part", Plate: 3, Plates: 3, Minutes: 12}} {
		if bytes.Equal(first, kept.archive(other, a1)) {
			t.Errorf("%+v: the same file", other)
		}
	}
	if bytes.Equal(first, kept.archive(j, x1)) {
		t.Error("two models print the same file")
	}
	if plateIn(first) != 3 || plateIn([]byte("a 3mf")) != 0 {
		t.Error("the plate of the file was not found")
	}
}

// BenchmarkStart measures what starting a print costs, its new file included.
func BenchmarkStart(b *testing.B) {
	all, err := Specs(1, []string{"A1"}, "127.0.0.1", 0)
	if err != nil {
		b.Fatal(err)
	}
	f, err := NewFarm(all, Options{})
	if err != nil {
		b.Fatal(err)
	}
	p, n := f.Printers()[0], 0
	for b.Loop() {
		n++
		if err := p.Start(PrintJob{Name: fmt.Sprint("part ", n), Source: "slicer"}); err != nil {
			b.Fatal(err)
		}
		if err := p.Stop(); err != nil {
			b.Fatal(err)
		}
		if err := p.Storage().Remove("/" + fmt.Sprint("part ", n) + ".gcode.3mf"); err != nil {
			b.Fatal(err)
		}
	}
}
