package threemf

import (
	"archive/zip"
	"bytes"
	"io"
	"slices"
	"testing"
)

// whatever looks at all that a file tells, and at what must hold of every one.
func whatever(t *testing.T, b []byte) {
	f, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		if Is(err, Missing) || !Is(err, Damaged) && !Is(err, Hostile) && !Is(err, Not3MF) {
			t.Fatalf("an error of no kind: %v", err)
		}
		return
	}
	plates, last := f.Plates(), 0
	if len(plates) > maxPlates || f.Sliced() != slices.ContainsFunc(plates, func(p Plate) bool { return p.GcodePath != "" }) {
		t.Fatalf("%d plates, sliced %v", len(plates), f.Sliced())
	}
	for _, p := range plates {
		if p.Index <= last || p.Prediction < 0 || p.Weight < 0 || p.TotalLayers < 0 {
			t.Fatalf("plate %+v after %d", p, last)
		}
		last = p.Index
		if s := f.Slice(p.Index); s.Plate != p.Index || s.Filaments == nil {
			t.Fatalf("slice %+v", s)
		}
		for _, kind := range p.Pictures {
			if r, size, err := f.Picture(p.Index, kind); err == nil {
				if n, err := io.Copy(io.Discard, r); n > size || n < size && err == nil || r.Close() != nil {
					t.Fatalf("%d of %d bytes, %v", n, size, err)
				}
			}
		}
		if r, err := f.Gcode(p.Index); err == nil {
			_, _ = io.CopyN(io.Discard, r, 1<<20)
			_ = r.Close()
		} else if p.GcodePath != "" && Is(err, Missing) {
			t.Fatalf("plate %d is sliced and has no G-code", p.Index)
		}
		_, _ = f.GcodeMD5(p.Index)
	}
	f.Slice(0)
}

func FuzzOpen(f *testing.F) {
	f.Add(pack(f, parts()...))
	f.Add(packAs(f, zip.Store, parts()...))
	f.Add(large(pack(f, part{"3D/3dmodel.model", model}, part{"Metadata/plate_3.gcode", gcode}), nil))
	f.Add(pack(f, part{"3D/3dmodel.model", model}))
	f.Add([]byte("PK\x05\x06"))
	f.Fuzz(whatever)
}

// FuzzParts reaches what stands behind the checks of the container.
func FuzzParts(f *testing.F) {
	f.Add(sliceInfo, modelSettings, model, project, gcode)
	f.Add("<config><plate>", "<a b='c'>", "<model><metadata name='Title'>x</metadata>", `{"layer_height":["0,2"]}`, "; total layer number: 5")
	f.Fuzz(func(t *testing.T, info, settings, model, project, code string) {
		whatever(t, packAs(t, zip.Store, part{"3D/3dmodel.model", model}, part{"Metadata/slice_info.config", info}, part{"Metadata/model_settings.config", settings},
			part{"Metadata/project_settings.config", project}, part{"Metadata/plate_2.json", project}, part{"Metadata/plate_2.gcode", code}, part{"Metadata/plate_2.png", "x"}))
	})
}
