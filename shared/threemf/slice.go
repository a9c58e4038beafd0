package threemf

import (
	"slices"

	"bambuddy/shared/farm"
)

// Slice is what the slicer says of a plate, for an archive. Plate 0 means the only
// sliced one; when there are several, nobody knows which, and it tells what they have
// in common. So it does of a plate that the file does not hold.
func (f *File) Slice(plate int) farm.SliceData {
	s := f.Settings
	out := farm.SliceData{
		Title: f.Title, Plate: plate, BedType: s.BedType, Filaments: []farm.PrintFilament{},
		LayerHeight: known(s.LayerHeight), Nozzle: known(at(s.Nozzles, 0)),
	}
	if plate == 0 {
		plate = f.onlySliced()
		out.Plate = plate
	}
	p, ok := f.Plate(plate)
	if !ok {
		return out
	}
	out.BedType, out.TotalLayers = p.BedType, p.TotalLayers
	out.LayerHeight, out.Nozzle = known(p.LayerHeight), known(at(p.Nozzles, 0))
	out.Estimate, out.EstimateGrams = known(p.Prediction), known(p.Weight)
	for _, u := range p.Filaments {
		out.Filaments = append(out.Filaments, farm.PrintFilament{Slot: u.ID, Type: u.Type, Color: u.Color, Grams: u.Grams, Metres: u.Metres})
	}
	return out
}

// onlySliced is the number of the sliced plate, 0 when there is none or more than one.
func (f *File) onlySliced() int {
	is := func(p Plate) bool { return p.GcodePath != "" }
	i := slices.IndexFunc(f.plates, is)
	if i < 0 || slices.ContainsFunc(f.plates[i+1:], is) {
		return 0
	}
	return f.plates[i].Index
}

// known is a number, nil when it is zero.
func known[T int64 | float64](v T) *T {
	if v == 0 {
		return nil
	}
	return &v
}
