package threemf

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// member is a part of a file that a test makes.
type member struct{ name, text string }

func pack(t testing.TB, members ...member) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, m := range members {
		w, err := z.Create(m.name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, m.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

const model = `<?xml version="1.0"?><model unit="millimeter"><metadata name="Title">Benchy &amp; friends</metadata>
 <metadata name="Designer">Ann</metadata><metadata name="Application">BambuStudio-02.04.00.70</metadata><resources/><build/></model>`

const sliceInfo = `<?xml version="1.0"?><config>
 <header><header_item key="X-BBL-Client-Type" value="slicer"/></header>
 <plate><metadata key="prediction" value="865"/><metadata key="index" value="2"/><metadata key="weight" value="12,50"/>
  <metadata key="printer_model_id" value="N2S"/><metadata key="nozzle_diameters" value="0.4,0.4"/><metadata key="label_object_enabled" value="true"/>
  <object identify_id="69" name="Cube" skipped="false" /><object identify_id="71" name="Cone" skipped="true" />
  <filament id="1" tray_info_idx="GFL99" type="PLA" color="#ffffff" used_m="1.25" used_g="10.00"/>
  <filament id="3" tray_info_idx="GFG99" type="PETG" color="#11223344" used_m="0,5" used_g="2.50"/>
  <warning msg="hot" level="3" error_code ="1000C001"  />
 </plate>
 <plate><metadata key="index" value="5"/><metadata key="prediction" value="60"/><metadata key="weight" value="1.00"/></plate>
</config>`

const gcode = "; HEADER_BLOCK_START\n; BambuStudio 02.04.00.70\n; model printing time: 7m 14s; total estimated time: 14m 25s\n; total layer number: 50\n; HEADER_BLOCK_END\n; EXECUTABLE_BLOCK_START\nG28\n; total layer number: 999\n"

func twoPlates(t testing.TB) []byte {
	return pack(t,
		member{"[Content_Types].xml", "<Types/>"}, member{"3D/3dmodel.model", model}, member{"Metadata/slice_info.config", sliceInfo},
		member{"Metadata/model_settings.config", `<config><plate><metadata key="plater_id" value="2"/><metadata key="plater_name" value="left"/></plate></config>`},
		member{"Metadata/project_settings.config", `{"printer_model":"Bambu Lab A1","layer_height":"0.2","nozzle_diameter":["0.4"],"curr_bed_type":"Textured PEI Plate","filament_type":["PLA","ABS","PETG"],"filament_colour":["#FFFFFF","#000000","#112233"]}`},
		member{"Metadata/plate_2.gcode", gcode}, member{"Metadata/plate_2.gcode.md5", "abc"}, member{"Metadata/plate_2.png", "not really"},
		member{"Metadata/plate_5.gcode", gcode},
	)
}

func open(t *testing.T, b []byte) *File {
	t.Helper()
	f, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestAFileOfTwoPlates(t *testing.T) {
	f := open(t, twoPlates(t))
	if f.Title != "Benchy & friends" || f.Designer != "Ann" || f.Application != "BambuStudio-02.04.00.70" || !f.Sliced() {
		t.Errorf("it is %q by %q of %q", f.Title, f.Designer, f.Application)
	}
	if len(f.Plates()) != 2 {
		t.Fatalf("plates %+v", f.Plates())
	}
	p, ok := f.Plate(2)
	if !ok || p.Name != "left" || p.Prediction != 865 || p.Weight != 12.5 || p.TotalLayers != 50 || p.LayerHeight != 0.2 || p.PrinterModelID != "N2S" ||
		p.BedType != "Textured PEI Plate" || !slices.Equal(p.Nozzles, []float64{0.4, 0.4}) || !p.Skippable || p.GcodePath != "Metadata/plate_2.gcode" {
		t.Errorf("plate 2: %+v", p)
	}
	if want := []Object{{69, "Cube", false}, {71, "Cone", true}}; !slices.Equal(p.Objects, want) {
		t.Errorf("objects %+v", p.Objects)
	}
	if want := []Filament{{1, "PLA", "#FFFFFF", "GFL99", 10, 1.25}, {3, "PETG", "#112233", "GFG99", 2.5, 0.5}}; !slices.Equal(p.Filaments, want) {
		t.Errorf("filaments %+v", p.Filaments)
	}
	if !slices.Equal(p.Pictures, []PictureKind{PlatePicture}) || len(f.Settings.Filaments) != 3 {
		t.Errorf("pictures %v, filaments %+v", p.Pictures, f.Settings.Filaments)
	}
	if md5, err := f.GcodeMD5(2); md5 != "ABC" || err != nil {
		t.Errorf("md5 %q, %v", md5, err)
	}
	code, err := f.Gcode(2)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(code); err != nil || string(b) != gcode || code.Close() != nil {
		t.Errorf("G-code %q, %v", b, err)
	}
	if _, _, err := f.Picture(5, PlatePicture); !Is(err, Missing) {
		t.Errorf("a picture that is not there: %v", err)
	}
	s := f.Slice(2)
	if *s.EstimateGrams != 12.5 || *s.Estimate != 865 || s.TotalLayers != 50 || len(s.Filaments) != 2 || *s.LayerHeight != 0.2 || *s.Nozzle != 0.4 {
		t.Errorf("slice %+v", s)
	}
	if s := f.Slice(0); s.Plate != 0 || s.EstimateGrams != nil || s.Title != "Benchy & friends" {
		t.Errorf("of nobody knows which plate: %+v", s)
	}
}

func TestFilesThatLackParts(t *testing.T) {
	for name, c := range map[string]struct {
		members []member
		sliced  bool
	}{
		"a project":            {[]member{{"3D/3dmodel.model", model}}, false},
		"G-code alone":         {[]member{{"Metadata/plate_7.gcode", gcode}}, true},
		"a broken model":       {[]member{{"3D/3dmodel.model", "<model><metadata name="}}, false},
		"settings of no JSON":  {[]member{{"3D/3dmodel.model", model}, {"Metadata/project_settings.config", "= 1"}}, false},
		"a name that is a lie": {[]member{{"3D/3dmodel.model", model}, {"Metadata/plate_01.gcode", gcode}}, false},
	} {
		if f := open(t, pack(t, c.members...)); f.Sliced() != c.sliced {
			t.Errorf("%s: sliced %v", name, f.Sliced())
		}
	}
	f := open(t, pack(t, member{"Metadata/plate_7.gcode", gcode}))
	if s := f.Slice(0); s.Plate != 7 || s.TotalLayers != 50 || *s.Estimate != 865 {
		t.Errorf("what G-code alone tells: %+v", s)
	}
}

func TestFilesThatAreRefused(t *testing.T) {
	whole := twoPlates(t)
	deep := strings.Repeat("<a>", 200)
	for name, c := range map[string]struct {
		data []byte
		kind Kind
	}{
		"empty":              {nil, Damaged},
		"no ZIP":             {[]byte(strings.Repeat("G1 X1\n", 100)), Damaged},
		"cut":                {whole[:len(whole)/2], Damaged},
		"its end alone":      {whole[len(whole)-22:], Damaged},
		"another ZIP":        {pack(t, member{"a.txt", "x"}), Not3MF},
		"parent folder":      {pack(t, member{"../3D/3dmodel.model", model}), Hostile},
		"absolute":           {pack(t, member{"/3D/3dmodel.model", model}), Hostile},
		"drive":              {pack(t, member{"C:/x", model}), Hostile},
		"backslash":          {pack(t, member{`3D\..\x`, model}), Hostile},
		"control character":  {pack(t, member{"3D/3dmodel.model", model}, member{"a\nb", ""}), Hostile},
		"twice":              {pack(t, member{"3D/3dmodel.model", model}, member{"3D/3dmodel.model", model}), Hostile},
		"twice but for case": {pack(t, member{"3D/3dmodel.model", model}, member{"3d/3DMODEL.model", model}), Hostile},
		"entities": {pack(t, member{"3D/3dmodel.model", model}, member{"Metadata/slice_info.config",
			`<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><config>&b;</config>`}), Hostile},
		"entities in the model": {pack(t, member{"3D/3dmodel.model", `<!DOCTYPE x [<!ENTITY a "aaaa">]><model/>`}), Hostile},
		"an unknown entity":     {pack(t, member{"3D/3dmodel.model", model}, member{"Metadata/slice_info.config", `<config>&b;</config>`}), Damaged},
		"deep XML":              {pack(t, member{"3D/3dmodel.model", model}, member{"Metadata/slice_info.config", deep}), Hostile},
		"deep JSON":             {pack(t, member{"3D/3dmodel.model", model}, member{"Metadata/project_settings.config", strings.Repeat("[", 100_000)}), Hostile},
		"bomb":                  {pack(t, member{"3D/3dmodel.model", model}, member{"Metadata/slice_info.config", strings.Repeat("\x00", 30<<20)}), Hostile},
		"large XML":             {pack(t, member{"3D/3dmodel.model", model}, member{"Metadata/slice_info.config", noise(40 << 20)}), Hostile},
		"overlap":               {overlapping(t), Hostile},
		"many members":          {manyMembers(t), Hostile},
		"something before it":   {append([]byte("#!/bin/sh\nrm -rf /\n"), whole...), Hostile},
		"wrong sum":             {wrongSum(t), Damaged},
	} {
		_, err := Open(bytes.NewReader(c.data), int64(len(c.data)))
		if !Is(err, c.kind) {
			t.Errorf("%s: %v, want %s", name, err, c.kind)
		}
	}
}

// noise is text that packs badly enough to be no bomb.
func noise(n int) string {
	var b strings.Builder
	for x := uint32(1); b.Len() < n; {
		x = x*1664525 + 1013904223
		fmt.Fprintf(&b, "<a b='%x'/>", x)
	}
	return b.String()
}

// overlapping makes the directory say twice where the same bytes are.
func overlapping(t *testing.T) []byte {
	b := pack(t, member{"3D/3dmodel.model", model}, member{"Metadata/plate_1.gcode", gcode})
	second := bytes.LastIndex(b, []byte{'P', 'K', 1, 2})
	binary.LittleEndian.PutUint32(b[second+42:], 0)
	return b
}

func manyMembers(t *testing.T) []byte {
	var all []member
	for i := range maxMembers + 1 {
		all = append(all, member{fmt.Sprint("a/", i), ""})
	}
	return pack(t, all...)
}

// wrongSum changes a byte of a stored member.
func wrongSum(t *testing.T) []byte {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, m := range []member{{"3D/3dmodel.model", model}, {"Metadata/slice_info.config", sliceInfo}} {
		w, err := z.CreateHeader(&zip.FileHeader{Name: m.name, Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, m.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.Replace(out.Bytes(), []byte(`name="Cube"`), []byte(`name="Cuba"`), 1)
}

func TestACaptureOfARealFile(t *testing.T) {
	root := "../../../shared/protocol/captures/threemf-1color"
	if _, err := os.Stat(root); err != nil {
		t.Skip("the captures are not here")
	}
	var members []member
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(root, path)
		switch name {
		case "Content_Types.xml.txt":
			name = "[Content_Types].xml"
		case "_rels/dot-rels.xml":
			name = "_rels/.rels"
		}
		name = strings.TrimSuffix(name, ".outline.txt")
		members = append(members, member{name, string(b)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	f := open(t, pack(t, members...))
	s := f.Slice(0)
	if s.EstimateGrams == nil || *s.EstimateGrams != 0.72 || s.TotalLayers != 50 || s.Estimate == nil || len(s.Filaments) != 1 || s.Filaments[0].Type != "PLA" || s.BedType == "" {
		t.Errorf("slice %+v", s)
	}
	t.Logf("%+v", s)
}

func FuzzOpen(f *testing.F) {
	f.Add(twoPlates(f))
	f.Add(pack(f, member{"3D/3dmodel.model", model}))
	f.Add([]byte("PK\x05\x06"))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		for _, p := range file.Plates() {
			file.Slice(p.Index)
			if r, _, err := file.Picture(p.Index, PlatePicture); err == nil {
				_, _ = io.Copy(io.Discard, io.LimitReader(r, 1<<20))
				_ = r.Close()
			}
		}
		file.Slice(0)
	})
}

func FuzzParts(f *testing.F) {
	f.Add(sliceInfo, model, `{"layer_height":"0.2"}`, gcode)
	f.Fuzz(func(t *testing.T, slices, model, settings, code string) {
		b := pack(t, member{"3D/3dmodel.model", model}, member{"Metadata/slice_info.config", slices}, member{"Metadata/model_settings.config", slices},
			member{"Metadata/project_settings.config", settings}, member{"Metadata/plate_1.gcode", code})
		if file, err := Open(bytes.NewReader(b), int64(len(b))); err == nil {
			file.Slice(1)
		}
	})
}

// A file of 200 MB is opened with little memory: see -benchmem.
func BenchmarkOpenLarge(b *testing.B) {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, m := range []member{{"3D/3dmodel.model", model}, {"Metadata/slice_info.config", sliceInfo}} {
		w, _ := z.Create(m.name)
		_, _ = io.WriteString(w, m.text)
	}
	w, _ := z.CreateHeader(&zip.FileHeader{Name: "Metadata/plate_2.gcode", Method: zip.Store})
	_, _ = io.WriteString(w, gcode)
	for range 200 {
		_, _ = w.Write(bytes.Repeat([]byte{'x'}, 1<<20))
	}
	_ = z.Close()
	r := bytes.NewReader(out.Bytes())
	b.ReportAllocs()
	for b.Loop() {
		f, err := Open(r, int64(r.Len()))
		if err != nil {
			b.Fatal(err)
		}
		f.Slice(2)
	}
}
