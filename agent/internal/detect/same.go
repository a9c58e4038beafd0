package detect

// another tells whether what runs now is proven to be another print than the open
// one. Without proof it is the same.
func (d *step) another() bool {
	r, p := d.Open, d.pic
	if own := r.Print.SubtaskID; own != "" && p.ID != "" && p.ID != r.OldID {
		switch {
		case own == p.ID:
			return false
		case d.settled():
			return true
		default:
			// While a print is prepared the id may still be that of the one before,
			// but preparing does not take for ever.
			return d.fresh && d.gap > shortGap || r.StartMS.Known && d.in.AtMS-r.StartMS.Value > shortGap
		}
	}
	if !d.fresh {
		return false
	}
	return r.RanMS.Known && preparing(p.Word) || d.wentBack() || d.renamed()
}

// settled: the open print has run long enough for its id to be its own.
func (d *step) settled() bool {
	r := d.Open
	return r.RanMS.Known && (r.Print.Progress.Known || d.in.AtMS-r.RanMS.Value >= settles)
}

// wentBack: the print is clearly less far than it was. Layers alone do not tell:
// printing object by object goes back to the first.
func (d *step) wentBack() bool {
	was, now := d.Open.Print, d.pic.Numbers
	if !was.Progress.Known || !now.Progress.Known {
		return false
	}
	before, after := was.Progress.Value, now.Progress.Value
	back := after+5 <= before || after == 0 && before >= 2
	lower := !was.Layer.Known || !now.Layer.Known || now.Layer.Value < was.Layer.Value
	return back && lower
}

// renamed: the open print's own name, file or plate was another.
func (d *step) renamed() bool {
	r, p := d.Open, d.pic
	if !d.settled() {
		return false
	}
	file := p.File
	if plain(file) || plain(r.Print.File) {
		file = ""
	}
	if alike(file, r.Print.File) {
		return false
	}
	plate := p.Plate.Known && r.Print.Plate.Known && p.Plate != r.Print.Plate
	return unlike(file, r.Print.File) || plate || !r.NameOld && unlike(p.Name, r.Print.Name)
}

// sameEnd tells whether a terminal picture after a gap is proven to be the end of
// the open print: by its id, or where there is none by its name when the gap was too
// short for another print of that file.
func (d *step) sameEnd() bool {
	r, p := d.Open, d.pic
	if p.internal() {
		return false
	}
	if own := r.Print.SubtaskID; own != "" && p.ID != "" && p.ID != r.OldID {
		return own == p.ID
	}
	names := alike(p.Name, r.Print.Name) || p.Name == "" && r.Print.Name == "" && alike(p.File, r.Print.File)
	layers := p.Numbers.Layers.Value == 0 || r.Print.TotalLayers.Value == 0 || p.Numbers.Layers == r.Print.TotalLayers
	plate := !p.Plate.Known || !r.Print.Plate.Known || p.Plate == r.Print.Plate
	return names && layers && plate && d.gap < max(quickest, d.wholeTime())
}

// wholeTime is how long the open print takes from start to end, as far as that is
// known: with an unseen start at least what was left.
func (d *step) wholeTime() int64 {
	r := d.Open
	if !r.Print.Remaining.Known {
		return 0
	}
	whole := int64(r.Print.Remaining.Value) * 1000
	if r.StartMS.Known {
		whole += max(0, d.SeenMS-r.StartMS.Value)
	}
	return whole
}
