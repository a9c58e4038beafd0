package simprinter

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"bambuddy/shared/bambu"
)

// obj is a JSON object.
type obj = map[string]any

func itoa(n int) string { return strconv.Itoa(n) }

// pack puts an actual and a target temperature into one number.
func pack(h heater) int64 { return int64(math.Round(h.now)) | int64(math.Round(h.target))<<16 }

// temp is a temperature in the model's steps.
func (v *machine) temp(t float64) float64 {
	if v.model.Reports == bambu.StyleDelta {
		return math.Round(t*32) / 32
	}
	return math.Round(t)
}

// tree is the whole report of a machine, in the key set of its model
// (protocol/mqtt.md §3.2). It is made anew each time.
func (v *machine) tree(id identity) obj {
	t := v.always(id)
	if v.model.Reports == bambu.StyleDelta {
		v.early(t)
	}
	if v.model.Reports == bambu.StyleFull || v.model.Code == "A2L" {
		v.late(t, id)
	}
	return t
}

// identity is who a printer is.
type identity struct {
	serial, name string
	ip           uint32 // little endian, as reported
	camera       cameraFace
}

// always are the keys every model reports.
func (v *machine) always(id identity) obj {
	j := v.jobView()
	t := obj{
		"command": "push_status", "gcode_state": v.state, "stg_cur": v.stage, "stg": orEmpty(v.stages),
		"mc_percent": j.percent, "mc_remaining_time": j.remaining, "mc_print_stage": v.printStage(), "mc_print_sub_stage": 0,
		"layer_num": j.layer, "total_layer_num": j.layers, "print_type": v.printType(), "gcode_file": v.gcodeFile(),
		"gcode_file_prepare_percent": j.prepared, "subtask_name": j.name, "subtask_id": j.subtask, "task_id": j.task,
		"project_id": j.task, "profile_id": "0", "nozzle_temper": v.temp(v.nozzle[v.active].now), "nozzle_target_temper": v.nozzle[v.active].target,
		"bed_temper": v.temp(v.bed.now), "bed_target_temper": v.bed.target, "cooling_fan_speed": fan15(v.partFan),
		"big_fan1_speed": fan15(v.auxFan), "big_fan2_speed": fan15(v.chamberFan), "heatbreak_fan_speed": fan15(v.heatbreak()),
		"fan_gear": gear(v.partFan) | gear(v.auxFan)<<8 | gear(v.chamberFan)<<16,
		"spd_lvl":  v.speedLevel(), "spd_mag": []int{0, 50, 100, 124, 166}[v.speed], "print_error": v.printError, "hms": v.hmsList(),
		"lights_report": v.lights(), "wifi_signal": fmt.Sprintf("%ddBm", v.wifi), "sdcard": v.card, "home_flag": v.homeFlag(),
		"hw_switch_state": bit(v.filament), "ams_status": v.amsStatus, "ams_rfid_status": bit(v.reading >= 0), "ams": v.ams(),
		"nozzle_diameter": strconv.FormatFloat(v.set.nozzleSize, 'f', -1, 64), "nozzle_type": v.set.nozzleKind, "s_obj": orEmpty(v.skipped), "force_upgrade": false, "queue_number": 0, "queue_est": 0, "queue_sts": 0, "queue_total": 0,
		"online": v.online(), "cali_version": 0,
		"net":           obj{"conf": 0, "info": []obj{{"ip": id.ip, "mask": 0x00FFFFFF}}},
		"upload":        v.upload(),
		"ipcam":         v.ipcam(id),
		"upgrade_state": v.upgradeState(id),
	}
	return t
}

// early are the keys of the A and P series.
func (v *machine) early(t obj) {
	t["lifecycle"], t["mess_production_state"], t["flag3"], t["mc_print_line_number"] = "product", "active", 15, "0"
	t["filam_bak"], t["chamber_temper"], t["k"] = []int{}, 5, "0.0200" // 5: no sensor
	if v.model.Code != "A2L" {
		t["vt_tray"] = v.external(0, "254")
	}
	if x := v.xcam(); x != nil {
		t["xcam"] = x
	}
}

// late are the keys of the X1, P2 and H2 families, and of the A2L.
func (v *machine) late(t obj, id identity) {
	j := v.jobView()
	t["fun"], t["cfg"], t["aux"], t["stat"] = v.fun(), v.cfg(), v.aux(), v.stat()
	t["percent"], t["remain_time"], t["job_id"], t["plate_id"] = j.percent, j.remaining, j.task, j.plate
	t["state"], t["ver"], t["err"], t["mapping"] = map[bool]int{true: 4, false: 6}[v.busy()], "20000", "0", v.mapping()
	t["device"] = v.device()
	v.newJobKeys(t)
	if v.model.Code == "A2L" {
		t["vir_slot"] = []obj{v.external(0, "255")}
		return
	}
	t["file"], t["xcam_status"], t["mc_err"], t["mc_stage"] = t["gcode_file"], "0", 0, 1
	t["plate_idx"], t["plate_cnt"] = j.plate, 1
	v.coreKeys(t)
	t["aux_part_fan"] = true
	t["xcam"] = v.xcam()
	t["vir_slot"] = []obj{v.external(0, "255")}
	if v.model.Nozzles == 2 {
		t["vir_slot"] = []obj{v.external(1, "254"), v.external(0, "255")}
	}
	switch {
	case v.model.Code == "H2D":
		t["chamber_temper"], t["ctt"] = v.temp(v.chamber.now), v.chamber.target
	case v.large(): // with the target in the high half, as an H2S was recorded
		t["info"] = obj{"temp": pack(v.chamber)}
	default:
		t["info"] = obj{"temp": int(math.Round(v.chamber.now))}
	}
}

// mapping is unit<<8|slot of each filament of the running job, 65535 for none.
func (v *machine) mapping() []int {
	if v.job == nil || v.job.ended {
		return []int{65535}
	}
	var out []int
	for _, t := range v.job.mapping {
		if t < 0 {
			out = append(out, 65535)
			continue
		}
		out = append(out, v.unit()<<8|t)
	}
	return orEmpty(out)
}

// jobView is the job in the report's terms; all zero before the first.
type jobView struct {
	name, subtask, task, prepared            string
	percent, remaining, layer, layers, plate int
}

func (v *machine) jobView() jobView {
	j := v.job
	if j == nil {
		return jobView{subtask: "0", task: "0", prepared: "0"}
	}
	left := max(0, j.print-j.done)
	if j.ended || !j.begun {
		left = 0
	}
	w := jobView{
		name: j.Name, subtask: j.subtask, task: j.task, prepared: itoa(v.preparePercent()), percent: j.percent,
		remaining: int(math.Ceil(left.Minutes())), layer: j.layer, layers: j.total, plate: j.Plate,
	}
	if j.lag > 0 && !j.ended {
		w.name, w.subtask, w.task = j.was.name, j.was.subtask, j.was.task
	}
	if j.ended && strings.HasPrefix(v.model.Code, "P1") {
		w.layers = 0
	}
	return w
}

func (v *machine) printStage() string {
	switch v.state {
	case stPrepare, stRunning:
		return "2"
	case stPause:
		return "3"
	}
	return "1"
}

func (v *machine) printType() string {
	switch {
	case v.job == nil || v.job.ended:
		if v.model.Reports == bambu.StyleFull {
			return ""
		}
		return "idle"
	case v.job.Source == "cloud", v.job.Source == "system":
		return v.job.Source
	}
	return "local"
}

func (v *machine) gcodeFile() string {
	switch {
	case v.job == nil:
		return ""
	case v.job.routine != nil:
		return "/usr/etc/print/auto_cali_for_user.gcode"
	case v.model.Reports == bambu.StyleFull:
		return fmt.Sprintf("/data/Metadata/plate_%d.gcode", v.job.Plate)
	case v.job.ended:
		return ""
	}
	if v.job.file != "" && (strings.HasPrefix(v.model.Code, "P1") || v.job.Name == "") {
		return v.job.file
	}
	if v.job.Name == "" {
		return ""
	}
	return strings.TrimSuffix(v.job.Name, ".3mf") + ".3mf" // on the A1 the file's own name may end otherwise
}

func (v *machine) heatbreak() int {
	if v.nozzle[v.active].now > 50 {
		return 100
	}
	return 0
}

func fan15(percent int) string { return itoa(int(math.Round(float64(percent) * 15 / 100))) }

func gear(percent int) int { return percent * 255 / 100 }

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func (v *machine) hmsList() []obj {
	out := []obj{}
	for _, h := range v.hms {
		out = append(out, obj{"attr": h.Attr, "code": h.Code})
	}
	return out
}

func (v *machine) lights() []obj {
	out := []obj{{"node": "chamber_light", "mode": v.light}}
	if v.model.Reports == bambu.StyleFull {
		out = append(out, obj{"node": "work_light", "mode": "flashing"})
	}
	if strings.HasPrefix(v.model.Code, "H2") {
		out = append(out, obj{"node": "chamber_light2", "mode": v.light})
	}
	return out
}

func (v *machine) ipcam(id identity) obj {
	c := obj{"ipcam_dev": "1", "ipcam_record": able(v.set.record), "timelapse": able(v.set.timelapse), "resolution": v.set.resolution, "tutk_server": "disable", "mode_bits": 3}
	if v.model.Camera == bambu.CameraRTSP {
		v.cameraKeys(c)
	}
	id.camera.show(c, v.model.Camera, id.ip)
	return c
}

// able is a switch in the camera's words.
func able(on bool) string {
	if on {
		return "enable"
	}
	return "disable"
}

func ipText(ip uint32) string {
	return fmt.Sprintf("%d.%d.%d.%d", byte(ip), byte(ip>>8), byte(ip>>16), byte(ip>>24))
}
