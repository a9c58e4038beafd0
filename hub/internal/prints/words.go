package prints

import (
	"path"
	"strings"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// fill takes over what a record knows better.
func fill(p *farm.Print, r *wire.PrintRecord) {
	if r.SubtaskID != "" {
		p.Subtask = r.SubtaskID
	}
	if p.SHA256 == "" { // else the file itself has told
		if name, filename := names(r); r.Name != "" || r.File != "" {
			if p.Filename = filename; !p.Renamed {
				p.Name = name
			}
		}
	}
	if p.Source == "" {
		p.Source = source(r)
	}
	if r.Plate.Known {
		p.Plate = r.Plate.Value
	}
	if r.Progress.Known {
		p.Progress = max(p.Progress, r.Progress.Value)
	}
	if r.Layer.Known {
		p.Layer = max(p.Layer, r.Layer.Value)
	}
	if r.TotalLayers.Or(0) > 0 {
		p.TotalLayers = r.TotalLayers.Value
	}
	if p.Nozzle == nil {
		p.Nozzle = r.Nozzle.Ptr()
	}
}

// source is where a print came from, as far as the printer tells: one that was sent
// over the LAN and one begun at the screen from what lay on the card look the same.
func source(r *wire.PrintRecord) string {
	switch r.PrintKind {
	case "cloud":
		return farm.SourceCloud
	case "local":
		return farm.SourceSlicer
	default:
		return ""
	}
}

// names makes the name of a print and of its 3MF out of what a printer reports: a
// title, and a path that is the file's or the G-code's inside of it. The 3MF itself
// tells better, when it has come.
func names(r *wire.PrintRecord) (name, filename string) {
	base := path.Base(strings.ReplaceAll(r.File, `\`, "/"))
	title := strings.TrimSpace(r.Name)
	if title == "0" { // P1 firmware, with a job that has no title
		title = ""
	}
	switch lower := strings.ToLower(base); {
	case strings.HasSuffix(lower, ".3mf"):
		filename = base
	case strings.HasSuffix(strings.ToLower(title), ".3mf"):
		filename = title
	case title != "":
		filename = title + ".3mf"
	case base != "." && base != "/" && base != "":
		filename = base
	default:
		return "unnamed", "unnamed.3mf"
	}
	filename = farm.SafeName(path.Base(strings.ReplaceAll(filename, `\`, "/")), maxName)
	if title != "" {
		return farm.Stem(title), filename
	}
	return farm.Stem(filename), filename
}
