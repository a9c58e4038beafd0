package simprinter

import (
	"maps"
	"slices"
	"strings"

	"bambuddy/shared/bambu"
)

// newJobKeys are the keys about the job that firmware with bit fields added, of
// all models that have such firmware.
func (v *machine) newJobKeys(t obj) {
	t["job_attr"], t["prepare_per"] = v.jobAttr(), v.preparePercent()
	t["ap_err"], t["batch_id"], t["canvas_id"] = 0, 0, 0
	if v.is("A2L", "P2S", "X2D") {
		t["fun2"] = "1"
	}
	if v.is("P2S", "X2D") {
		t["stg_cd"] = 0
	}
	if v.is("A2L", "X2D") || v.large() {
		t["2D"] = v.flatwork()
	}
	if !strings.HasPrefix(v.model.Code, "X1") {
		t["3D"] = v.layers()
	}
}

// flatwork is about cutting and plotting.
func (v *machine) flatwork() obj {
	out := obj{
		"bs": obj{"bi": []obj{}, "total_time": 0}, "cond": 15, "makeable": false,
		"cur_stage": obj{"idx": 0, "left_time": 0, "process": 0, "state": 0, "clock_in_time": 0},
		"material":  obj{"cur_id_list": []int{}, "state": 0, "tar_id": "", "tar_name": ""},
	}
	switch v.model.Code {
	case "A2L":
		out["cap_pos_ok"], out["pm"] = false, 1
		return out
	case "X2D":
		out["pm"] = 0
	}
	out["first_confirm"] = false
	return out
}

func (v *machine) layers() obj {
	j := v.jobView()
	out := obj{"layer_num": j.layer, "total_layer_num": j.layers}
	if v.is("X2D") {
		out["enc_type"], out["print_cali_option"], out["ventobox"] = 0, 0, obj{"enable": false, "speed": 50, "visable": false}
	}
	return out
}

// online tells which parts answer.
func (v *machine) online() obj {
	if v.model.Reports == bambu.StyleDelta {
		return obj{"ahb": false, "rfid": false, "version": 7}
	}
	out := obj{"ahb": true, "version": 7}
	if v.oldDoor() || v.large() && v.model.Nozzles == 2 {
		out["ext"] = v.large()
	}
	return out
}

// upload is the way by which the cloud fetches files; newer machines tell more of it.
func (v *machine) upload() obj {
	if v.model.Reports == bambu.StyleDelta {
		return obj{"status": "idle", "progress": 0, "message": ""}
	}
	return obj{
		"status": "idle", "progress": 0, "message": "Good", "file_size": 0, "finish_size": 0, "oss_url": "", "sequence_id": "0903", "speed": 0,
		"task_id": "", "time_remaining": 0, "trouble_id": "",
	}
}

// cameraKeys are what the cameras with RTSP have more.
func (v *machine) cameraKeys(c obj) {
	c["mode_bits"], c["agora_service"], c["brtc_service"], c["bs_state"] = 2, "disable", "enable", 0
	c["tl_store_hpd_type"], c["tl_store_path_type"], c["laser_preview_res"] = 2, 2, 7
	switch {
	case v.is("H2S"):
		c["laser_preview_res"] = 4
	case v.large():
		c["laser_preview_res"] = 5
	case v.is("P2S", "X2D"):
		c["cap_pic_enable"] = "enable"
	}
	if v.is("X2D") {
		c["liveview_preview"] = true
		maps.Copy(c, timelapseRoom())
	}
}

// timelapseRoom is what is free for films, in KB.
func timelapseRoom() obj {
	return obj{"tl_external_free_kb": 0, "tl_external_total_kb": 0, "tl_internal_free_kb": 881996, "tl_internal_total_kb": 962560}
}

// jobStages are those of the whole job: one, a print, while there is one.
func (v *machine) jobStages() obj {
	out := obj{"cur_stage": obj{"idx": 0, "state": 2 * bit(v.busy())}, "stage": []obj{}}
	if v.is("X2D") {
		out["job_state"] = 4 * bit(v.busy())
	}
	if v.busy() {
		n := v.model.Nozzles
		out["stage"] = []obj{{
			"clock_in": false, "color": slices.Repeat([]string{""}, n), "diameter": slices.Repeat([]float64{v.set.nozzleSize}, n), "est_time": 0,
			"heigh": 0.0, "idx": 0, "platform": "", "print_then": false, "proc_list": []obj{}, "tool": slices.Repeat([]string{v.nozzleType()}, n), "type": 2,
		}}
	}
	return out
}

// coreKeys are those that only the X1, P2 and H2 families and the X2D send.
func (v *machine) coreKeys(t obj) {
	t["job"] = v.jobStages()
	t["model_id"], t["design_id"], t["fail_reason"], t["queue"] = "", "0", "0", 0
	t["care"] = []obj{{"id": "ls", "info": "1864"}}
	t["mc_action"], t["print_gcode_action"], t["print_real_action"] = 0, 0, 0
	t["mc_print_error_code"] = v.motionError()
	if strings.HasPrefix(v.model.Code, "H2") && v.model.Code != "H2D" || v.is("P2S", "X2D") {
		t["lan_task_id"] = "0"
	}
	if strings.HasPrefix(v.model.Code, "X1") || v.model.Code == "H2D" { // both forms at once
		t["vt_tray"] = v.external(0, "255")
	}
	switch v.model.Code {
	case "H2D":
		t["maintain"] = 3
	case "X2D":
		t["err2"] = obj{"err_code": "0", "img_id": ""}
	}
}

func (v *machine) is(codes ...string) bool { return slices.Contains(codes, v.model.Code) }

// jobAttr is the job's state in bits 4 to 7, and its kind below them.
func (v *machine) jobAttr() int {
	switch {
	case v.model.Code == "A2L":
		return 0
	case !v.busy():
		return 3
	case v.job.Source == "cloud":
		return 0x11
	}
	return 0x12
}

// preparePercent is how much of the file is downloaded and unpacked.
func (v *machine) preparePercent() int {
	switch j := v.job; {
	case j == nil:
		return 0
	case v.state == stPrepare && j.Source == "cloud" && j.waitedFor < downloadTime:
		return 0
	}
	return 100
}

// motionError is the low word of an error the motion controller has.
func (v *machine) motionError() string {
	if v.printError>>24 != 0x03 {
		return "0"
	}
	return itoa(int(v.printError & 0xFFFF))
}

// cancelHMS is the entry that a P2S adds when it shows that a print was cancelled.
var cancelHMS = bambu.HMS{Attr: 0x05000400, Code: 0x00030057}
