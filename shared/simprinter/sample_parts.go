package simprinter

import (
	"encoding/json"
	"fmt"
	"html"
	"strings"
	"time"
)

// xmlHead begins the XML members.
const xmlHead = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

// slicerVersion is the slicer that a sample says it comes from.
const slicerVersion = "02.04.00.70"

// projectSpools are the filaments of the project: what the first slots of the AMS hold.
var projectSpools = []tray{
	{Type: "PLA", Name: "PLA Basic", Color: "#5E43B7", Preset: "GFA00"},
	{Type: "PETG", Name: "PETG HF", Color: "#000000", Preset: "GFG02"},
	{Type: "PLA", Name: "PLA Matte", Color: "#9B9EA0", Preset: "GFA01"},
}

// frame are the members that an archive has once.
func (a sample) frame() []member {
	return []member{
		{"[Content_Types].xml", []byte(xmlHead + `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
 <Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
 <Default Extension="model" ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/>
 <Default Extension="png" ContentType="image/png"/>
 <Default Extension="gcode" ContentType="text/x.gcode"/>
</Types>`)},
		{"_rels/.rels", a.relations()},
		{"3D/3dmodel.model", a.model3D()},
		{"Metadata/slice_info.config", a.sliceInfo()},
		{"Metadata/model_settings.config", a.modelSettings()},
		{"Metadata/_rels/model_settings.config.rels", a.codeRelations()},
		{"Metadata/project_settings.config", a.projectSettings()},
		{"Metadata/filament_sequence.json", a.sequence()},
		{"Metadata/cut_information.xml", []byte(xmlHead + "<objects>\n</objects>")},
	}
}

const relationHead = xmlHead + `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">` + "\n"

func (a sample) relations() []byte {
	const cover = "http://schemas.bambulab.com/package/2021/cover-thumbnail-"
	n := a.plates[0].number
	return fmt.Appendf(nil, relationHead+` <Relationship Target="/3D/3dmodel.model" Id="rel-1" Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/>
 <Relationship Target="/Metadata/plate_%d.png" Id="rel-2" Type="http://schemas.openxmlformats.org/package/2006/relationships/metadata/thumbnail"/>
 <Relationship Target="/Metadata/plate_%d.png" Id="rel-4" Type="%smiddle"/>
 <Relationship Target="/Metadata/plate_%d_small.png" Id="rel-5" Type="%ssmall"/>
</Relationships>`, n, n, cover, n, cover)
}

func (a sample) codeRelations() []byte {
	out := []byte(relationHead)
	for i, p := range a.plates {
		out = fmt.Appendf(out, ` <Relationship Target="/Metadata/plate_%d.gcode" Id="rel-%d" Type="http://schemas.bambulab.com/package/2021/gcode"/>`+"\n", p.number, i+1)
	}
	return append(out, "</Relationships>"...)
}

func (a sample) model3D() []byte {
	return fmt.Appendf(nil, xmlHead+`<model unit="millimeter" xml:lang="en-US" xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02">
 <metadata name="Application">BambuStudio-%s</metadata>
 <metadata name="BambuStudio:3mfVersion">1</metadata>
 <metadata name="CreationDate">2025-06-17</metadata>
 <metadata name="Designer">The Simulator</metadata>
 <metadata name="Title">%s</metadata>
 <resources>
 </resources>
 <build/>
</model>`, slicerVersion, html.EscapeString(a.title))
}

// product is the model as slicers number it.
func (a sample) product() string {
	if len(a.model.ProductIDs) == 0 {
		return ""
	}
	return a.model.ProductIDs[0]
}

// nozzles are the values of a setting per extruder.
func (a sample) nozzles(value string) []string {
	out := []string{value}
	if a.model.Nozzles == 2 {
		out = append(out, value)
	}
	return out
}

func (a sample) sliceInfo() []byte {
	out := fmt.Appendf(nil, xmlHead+`<config>
  <header>
    <header_item key="X-BBL-Client-Type" value="slicer"/>
    <header_item key="X-BBL-Client-Version" value="%s"/>
  </header>
`, slicerVersion)
	for _, p := range a.plates {
		out = fmt.Appendf(out, `  <plate>
    <metadata key="index" value="%d"/>
    <metadata key="extruder_type" value="0"/>
    <metadata key="nozzle_volume_type" value="0"/>
    <metadata key="printer_model_id" value="%s"/>
    <metadata key="nozzle_diameters" value="%s"/>
    <metadata key="timelapse_type" value="0"/>
    <metadata key="prediction" value="%.0f"/>
    <metadata key="weight" value="%.2f"/>
    <metadata key="first_layer_time" value="71,958466"/>
    <metadata key="outside" value="false"/>
    <metadata key="support_used" value="false"/>
    <metadata key="label_object_enabled" value="true"/>
    <metadata key="filament_maps" value="1 1 1"/>
`, p.number, a.product(), strings.Join(a.nozzles("0.4"), ","), p.total.Seconds(), p.grams())
		for i := range p.objects {
			out = fmt.Appendf(out, `    <object identify_id="%d" name="%s" skipped="false" />`+"\n", p.identity(i), html.EscapeString(a.objectName(i)))
		}
		for _, s := range p.spools {
			f := projectSpools[s.id-1]
			out = fmt.Appendf(out, `    <filament id="%d" tray_info_idx="%s" type="%s" color="%s" used_m="%.2f" used_g="%.2f" group_id="0" nozzle_diameter="0.40" volume_type="Standard"/>`+"\n",
				s.id, f.Preset, f.Type, f.Color, s.metres(), s.grams)
		}
		out = fmt.Appendf(out, `    <warning msg="bed_temperature_too_high_than_filament" level="3" error_code ="1000C001"  />
    <layer_filament_lists>
      <layer_filament_list filament_list="0" layer_ranges="0 %d" />
    </layer_filament_lists>
  </plate>
`, p.layers-1)
	}
	return append(out, "</config>\n"...)
}

// identity is the number by which an object of the plate can be left out.
func (p samplePlate) identity(i int) int { return 60 + 9*p.number + i }

func (a sample) objectName(i int) string { return fmt.Sprintf("%s_%d", a.title, i+1) }

func (a sample) modelSettings() []byte {
	out := []byte(xmlHead + "<config>\n")
	for _, p := range a.plates {
		out = fmt.Appendf(out, `  <plate>
    <metadata key="plater_id" value="%[1]d"/>
    <metadata key="plater_name" value=""/>
    <metadata key="locked" value="false"/>
    <metadata key="filament_map_mode" value="Auto For Flush"/>
    <metadata key="gcode_file" value="Metadata/plate_%[1]d.gcode"/>
    <metadata key="thumbnail_file" value="Metadata/plate_%[1]d.png"/>
    <metadata key="thumbnail_no_light_file" value="Metadata/plate_no_light_%[1]d.png"/>
    <metadata key="top_file" value="Metadata/top_%[1]d.png"/>
    <metadata key="pick_file" value="Metadata/pick_%[1]d.png"/>
    <metadata key="pattern_bbox_file" value="Metadata/plate_%[1]d.json"/>
  </plate>
`, p.number)
	}
	return append(out, "</config>\n"...)
}

// projectSettings are the settings that somebody reads; real files have some hundred more.
func (a sample) projectSettings() []byte {
	each := func(value func(tray) string) []string {
		var out []string
		for _, s := range projectSpools {
			out = append(out, value(s))
		}
		return out
	}
	printer := "Bambu Lab " + a.model.Name
	return indented(obj{
		"name": "project_settings", "from": "project", "version": slicerVersion,
		"printer_model": printer, "printer_settings_id": printer + " 0.4 nozzle", "printer_variant": "0.4",
		"print_settings_id": "0.20mm Standard", "layer_height": "0.2", "initial_layer_print_height": "0.2",
		"sparse_infill_density": "15%", "enable_support": "0", "print_sequence": "by layer", "curr_bed_type": "Textured PEI Plate",
		"nozzle_diameter": a.nozzles("0.4"), "nozzle_volume_type": a.nozzles("Standard"),
		"filament_ids": each(func(s tray) string { return s.Preset }), "filament_type": each(func(s tray) string { return s.Type }),
		"filament_colour": each(func(s tray) string { return s.Color }), "filament_vendor": each(func(tray) string { return "Bambu Lab" }),
		"filament_settings_id": each(func(s tray) string { return "Bambu " + s.Name }), "filament_density": each(func(tray) string { return "1.24" }),
		"filament_diameter": each(func(tray) string { return "1.75" }), "filament_is_support": each(func(tray) string { return "0" }),
		"filament_map": each(func(tray) string { return "1" }), "filament_map_mode": "Auto For Flush",
		"nozzle_temperature": each(func(tray) string { return "220" }), "textured_plate_temp": each(func(tray) string { return "60" }),
		"printable_area": []string{"0x0", "256x0", "256x256", "0x256"}, "printable_height": "256",
	})
}

func (a sample) sequence() []byte {
	out := obj{}
	for _, p := range a.plates {
		ids := []int{}
		for _, s := range p.spools {
			ids = append(ids, s.id)
		}
		out[fmt.Sprintf("plate_%d", p.number)] = obj{"sequence": ids}
	}
	return indented(out)
}

// boxes are where the objects of a plate lie.
func (p samplePlate) boxes() []byte {
	objects, colors, ids := []obj{}, []string{}, []int{}
	for i := range p.objects {
		x, y := 40+50*(i%4), 80+60*(i/4)
		objects = append(objects, obj{"area": 1600, "bbox": []int{x, y, x + 40, y + 40}, "id": 100 + i, "layer_height": 0.2, "name": fmt.Sprintf("object_%d", i+1)})
	}
	for _, s := range p.spools {
		ids, colors = append(ids, s.id-1), append(colors, projectSpools[s.id-1].Color)
	}
	return indented(obj{
		"bbox_all": []int{40, 80, 240, 180}, "bbox_objects": objects, "bed_type": "textured_plate", "filament_colors": colors, "filament_ids": ids,
		"first_extruder": 0, "first_layer_time": 71.958466, "is_seq_print": false, "nozzle_diameter": 0.4, "version": 2,
	})
}

// gcodeLayers is how many layers are written out: the printer does not read them.
const gcodeLayers = 200

func (a sample) gcode(p samplePlate) []byte {
	var lengths, volumes, weights, ids []string
	for _, s := range p.spools {
		lengths, volumes = append(lengths, fmt.Sprintf("%.2f", s.metres()*1000)), append(volumes, fmt.Sprintf("%.2f", s.metres()*2405))
		weights, ids = append(weights, fmt.Sprintf("%.2f", s.grams)), append(ids, itoa(s.id))
	}
	join := func(s []string) string { return strings.Join(s, ",") }
	out := fmt.Appendf(nil, `; HEADER_BLOCK_START
; BambuStudio %s
; model printing time: %s; total estimated time: %s
; total layer number: %d
; total filament length [mm] : %s
; total filament volume [cm^3] : %s
; total filament weight [g] : %s
; filament_density: 1.24,1.24,1.24
; filament_diameter: 1.75,1.75,1.75
; max_z_height: %.2f
; filament: %s
; HEADER_BLOCK_END

; CONFIG_BLOCK_START
; layer_height = 0.2
; nozzle_diameter = %s
; printer_model = Bambu Lab %s
; CONFIG_BLOCK_END

; EXECUTABLE_BLOCK_START
M73 P0 R%.0f
M1002 gcode_claim_action : 2
G28
M620 S0A
T0
M621 S0A
`, slicerVersion, spoken(p.print), spoken(p.total), p.layers, join(lengths), join(volumes), join(weights), 0.2*float64(p.layers), join(ids),
		join(a.nozzles("0.4")), a.model.Name, p.total.Minutes())
	for n := 1; n <= min(p.layers, gcodeLayers); n++ {
		out = fmt.Appendf(out, "; CHANGE_LAYER\n; Z_HEIGHT: %.1f\n; LAYER_HEIGHT: 0.2\n; layer num/total_layer_count: %d/%d\nM73 L%d\nM991 S0 P%d\n; OBJECT_ID: %d\nG1 X128 Y128 E1\n",
			0.2*float64(n), n, p.layers, n, n-1, p.identity(n%p.objects))
	}
	return append(out, "M73 P100 R0\nM991 S0 P-1\n; EXECUTABLE_BLOCK_END\n"...)
}

// spoken is a time as slicers write it.
func spoken(d time.Duration) string {
	seconds := int(d.Seconds())
	out := fmt.Sprintf("%dm %ds", seconds/60%60, seconds%60)
	if hours := seconds / 3600; hours >= 24 {
		return fmt.Sprintf("%dd %dh %s", hours/24, hours%24, out)
	} else if hours > 0 {
		return fmt.Sprintf("%dh %s", hours, out)
	}
	return out
}

func indented(v any) []byte {
	b, _ := json.MarshalIndent(v, "", "    ") // texts and numbers only
	return b
}
