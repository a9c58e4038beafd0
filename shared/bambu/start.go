package bambu

import "bambuddy/shared/farm"

// Start is a print of a file that lies in the root of the printer's storage.
type Start struct {
	Subtask string            `json:"subtask_id"`         // decimal, 1…2³¹−1, never used before: what the printer reports
	Name    string            `json:"name"`               // title it shows
	File    string            `json:"file"`               // base name on the storage: ASCII, below 100 bytes, ends in .gcode.3mf
	Plate   int               `json:"plate"`              // from 1
	Feeds   []farm.Feed       `json:"feeds"`              // one for each filament of the project
	BedType string            `json:"bed_type,omitempty"` // as the slicer calls it
	Options farm.PrintOptions `json:"options"`
}
