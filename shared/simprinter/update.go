package simprinter

import (
	"hash/crc32"
	"maps"
	"time"
)

// update is new firmware: on offer, or being installed.
type update struct {
	offered  string // version, "" none
	status   string // of upgrade_state, "" idle
	progress int
	in       time.Duration
	restart  bool // it is installed: the printer has to restart
}

// How long an update takes.
const (
	downloading = 40 * time.Second
	flashing    = 80 * time.Second
)

// install begins the update that is on offer. Not during a print.
func (v *machine) install() bool {
	u := &v.update
	if u.offered == "" || u.status != "" || v.occupied() {
		return false
	}
	u.status, u.progress, u.in = "DOWNLOADING", 0, 0
	return true
}

func (v *machine) updating(dt time.Duration) {
	u := &v.update
	if u.status != "DOWNLOADING" && u.status != "FLASHING" {
		return
	}
	switch u.in += dt; {
	case u.in < downloading:
		u.progress = int(100 * u.in / downloading)
	case u.in < downloading+flashing:
		u.status, u.progress = "FLASHING", int(100*(u.in-downloading)/flashing)
	default:
		u.status, u.progress, u.restart = "UPGRADE_SUCCESS", 100, true
	}
}

// upgradeState is how the report tells of it: the A and P series with a list, the
// others with the version alone.
func (v *machine) upgradeState(id identity) obj {
	u := v.update
	out := obj{
		"sequence_id": 0, "progress": "", "status": "IDLE", "consistency_request": false, "dis_state": 0, "err_code": 0,
		"force_upgrade": false, "message": "", "module": "", "new_version_state": 2, "idx2": crc32.ChecksumIEEE([]byte(v.firmware)),
	}
	if v.model.PushallBudget > 0 {
		out["cur_state_code"], out["new_ver_list"] = 0, []obj{}
	} else {
		maps.Copy(out, obj{
			"progress": "0", "idx": 7, "lower_limit": "00.00.00.00", "sn": id.serial, "ota_new_version_number": "", "ams_new_version_number": "",
			"ahb_new_version_number": "", "ext_new_version_number": "",
		})
	}
	if v.lite() && v.is("A1", "A1MINI") && !v.dated {
		out["mc_for_ams_firmware"] = obj{
			"current_firmware_id": 0, "current_run_firmware_id": 0, "status": "IDLE",
			"firmware": []obj{{"id": 0, "name": "AMS Lite"}, {"id": 1, "name": "AMS/AMS 2 Pro/AMS HT"}},
		}
	}
	if v.is("X2D") {
		out["rate"] = "0B/s"
	}
	if u.status != "" {
		out["status"], out["progress"], out["module"], out["dis_state"] = u.status, itoa(u.progress), "ota", 1
	}
	if u.offered == "" {
		return out
	}
	out["new_version_state"] = 1
	if v.model.PushallBudget > 0 {
		out["new_ver_list"] = []obj{{"name": "ota", "cur_ver": v.firmware, "new_ver": u.offered, "cur_release_type": 3, "new_release_type": 3}}
	} else {
		out["ota_new_version_number"] = u.offered
	}
	return out
}
