package threemf

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// Bounds of XML and JSON.
const (
	maxDepth    = 64
	maxElements = 1_000_000
	maxText     = 1000 // characters of a name or title
	maxList     = 10_000
)

// walk reads XML element by element. It knows no entities but XML's own, and no DTD.
func walk(r io.Reader, name string, fn func(stack []xml.StartElement, e xml.StartElement) error) error {
	d := xml.NewDecoder(r)
	var stack []xml.StartElement
	for n := 0; ; n++ {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		var known *Error
		if errors.As(err, &known) {
			return err
		}
		if err != nil {
			return refuse(Damaged, "%s is not well-formed: %v", path.Base(name), err)
		}
		switch t := t.(type) {
		case xml.Directive:
			return refuse(Hostile, "%s declares a document type", path.Base(name))
		case xml.StartElement:
			if len(stack) >= maxDepth || n > maxElements {
				return refuse(Hostile, "%s is nested too deep or too long", path.Base(name))
			}
			if err := fn(stack, t); err != nil {
				return err
			}
			stack = append(stack, t.Copy())
		case xml.EndElement:
			stack = stack[:len(stack)-1] // the decoder matches them
		}
	}
}

// xmlMember walks a member; one that is not there is empty.
func (f *File) xmlMember(name string, fn func(stack []xml.StartElement, e xml.StartElement) error) error {
	r, _, err := f.open(name, maxXML)
	if Is(err, Missing) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	return walk(bufio.NewReader(r), name, fn)
}

func attr(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return clip(a.Value)
		}
	}
	return ""
}

func clip(s string) string {
	s = strings.ToValidUTF8(strings.TrimSpace(s), "�")
	if r := []rune(s); len(r) > maxText {
		return string(r[:maxText])
	}
	return s
}

// number reads a number with a point or, as some locales write it, a comma.
func number(s string) float64 {
	v, err := strconv.ParseFloat(strings.Replace(strings.TrimSpace(s), ",", ".", 1), 64)
	if err != nil || math.IsNaN(v) || v < 0 || v > 1e9 {
		return 0
	}
	return v
}

func whole(s string) int {
	v, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || v < 0 || v > 1<<31-1 {
		return 0
	}
	return v
}

func plateNumber(s string) int {
	if n := whole(s); n <= maxPlates {
		return n
	}
	return 0
}

// numbers reads a list apart by commas, blanks or semicolons.
func numbers(s string) (out []float64) {
	for _, word := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == ';' }) {
		if len(out) < 16 {
			out = append(out, number(word))
		}
	}
	return out
}

// readModel reads the metadata at the head of the model; its geometry is of no interest.
func (f *File) readModel() error {
	m := f.members["3D/3dmodel.model"]
	if m == nil {
		return nil
	}
	r, err := m.Open()
	if err != nil {
		return refuse(Damaged, "3dmodel.model cannot be read: %v", err)
	}
	defer func() { _ = r.Close() }()
	head := io.LimitReader(r, maxHead)
	d := xml.NewDecoder(bufio.NewReader(head))
	for depth, n := 0, 0; n < 10_000; n++ {
		t, err := d.Token()
		if err != nil {
			return nil //nolint:nilerr // what came before is all there is to know
		}
		switch t := t.(type) {
		case xml.Directive:
			return refuse(Hostile, "3dmodel.model declares a document type")
		case xml.EndElement:
			depth--
		case xml.StartElement:
			if depth++; depth > maxDepth || t.Name.Local == "resources" || t.Name.Local == "build" {
				return nil
			}
			if t.Name.Local == "metadata" {
				var text string
				if d.DecodeElement(&text, &t) != nil {
					return nil
				}
				depth--
				f.metadata(attr(t, "name"), clip(text))
			}
		}
	}
	return nil
}

func (f *File) metadata(name, value string) {
	switch name {
	case "Title":
		f.Title = value
	case "Designer":
		f.Designer = value
	case "Application":
		f.Application = value
	}
}

// readProject reads the settings of the project.
func (f *File) readProject() error {
	const name = "Metadata/project_settings.config"
	b, err := f.read(name, maxJSON)
	if err != nil || len(b) == 0 {
		return err
	}
	if !shallow(b) {
		return refuse(Hostile, "%s is nested too deep", path.Base(name))
	}
	if !gjson.ValidBytes(b) {
		return nil // written by something else; nothing needs it
	}
	s := &f.Settings
	s.PrinterModel, s.PrintProfile, s.BedType = jsonText(b, "printer_model"), jsonText(b, "print_settings_id"), jsonText(b, "curr_bed_type")
	s.LayerHeight = number(jsonText(b, "layer_height"))
	for _, d := range jsonList(b, "nozzle_diameter") {
		s.Nozzles = append(s.Nozzles, number(d))
	}
	types, colors, presets, ids := jsonList(b, "filament_type"), jsonList(b, "filament_colour"), jsonList(b, "filament_settings_id"), jsonList(b, "filament_ids")
	for i := range max(len(types), len(colors)) {
		s.Filaments = append(s.Filaments, SettingsFilament{Type: at(types, i), Color: color(at(colors, i)), Preset: at(presets, i), PresetID: at(ids, i)})
	}
	return nil
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

func jsonText(b []byte, key string) string {
	v := gjson.GetBytes(b, key)
	if v.IsArray() {
		v = v.Get("0")
	}
	return clip(v.String())
}

func jsonList(b []byte, key string) (out []string) {
	v := gjson.GetBytes(b, key)
	if !v.IsArray() {
		return nil
	}
	v.ForEach(func(_, one gjson.Result) bool {
		out = append(out, clip(one.String()))
		return len(out) < 256
	})
	return out
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

// readSettings reads how people called the plates.
func (f *File) readSettings() error {
	plate := 0
	return f.xmlMember("Metadata/model_settings.config", func(stack []xml.StartElement, e xml.StartElement) error {
		if e.Name.Local == "plate" {
			plate = 0
		}
		if e.Name.Local != "metadata" || len(stack) == 0 || stack[len(stack)-1].Name.Local != "plate" {
			return nil
		}
		switch attr(e, "key") {
		case "plater_id":
			if plate = plateNumber(attr(e, "value")); plate > 0 && len(f.plates) < maxPlates {
				f.plate(plate)
			}
		case "plater_name":
			if plate > 0 {
				f.plate(plate).Name = attr(e, "value")
			}
		case "bed_type":
			if plate > 0 {
				f.plate(plate).BedType = attr(e, "value")
			}
		}
		return nil
	})
}

// readSlices reads what slicing gave, plate by plate. The index of a plate is told
// somewhere within it.
func (f *File) readSlices() error {
	var p Plate
	open := false
	flush := func() {
		if open && p.Index > 0 {
			p.Name, p.BedType = f.plate(p.Index).Name, orElse(p.BedType, f.plate(p.Index).BedType)
			*f.plate(p.Index) = p
		}
		p, open = Plate{}, false
	}
	err := f.xmlMember("Metadata/slice_info.config", func(_ []xml.StartElement, e xml.StartElement) error {
		switch e.Name.Local {
		case "plate":
			flush()
			open = true
		case "metadata":
			p.metadata(attr(e, "key"), attr(e, "value"))
		case "object":
			if len(p.Objects) < maxList {
				p.Objects = append(p.Objects, Object{ID: whole(attr(e, "identify_id")), Name: attr(e, "name"), Skipped: attr(e, "skipped") == "true"})
			}
		case "filament":
			if len(p.Filaments) < 256 {
				used := Filament{
					ID: whole(attr(e, "id")), Type: attr(e, "type"), Color: color(attr(e, "color")), PresetID: attr(e, "tray_info_idx"),
					Grams: number(attr(e, "used_g")), Metres: number(attr(e, "used_m")),
				}
				p.Filaments = append(p.Filaments, used)
				p.Metres += used.Metres
			}
		}
		return nil
	})
	flush()
	return err
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (p *Plate) metadata(key, value string) {
	switch key {
	case "index":
		p.Index = plateNumber(value)
	case "prediction":
		p.Prediction = int64(number(value))
	case "weight":
		p.Weight = number(value)
	case "printer_model_id":
		p.PrinterModelID = value
	case "nozzle_diameters":
		p.Nozzles = numbers(value)
	case "timelapse_type":
		if n, err := strconv.Atoi(value); err == nil && n >= -1 && n <= 1 {
			p.Timelapse = n
		}
	case "support_used":
		p.SupportUsed = value == "true"
	case "label_object_enabled":
		p.Skippable = value == "true"
	case "curr_bed_type":
		p.BedType = value
	}
}

// color is #RRGGBB, upper case, of six or eight digits; "" of anything else.
func color(s string) string {
	s = strings.ToUpper(strings.TrimPrefix(s, "#"))
	if len(s) != 6 && len(s) != 8 || strings.Trim(s, "0123456789ABCDEF") != "" {
		return ""
	}
	return "#" + s[:6]
}

// readPlates completes the plates from their own parts.
func (f *File) readPlates() error {
	for _, n := range f.slicedPlates() {
		if f.plate(n).GcodePath = gcodePath(n); len(f.plates) > maxPlates {
			return refuse(Hostile, "it holds more than %d plates", maxPlates)
		}
	}
	for i := range f.plates {
		p := &f.plates[i]
		for _, kind := range pictureKinds {
			if f.members[kind.path(p.Index)] != nil {
				p.Pictures = append(p.Pictures, kind)
			}
		}
		if p.GcodePath == "" {
			continue
		}
		if err := f.readGcodeTop(p); err != nil {
			return err
		}
		if p.LayerHeight == 0 {
			p.LayerHeight = f.Settings.LayerHeight
		}
		p.BedType = orElse(p.BedType, f.Settings.BedType)
		if p.BedType == "" {
			if err := f.readBed(p); err != nil {
				return err
			}
		}
		if len(p.Nozzles) == 0 {
			p.Nozzles = f.Settings.Nozzles
		}
	}
	return nil
}

// bedWords are the plates as a plate's own part calls them.
var bedWords = map[string]string{
	"textured_plate": "Textured PEI Plate", "cool_plate": "Cool Plate", "eng_plate": "Engineering Plate",
	"hot_plate": "High Temp Plate", "supertack_plate": "Supertack Plate",
}

// readBed reads what kind of build plate it was sliced for from a plate's own part.
func (f *File) readBed(p *Plate) error {
	name := fmt.Sprintf("Metadata/plate_%d.json", p.Index)
	b, err := f.read(name, maxJSON)
	if err != nil {
		return err
	}
	if !shallow(b) {
		return refuse(Hostile, "%s is nested too deep", path.Base(name))
	}
	if gjson.ValidBytes(b) {
		p.BedType = bedWords[gjson.GetBytes(b, "bed_type").String()]
	}
	return nil
}

// readGcodeTop reads the header of a plate's G-code: its comments at the beginning.
func (f *File) readGcodeTop(p *Plate) error {
	r, _, err := f.open(p.GcodePath, maxMember)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	top, err := io.ReadAll(io.LimitReader(r, maxGcodeTop))
	if err != nil {
		var known *Error
		if errors.As(err, &known) {
			return err
		}
		return refuse(Damaged, "%s cannot be read: %v", path.Base(p.GcodePath), err)
	}
	for line := range bytes.Lines(top) {
		text, isComment := strings.CutPrefix(strings.TrimSpace(string(line)), ";")
		if !isComment {
			continue
		}
		if strings.Contains(text, "EXECUTABLE_BLOCK_START") {
			return nil
		}
		p.header(text)
	}
	return nil
}

// header takes a comment of the G-code's header.
func (p *Plate) header(text string) {
	for part := range strings.SplitSeq(text, ";") {
		key, value, ok := strings.Cut(part, ":")
		if !ok {
			key, value, ok = strings.Cut(part, "=")
		}
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "total layer number":
			if n := whole(value); n > 0 {
				p.TotalLayers = n
			}
		case "total estimated time", "estimated printing time (normal mode)":
			if p.Prediction == 0 {
				p.Prediction = duration(value)
			}
		case "total filament weight [g]":
			if p.Weight == 0 {
				for _, g := range numbers(value) {
					p.Weight += g
				}
			}
		case "layer_height":
			p.LayerHeight = number(value)
		}
	}
}

// duration reads 1d 2h 3m 4s in seconds.
func duration(text string) (seconds int64) {
	for word := range strings.FieldsSeq(text) {
		unit := map[byte]int64{'d': 86400, 'h': 3600, 'm': 60, 's': 1}[word[len(word)-1]]
		seconds += int64(number(word[:len(word)-1])) * unit
	}
	return seconds
}
