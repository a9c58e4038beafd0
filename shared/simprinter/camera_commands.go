package simprinter

import (
	"maps"
	"slices"
)

// cameraCommands are about what is recorded. Their answers have a number for a
// result, 0 when all is well.
var cameraCommands = commands{
	"camera.ipcam_record_set": func(p *Printer, r request) { p.cameraSwitch(r, &p.body.set.record) },
	"camera.ipcam_timelapse":  func(p *Printer, r request) { p.cameraSwitch(r, &p.body.set.timelapse) },
	"camera.ipcam_resolution_set": func(p *Printer, r request) {
		res := r.text("resolution")
		ok := slices.Contains([]string{"720p", "1080p"}, res)
		if ok {
			p.body.set.resolution = res
		}
		p.cameraAnswer(r, ok, nil)
	},
	"camera.ipcam_get_media_info": func(p *Printer, r request) {
		p.cameraAnswer(r, r.text("sub_command") == "is_timelapse_storage_enough", obj{"is_enough": p.body.card, "file_count": 3})
	},
	"camera.ipcam_delete_oldest_timelapse": func(p *Printer, r request) { p.cameraAnswer(r, p.body.card, nil) },
	"camera.ipcam_cap_pic_set": func(p *Printer, r request) {
		p.cameraAnswer(r, slices.Contains([]string{"enable", "disable"}, r.text("control")), nil)
	},
}

func (p *Printer) cameraSwitch(r request, into *bool) {
	control := r.text("control")
	ok := control == able(true) || control == able(false)
	if ok {
		*into = control == able(true)
	}
	p.cameraAnswer(r, ok, nil)
}

func (p *Printer) cameraAnswer(r request, ok bool, more obj) {
	out := maps.Clone(r.body)
	out["command"], out["sequence_id"], out["result"], out["peer_host"] = r.command, r.seq, bit(ok)-1, "ipcam"
	if ok {
		maps.Copy(out, more)
	}
	p.reply(obj{r.section: out})
	p.show()
}
