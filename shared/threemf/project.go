package threemf

import (
	"bytes"
	"fmt"
	"path"

	"github.com/tidwall/gjson"
)

// json reads a member of JSON; the answer holds nothing when there is none, or when
// nobody can read it: nothing depends on it.
func (l *loader) json(name string) (gjson.Result, error) {
	b, err := l.read(name, maxJSON)
	if err != nil {
		return gjson.Result{}, err
	}
	b = bytes.Trim(bytes.TrimPrefix(b, []byte("\ufeff")), "\x00 \t\r\n")
	if !shallow(b) {
		return gjson.Result{}, refuse(Hostile, "%s is nested deeper than %d", path.Base(name), maxDepth)
	}
	if !gjson.ValidBytes(b) {
		return gjson.Result{}, nil
	}
	return gjson.ParseBytes(b), nil
}

// shallow tells that JSON is not nested deeper than anything a slicer writes.
func shallow(b []byte) bool {
	depth, text := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return false
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return true
}

// text is a setting, or the first value of one that has several.
func text(in gjson.Result, key string) string {
	v := in.Get(key)
	if v.IsArray() {
		v = v.Get("0")
	}
	return clip(v.String())
}

// list are the values of a setting, of which a single one may stand alone.
func list(in gjson.Result, key string) (out []string) {
	v := in.Get(key)
	if !v.Exists() {
		return nil
	}
	if !v.IsArray() {
		return []string{clip(v.String())}
	}
	v.ForEach(func(_, one gjson.Result) bool {
		out = append(out, clip(one.String()))
		return len(out) < maxFilaments
	})
	return out
}

// readProject reads the settings of the project.
func (l *loader) readProject() error {
	in, err := l.json("Metadata/project_settings.config")
	if err != nil || !in.IsObject() {
		return err
	}
	s := &l.f.Settings
	s.PrinterModel, s.PrintProfile = text(in, "printer_model"), text(in, "print_settings_id")
	s.BedType, s.LayerHeight = bedName(text(in, "curr_bed_type")), number(text(in, "layer_height"))
	for _, d := range list(in, "nozzle_diameter") {
		s.Nozzles = append(s.Nozzles, number(d))
	}
	types, colors := list(in, "filament_type"), list(in, "filament_colour")
	presets, ids := list(in, "filament_settings_id"), list(in, "filament_ids")
	for i := range max(len(types), len(colors)) {
		s.Filaments = append(s.Filaments, SettingsFilament{Type: at(types, i), Color: color(at(colors, i)), Preset: at(presets, i), PresetID: at(ids, i)})
	}
	return nil
}

// readBoxes reads the bed of a plate out of its own part.
func (l *loader) readBoxes(p *Plate) error {
	in, err := l.json(fmt.Sprintf("Metadata/plate_%d.json", p.Index))
	if err != nil || !in.IsObject() {
		return err
	}
	p.BedType = bedName(text(in, "bed_type"))
	return nil
}

// bedName is a bed as the slicer shows it.
func bedName(word string) string {
	switch word {
	case "textured_plate":
		return "Textured PEI Plate"
	case "cool_plate":
		return "Cool Plate"
	case "eng_plate":
		return "Engineering Plate"
	case "hot_plate":
		return "High Temp Plate"
	case "supertack_plate":
		return "Supertack Plate"
	default:
		return word
	}
}
