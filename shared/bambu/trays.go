package bambu

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// maxColors bounds the colours of one spool.
const maxColors = 16

// tray is a slot as its reports say it.
type tray struct {
	Slot           // Present is not used here
	state Opt[int] // bit 0 a spool is there, bit 1 its data is known
}

var trayKeys = keys[tray]{
	"state":           whole(0, 255, func(t *tray) *Opt[int] { return &t.state }),
	"tray_type":       words(64, func(t *tray) *string { return &t.Type }),
	"tray_sub_brands": words(64, func(t *tray) *string { return &t.Name }),
	"tray_info_idx":   words(64, func(t *tray) *string { return &t.PresetID }),
	"tray_color":      colour,
	"cols":            readColors,
	"remain":          whole(-1, 100, func(t *tray) *Opt[int] { return &t.Remain }),
	"tray_weight":     whole(0, 100_000, func(t *tray) *Opt[int] { return &t.Weight }),
	"nozzle_temp_min": whole(0, maxHeat, func(t *tray) *Opt[int] { return &t.NozzleMin }),
	"nozzle_temp_max": whole(0, maxHeat, func(t *tray) *Opt[int] { return &t.NozzleMax }),
	"k":               decimal(0, 100, func(t *tray) *Opt[float64] { return &t.KValue }),
	"tag_uid":         chip(func(t *tray) *string { return &t.ChipID }),
	"tray_uuid":       chip(func(t *tray) *string { return &t.SpoolID }),
}

// colour reads the colour of the spool, or its first.
func colour(t *tray, v gjson.Result) bool {
	c, ok := hexColor(v)
	return ok && keep(&t.Color, c)
}

// hexColor reads RRGGBBAA, and RRGGBB as opaque, in capitals.
func hexColor(v gjson.Result) (string, bool) {
	c, ok := text(v, 9)
	if !ok || strings.Trim(c, hexDigits) != "" {
		return "", false
	}
	switch len(c) {
	case 0, 8:
		return strings.ToUpper(c), true
	case 6:
		return strings.ToUpper(c) + "FF", true
	}
	return "", false
}

// readColors keeps the colours of a spool that has several.
func readColors(t *tray, v gjson.Result) bool {
	if !v.IsArray() {
		return false
	}
	var buf [maxColors]string
	colors := buf[:0]
	v.ForEach(func(_, one gjson.Result) bool {
		if c, ok := hexColor(one); ok && c != "" {
			colors = append(colors, c)
		}
		return len(colors) < maxColors
	})
	if len(colors) < 2 {
		colors = nil
	}
	if slices.Equal(t.Colors, colors) {
		return false
	}
	t.Colors = nil // a new list: the old one may be published
	for _, c := range colors {
		t.Colors = append(t.Colors, strings.Clone(c))
	}
	return true
}

// chip reads an RFID number; all zeros is no chip.
func chip(field func(*tray) *string) setter[tray] {
	return func(t *tray, v gjson.Result) bool {
		id, ok := text(v, 64)
		if strings.Trim(id, "0") == "" {
			id = ""
		}
		return ok && keep(field(t), id)
	}
}

// mergeTray lays a tray object over a slot. One without anything but id and state
// says that the data is gone, unless the state says that the data is known: then
// only the state changed.
func mergeTray(t *tray, v gjson.Result, _ bool) bool {
	bare, known := true, false
	v.ForEach(func(k, one gjson.Result) bool {
		switch k.Str {
		case "id":
		case "state":
			n, ok := integer(one)
			known = ok && n&2 != 0
		default:
			bare = false
		}
		return bare
	})
	changed := bare && !known && t.forget()
	return merge(t, v, trayKeys) || changed
}

// forget drops what is known of the spool.
func (t *tray) forget() bool {
	if t.Type == "" && t.Name == "" && t.Color == "" && t.PresetID == "" && t.ChipID == "" &&
		t.SpoolID == "" && t.Colors == nil && !t.Remain.Known && !t.Weight.Known &&
		!t.NozzleMin.Known && !t.NozzleMax.Known && !t.KValue.Known {
		return false
	}
	t.Slot = Slot{ID: t.ID}
	return true
}

// render is the slot for the outside. there is what tray_exist_bits say; without
// them the state tells, and without that a known material.
func (t *tray) render(there, ok bool) Slot {
	out := t.Slot
	switch {
	case ok:
		out.Present = there
	case t.state.Known:
		out.Present = t.state.Value&1 == 1
	default:
		out.Present = out.Type != ""
	}
	if out.Type == "" && strings.Trim(out.Color, "0") == "" {
		out.Color = ""
	}
	if out.Remain.Value < 0 || out.ChipID == "" && out.SpoolID == "" {
		out.Remain = Opt[int]{} // an estimate needs a chip; without one firmware says 0 or 100
	}
	for _, zero := range []*Opt[int]{&out.Weight, &out.NozzleMin, &out.NozzleMax} {
		if zero.Value == 0 {
			*zero = Opt[int]{}
		}
	}
	return out
}

// readVirtualSlots reads the external spools of newer firmware.
func readVirtualSlots(s *State, v gjson.Result) bool {
	changed := mergeByID(&s.filament.virtual, v, virtualList, s.full)
	if changed {
		s.touched |= inFilament
	}
	return changed
}

// readOldSlot reads the external spool of older firmware.
func readOldSlot(f *filament, v gjson.Result) bool {
	id, ok := integer(v.Get("id"))
	if !ok || id != 255 {
		id = 254
	}
	if len(f.old) == 0 || f.old[0].ID != int(id) {
		f.old = []tray{{Slot: Slot{ID: int(id)}}}
	}
	return mergeTray(&f.old[0], v, false)
}
