package simprinter

import (
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
	if v.is("A2L", "X2D") || strings.HasPrefix(v.model.Code, "H2") {
		t["2D"] = obj{"bs": obj{"bi": []obj{}, "total_time": 0}, "cond": 15, "cur_stage": obj{"idx": 0, "left_time": 0, "process": 0, "state": 0}}
	}
	if !strings.HasPrefix(v.model.Code, "X1") {
		j := v.jobView()
		t["3D"] = obj{"layer_num": j.layer, "total_layer_num": j.layers}
	}
}

// coreKeys are those that only the X1, P2 and H2 families and the X2D send.
func (v *machine) coreKeys(t obj) {
	t["job"] = obj{"cur_stage": obj{"idx": 0, "state": 2 * bit(v.busy())}, "stage": []obj{}}
	t["model_id"], t["design_id"], t["fail_reason"], t["queue"] = "", "0", "0", 0
	t["care"] = []obj{{"id": "ls", "info": "1864"}}
	t["mc_action"], t["print_gcode_action"], t["print_real_action"] = 0, 0, 0
	t["mc_print_error_code"] = v.motionError()
	if strings.HasPrefix(v.model.Code, "H2") && v.model.Code != "H2D" || v.is("P2S", "X2D") {
		t["lan_task_id"] = "0"
	}
	if strings.HasPrefix(v.model.Code, "X1") || v.model.Code == "H2D" { // both forms at once
		t["vt_tray"] = v.external(v.model.Nozzles-1, "254")
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
