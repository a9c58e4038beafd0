package threemf

import "bambuddy/shared/farm"

// Slice is what the slicer says of a plate, for an archive. Plate 0 means the only
// sliced one; when there are several, what they have in common.
func (f *File) Slice(plate int) farm.SliceData {
	out := farm.SliceData{Title: f.Title, Plate: plate, BedType: f.Settings.BedType, Filaments: []farm.PrintFilament{}}
	if h := f.Settings.LayerHeight; h > 0 {
		out.LayerHeight = &h
	}
	if n := f.Settings.Nozzles; len(n) > 0 && n[0] > 0 {
		out.Nozzle = &n[0]
	}
	sliced := f.slicedPlates()
	if plate == 0 && len(sliced) == 1 {
		plate = sliced[0]
		out.Plate = plate
	}
	p, ok := f.Plate(plate)
	if !ok {
		return out
	}
	out.TotalLayers, out.BedType = p.TotalLayers, orElse(p.BedType, out.BedType)
	if p.LayerHeight > 0 {
		out.LayerHeight = &p.LayerHeight
	}
	if len(p.Nozzles) > 0 && p.Nozzles[0] > 0 {
		out.Nozzle = &p.Nozzles[0]
	}
	if p.Prediction > 0 {
		out.Estimate = &p.Prediction
	}
	grams := 0.0
	for _, u := range p.Filaments {
		grams += u.Grams
		out.Filaments = append(out.Filaments, farm.PrintFilament{Slot: u.ID, Type: u.Type, Color: u.Color, Grams: u.Grams, Metres: u.Metres})
	}
	if p.Weight > 0 {
		grams = p.Weight
	}
	if grams > 0 {
		out.EstimateGrams = &grams
	}
	return out
}
