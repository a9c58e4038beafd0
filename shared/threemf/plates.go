package threemf

import (
	"encoding/xml"
	"slices"
	"strconv"
)

// planned is a plate as the project lays it out.
type planned struct {
	index     int
	name, bed string
	instances []instance
}

// instance is an object that stands on a plate.
type instance struct{ object, id int }

// readSettings reads how people called the plates and what stands on them. Objects are
// told before the plates.
func (l *loader) readSettings() error {
	names := map[int]string{}
	object := 0
	var now planned
	return l.xmlMember("Metadata/model_settings.config", func(around []string, t xml.Token) error {
		switch t := t.(type) {
		case xml.StartElement:
			switch {
			case t.Name.Local == "object":
				object = whole(attr(t, "id"))
			case t.Name.Local == "plate":
				now = planned{}
			case t.Name.Local == "model_instance" && len(now.instances) < maxObjects:
				now.instances = append(now.instances, instance{})
			case t.Name.Local == "metadata" && inside(around, "object") && attr(t, "key") == "name" && len(names) < maxObjects:
				names[object] = attr(t, "value")
			case t.Name.Local == "metadata":
				now.metadata(around, attr(t, "key"), attr(t, "value"))
			}
		case xml.EndElement:
			if t.Name.Local == "plate" {
				l.plan(now, names)
			}
		}
		return nil
	})
}

func (p *planned) metadata(around []string, key, value string) {
	switch {
	case inside(around, "plate"):
		switch key {
		case "plater_id":
			p.index = plateNumber(value)
		case "plater_name":
			p.name = value
		case "bed_type", "curr_bed_type":
			p.bed = bedName(value)
		}
	case inside(around, "plate", "model_instance") && len(p.instances) > 0:
		last := &p.instances[len(p.instances)-1]
		switch key {
		case "object_id":
			last.object = whole(value)
		case "identify_id":
			last.id = whole(value)
		}
	}
}

// plan takes a plate over.
func (l *loader) plan(in planned, names map[int]string) {
	p := l.plate(in.index)
	if p == nil {
		return
	}
	p.Name, p.BedType, p.Objects = in.name, in.bed, nil
	for _, i := range in.instances {
		if l.objects++; l.objects > maxObjects {
			return
		}
		p.Objects = append(p.Objects, Object{ID: i.id, Name: names[i.object]})
	}
}

// sliced is a plate as slicing left it. Its index is told somewhere within it.
type sliced struct {
	Plate
	extruders []float64 // of the project's filaments
}

// readSlices reads what slicing gave, plate by plate.
func (l *loader) readSlices() error {
	var now sliced
	return l.xmlMember("Metadata/slice_info.config", func(around []string, t xml.Token) error {
		switch t := t.(type) {
		case xml.StartElement:
			switch {
			case t.Name.Local == "plate":
				now = sliced{}
			case !inside(around, "plate"):
			case t.Name.Local == "metadata":
				now.metadata(attr(t, "key"), attr(t, "value"))
			case t.Name.Local == "object" && l.objects < maxObjects:
				l.objects++
				now.Objects = append(now.Objects, Object{ID: whole(attr(t, "identify_id")), Name: attr(t, "name"), Skipped: attr(t, "skipped") == "true"})
			case t.Name.Local == "filament" && len(now.Filaments) < maxFilaments:
				now.Filaments = append(now.Filaments, filament(t))
			}
		case xml.EndElement:
			if t.Name.Local == "plate" {
				l.take(now)
			}
		}
		return nil
	})
}

func filament(e xml.StartElement) Filament {
	return Filament{
		ID: whole(attr(e, "id")), Type: attr(e, "type"), Color: color(attr(e, "color")), PresetID: attr(e, "tray_info_idx"),
		Grams: number(attr(e, "used_g")), Metres: number(attr(e, "used_m")), Nozzle: number(attr(e, "nozzle_diameter")),
	}
}

func (s *sliced) metadata(key, value string) {
	switch key {
	case "index":
		s.Index = plateNumber(value)
	case "prediction":
		s.Prediction = int64(number(value))
	case "weight":
		s.Weight = number(value)
	case "printer_model_id":
		s.PrinterModelID = value
	case "nozzle_diameters":
		s.Nozzles = numbers(value)
	case "timelapse_type":
		if n, err := strconv.Atoi(value); err == nil && n >= -1 && n <= 1 {
			s.Timelapse = n
		}
	case "support_used":
		s.SupportUsed = value == "true"
	case "label_object_enabled":
		s.Skippable = value == "true"
	case "curr_bed_type":
		s.BedType = bedName(value)
	case "filament_maps":
		s.extruders = numbers(value)
	}
}

// take takes a sliced plate over; what only the project told stays.
func (l *loader) take(in sliced) {
	p := l.plate(in.Index)
	if p == nil {
		return
	}
	for i := range in.Filaments {
		in.Filaments[i].Extruder = int(at(in.extruders, in.Filaments[i].ID-1))
	}
	if len(in.Objects) == 0 {
		in.Objects = p.Objects
	}
	in.Name, in.GcodePath, in.BedType = p.Name, p.GcodePath, orElse(in.BedType, p.BedType)
	*p = in.Plate
}

// readPlates completes the plates from their own parts, and then from the project.
func (l *loader) readPlates() error {
	for i := range l.f.plates {
		p := &l.f.plates[i]
		for _, kind := range pictureKinds {
			if l.f.member(kind.path(p.Index)) != nil {
				p.Pictures = append(p.Pictures, kind)
			}
		}
		if p.GcodePath != "" {
			if err := l.readHeader(p); err != nil {
				return err
			}
			p.fromHeader()
		}
		if p.BedType == "" {
			if err := l.readBoxes(p); err != nil {
				return err
			}
		}
		p.fromProject(l.f.Settings)
	}
	return nil
}

// fromHeader takes from the G-code what nothing else told.
func (p *Plate) fromHeader() {
	h := p.Header
	p.TotalLayers, p.LayerHeight = h.TotalLayers, h.LayerHeight
	if len(p.Filaments) == 0 {
		for i, id := range h.Filaments {
			p.Filaments = append(p.Filaments, Filament{ID: id, Grams: at(h.Grams, i), Metres: at(h.Millimetres, i) / 1000})
		}
	}
	grams := 0.0
	for _, f := range p.Filaments {
		grams += f.Grams
		p.Metres += f.Metres
	}
	if p.Weight == 0 {
		p.Weight = grams
	}
	if p.Metres == 0 {
		p.Metres = sum(h.Millimetres) / 1000
	}
	if p.Prediction == 0 {
		p.Prediction = h.TotalTime
	}
	if p.Weight == 0 {
		p.Weight = sum(h.Grams)
	}
}

// fromProject takes from the project what the plate does not say.
func (p *Plate) fromProject(s Settings) {
	p.BedType = orElse(p.BedType, s.BedType)
	if p.LayerHeight == 0 {
		p.LayerHeight = s.LayerHeight
	}
	if len(p.Nozzles) == 0 {
		p.Nozzles = slices.Clone(s.Nozzles)
	}
	for i := range p.Filaments {
		f := &p.Filaments[i]
		known := at(s.Filaments, f.ID-1)
		f.Type, f.Color, f.PresetID = orElse(f.Type, known.Type), orElse(f.Color, known.Color), orElse(f.PresetID, known.PresetID)
	}
}
