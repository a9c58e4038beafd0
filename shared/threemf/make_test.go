package threemf

import (
	"archive/zip"
	"bytes"
	"hash/crc32"
	"io"
	"testing"
)

// part is a member of a file that a test makes.
type part struct{ name, text string }

// pack makes a file as everybody's ZIP library does.
func pack(t testing.TB, parts ...part) []byte {
	t.Helper()
	return packAs(t, zip.Deflate, parts...)
}

func packAs(t testing.TB, method uint16, parts ...part) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, p := range parts {
		w, err := z.CreateHeader(&zip.FileHeader{Name: p.name, Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, p.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// raw makes a file of one stored member after others, whose header a test writes.
func raw(t testing.TB, h zip.FileHeader, text string, parts ...part) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, p := range parts {
		w, err := z.Create(p.name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, p.text); err != nil {
			t.Fatal(err)
		}
	}
	h.CompressedSize64 = uint64(len(text))
	if h.UncompressedSize64 == 0 {
		h.UncompressedSize64, h.CRC32 = h.CompressedSize64, crc32.ChecksumIEEE([]byte(text))
	}
	w, err := z.CreateRaw(&h)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func open(t testing.TB, b []byte) *File {
	t.Helper()
	f, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func content(t testing.TB, r io.ReadCloser, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const model = `<?xml version="1.0" encoding="UTF-8"?>
<model unit="millimeter" xml:lang="en-US" xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02" xmlns:BambuStudio="http://schemas.bambulab.com/package/2021">
 <metadata name="Application">BambuStudio-02.04.00.70</metadata>
 <metadata name="BambuStudio:3mfVersion">1</metadata>
 <metadata name="Description"></metadata>
 <metadata name="Designer">Ännchen</metadata>
 <metadata name="Title">Benchy &amp; friends 日本</metadata>
 <resources><object id="1"><mesh>` + "\x01 never read" + `</mesh></object></resources><build/></model>`

// sliceInfo has what the writer of real files does oddly: a decimal comma, a blank
// before an equals sign, plates and filaments with gaps, the index at the end.
const sliceInfo = `<?xml version="1.0" encoding="UTF-8"?>
<config>
 <header><header_item key="X-BBL-Client-Type" value="slicer"/></header>
 <plate>
  <metadata key="prediction" value="865"/><metadata key="weight" value="12,50"/><metadata key="first_layer_time" value="71,958466"/>
  <metadata key="printer_model_id" value="O1D"/><metadata key="nozzle_diameters" value="0.4,0.6"/><metadata key="timelapse_type" value="-1"/>
  <metadata key="support_used" value="true"/><metadata key="label_object_enabled" value="true"/><metadata key="filament_maps" value="1 1 2"/>
  <object identify_id="69" name="Würfel" skipped="false" /><object identify_id="71" name="Cone &lt;2&gt;" skipped="true" />
  <filament id="1" tray_info_idx="GFL99" type="PLA" color="#ffffff" used_m="1.25" used_g="10.00" group_id="0" nozzle_diameter="0.40"/>
  <filament id="3" tray_info_idx="GFG99" type="PETG" color="#11223344" used_m="0,5" used_g="2.50" group_id="1" nozzle_diameter="0.60"/>
  <warning msg="bed_temperature_too_high_than_filament" level="3" error_code ="1000C001"  />
  <layer_filament_lists><layer_filament_list filament_list="0 2" layer_ranges="0 49" /></layer_filament_lists>
  <metadata key="index" value="2"/>
 </plate>
 <plate><metadata key="index" value="5"/><metadata key="prediction" value="60"/><metadata key="weight" value="1.00"/></plate>
</config>`

const modelSettings = `<config>
 <object id="4"><metadata key="name" value="Cube"/><part id="1" subtype="normal_part"><metadata key="name" value="a part"/></part></object>
 <plate><metadata key="plater_id" value="2"/><metadata key="plater_name" value="left"/><metadata key="gcode_file" value="Metadata/plate_2.gcode"/></plate>
 <plate><metadata key="plater_id" value="5"/><metadata key="plater_name" value=""/></plate>
 <plate><metadata key="plater_id" value="6"/><metadata key="plater_name" value="not sliced"/>
  <model_instance><metadata key="object_id" value="4"/><metadata key="instance_id" value="0"/><metadata key="identify_id" value="88"/></model_instance>
 </plate>
</config>`

const project = `{"printer_model": "Bambu Lab H2D", "print_settings_id": "0.20mm Standard", "layer_height": "0.2", "nozzle_diameter": ["0.4", "0.6"], "curr_bed_type": "Textured PEI Plate",
 "filament_type": ["PLA", "ABS", "PETG"], "filament_colour": ["#FFFFFF", "#000000", "#112233"], "filament_ids": ["GFL99", "GFB99", "GFG99"], "filament_settings_id": ["a", "b", "c"]}`

const gcode = `; HEADER_BLOCK_START
; BambuStudio 02.04.00.70
; model printing time: 7m 14s; total estimated time: 1d 2h 14m 25s
; total layer number: 50
; total filament length [mm] : 1250.00,500.00
; total filament volume [cm^3] : 3006.00,1202.00
; total filament weight [g] : 10.00,2.50
; filament_density: 1.24,1.24
; max_z_height: 10,00
; filament: 1,3
; HEADER_BLOCK_END

; CONFIG_BLOCK_START
; layer_height = 0.16
; machine_start_gcode = ;total layer number: 7;M104
; CONFIG_BLOCK_END

; EXECUTABLE_BLOCK_START
G28
; total layer number: 999
`

// parts are those of a file with plates 2 and 5 that are sliced and 6 that is not.
func parts() []part {
	return []part{
		{"[Content_Types].xml", "<Types/>"},
		{"_rels/.rels", "<Relationships/>"},
		{"3D/3dmodel.model", model},
		{"Metadata/slice_info.config", sliceInfo},
		{"Metadata/model_settings.config", modelSettings},
		{"Metadata/project_settings.config", project},
		{"Metadata/plate_2.gcode", gcode},
		{"Metadata/plate_2.gcode.md5", "00112233445566778899aabbccddeeff"},
		{"Metadata/plate_2.json", `{"bed_type":"cool_plate"}`},
		{"Metadata/plate_2.png", "picture 2"},
		{"Metadata/plate_2_small.png", "small 2"},
		{"Metadata/pick_2.png", "pick 2"},
		{"Metadata/plate_5.gcode", gcode},
		{"Metadata/top_5.png", "top 5"},
		{"Auxiliaries/Model Pictures/Füße 日本.png", "x"},
		{"Auxiliaries/.thumbnails/", ""},
	}
}

// but gives the parts with one changed, or one more.
func but(name, text string) []part {
	all := parts()
	for i := range all {
		if all[i].name == name {
			all[i].text = text
			return all
		}
	}
	return append(all, part{name, text})
}
