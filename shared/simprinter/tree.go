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
	serial, name, firmware string
	ip                     uint32 // little endian, as reported
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
		"hw_switch_state": bit(v.filament), "ams_status": v.amsStatus, "ams_rfid_status": 0, "ams": v.ams(),
		"nozzle_diameter": "0.4", "nozzle_type": "stainless_steel", "s_obj": []int{}, "force_upgrade": false, "queue_number": 0, "queue_est": 0, "queue_sts": 0, "queue_total": 0,
		"online": obj{"ahb": false, "rfid": false, "version": 7}, "cali_version": 0,
		"net":           obj{"conf": 0, "info": []obj{{"ip": id.ip, "mask": 0x00FFFFFF}}},
		"upload":        obj{"status": "idle", "progress": 0, "message": ""},
		"ipcam":         v.ipcam(id),
		"upgrade_state": v.upgradeState(),
	}
	return t
}

// early are the keys of the A and P series.
func (v *machine) early(t obj) {
	t["lifecycle"], t["mess_production_state"], t["flag3"], t["mc_print_line_number"] = "product", "active", 15, "0"
	t["filam_bak"], t["chamber_temper"], t["k"] = []int{}, 5, "0.0200" // 5: no sensor
	if v.model.Code != "A2L" {
		t["vt_tray"] = external("254")
	}
	if strings.HasPrefix(v.model.Code, "A") {
		t["xcam"] = obj{"buildplate_marker_detector": true}
	}
}

// late are the keys of the X1, P2 and H2 families, and of the A2L.
func (v *machine) late(t obj, id identity) {
	j := v.jobView()
	t["fun"], t["cfg"], t["aux"], t["stat"] = v.fun(), v.cfg(), v.aux(), "46258008"
	t["percent"], t["remain_time"], t["job_id"], t["plate_id"] = j.percent, j.remaining, j.task, j.plate
	t["state"], t["ver"], t["err"], t["mapping"] = map[bool]int{true: 4, false: 6}[v.busy()], "20000", "0", v.mapping()
	t["device"] = v.device()
	v.newJobKeys(t)
	if v.model.Code == "A2L" {
		t["vir_slot"] = []obj{external("255")}
		return
	}
	t["file"], t["xcam_status"], t["mc_err"], t["mc_stage"] = t["gcode_file"], "0", 0, 1
	t["plate_idx"], t["plate_cnt"] = j.plate, 1
	v.coreKeys(t)
	t["aux_part_fan"] = true
	t["xcam"] = obj{"allow_skip_parts": false, "buildplate_marker_detector": true, "first_layer_inspector": true, "halt_print_sensitivity": "medium", "print_halt": true, "printing_monitor": true, "spaghetti_detector": true}
	t["vir_slot"] = []obj{external("255")}
	if v.model.Nozzles == 2 {
		t["vir_slot"] = []obj{external("254"), external("255")}
	}
	if v.model.Code == "H2D" {
		t["chamber_temper"] = v.temp(v.chamber.now)
	} else {
		t["info"] = obj{"temp": pack(v.chamber)}
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
	case v.job.Source == "cloud":
		return "cloud"
	}
	return "local"
}

func (v *machine) gcodeFile() string {
	switch {
	case v.job == nil:
		return ""
	case v.model.Reports == bambu.StyleFull:
		return fmt.Sprintf("/data/Metadata/plate_%d.gcode", v.job.Plate)
	case v.job.ended:
		return ""
	}
	return v.job.Name + ".3mf"
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
	mode := map[bool]string{true: "on", false: "off"}[v.light]
	out := []obj{{"node": "chamber_light", "mode": mode}}
	if v.model.Reports == bambu.StyleFull {
		out = append(out, obj{"node": "work_light", "mode": "flashing"})
	}
	if strings.HasPrefix(v.model.Code, "H2") {
		out = append(out, obj{"node": "chamber_light2", "mode": mode})
	}
	return out
}

// homeFlag: axes homed, storage normal (bit 8), auto refill.
func (v *machine) homeFlag() int32 {
	flag := int32(1<<18 | 1<<10 | 7)
	if v.card {
		flag |= 1 << 8
	}
	return flag
}

// fun: bit 29 says that commands must be signed.
func (v *machine) fun() string {
	bits := uint64(0x3EC18FFF9CFF)
	if v.secured {
		bits |= 1 << 29
	}
	return strings.ToUpper(strconv.FormatUint(bits, 16))
}

// cfg: the lamp in bit 7, the speed level in bits 8 to 10.
func (v *machine) cfg() string {
	bits := uint64(0x1C5FD819) | uint64(v.speed)<<8 | uint64(bit(v.light))<<7
	return strings.ToUpper(strconv.FormatUint(bits, 16))
}

// aux: bits 12 and 13 say how the storage is, 1 is well.
func (v *machine) aux() string {
	return strings.ToUpper(strconv.FormatUint(0x2800004|uint64(bit(v.card))<<12, 16))
}

func (v *machine) ipcam(id identity) obj {
	c := obj{"ipcam_dev": "1", "ipcam_record": "disable", "timelapse": "disable", "resolution": "1080p", "tutk_server": "disable", "mode_bits": 3}
	if v.model.Camera == bambu.CameraRTSP {
		c["mode_bits"], c["rtsp_url"] = 2, "rtsps://"+ipText(id.ip)+":322/streaming/live/1"
	}
	return c
}

func ipText(ip uint32) string {
	return fmt.Sprintf("%d.%d.%d.%d", byte(ip), byte(ip>>8), byte(ip>>16), byte(ip>>24))
}

func (v *machine) upgradeState() obj {
	return obj{
		"sequence_id": 0, "progress": "", "status": "IDLE", "consistency_request": false, "dis_state": 0, "err_code": 0,
		"force_upgrade": false, "message": "", "module": "", "new_version_state": 2, "cur_state_code": 0, "new_ver_list": []obj{},
	}
}

// device is the hardware tree of newer firmware.
func (v *machine) device() obj {
	var extruders, nozzles []obj
	for i := range v.model.Nozzles {
		now := 65535 - i*256 // 0xFFFF: nothing on the right, 0xFEFF: nothing on the left
		if i == v.active && v.trayNow < 254 {
			now = v.unit()<<8 | v.trayNow
		}
		extruders = append(extruders, obj{
			"id": i, "temp": pack(v.nozzle[i]), "snow": now, "spre": now, "star": now, "hnow": i, "hpre": i, "htar": i,
			"info": 8, "stat": 0, "filam_bak": []int{},
		})
		nozzles = append(nozzles, obj{"id": i, "diameter": 0.4, "type": "HS01", "wear": 0, "tm": 0})
	}
	d := obj{
		"type": 1, "bed": obj{"info": obj{"temp": pack(v.bed)}, "state": 0}, "bed_temp": pack(v.bed),
		"extruder": obj{"state": v.model.Nozzles | v.active<<4 | v.active<<8, "info": extruders},
		"nozzle":   obj{"exist": 1<<v.model.Nozzles - 1, "state": 0, "info": nozzles},
		"plate":    obj{"base": 1, "mat": 1, "cali2d_id": "", "cur_id": "", "tar_id": ""},
		"ext_tool": obj{"calib": 2, "low_prec": true, "mount": 0, "th_temp": 0, "type": ""},
	}
	if v.model.ChamberSensor {
		d["ctc"] = obj{"info": obj{"temp": pack(v.chamber)}, "state": 0}
	}
	if v.model.FirstAMS == "" { // the machines that came with air ducts
		part := func(id, percent int) obj { return obj{"id": id, "func": 0, "state": percent, "range": 6553600} }
		d["airduct"] = obj{"modeCur": 0, "parts": []obj{part(16, v.partFan)}}
		if v.model.AuxFan {
			d["airduct"] = obj{"modeCur": 0, "parts": []obj{part(16, v.partFan), part(32, v.auxFan), part(48, v.chamberFan)}}
		}
	}
	return d
}

// unit is the id of the one AMS.
func (v *machine) unit() int {
	if v.model.Code == "A2L" {
		return 16
	}
	return 0
}

func (v *machine) ams() obj {
	exist, slots := 0, []obj{}
	for i, s := range v.seen {
		slot := obj{"id": itoa(i)}
		if s.Type != "" {
			exist |= 1 << i
			slot = s.slot(itoa(i))
		}
		slots = append(slots, slot)
	}
	exist <<= map[bool]int{true: 24, false: 0}[v.unit() == 16]
	info := map[string]string{"A1": "1002", "A1MINI": "1002", "A2L": "1005", "X1C": "1001", "X1": "1001", "X1E": "1001", "P1S": "1001", "P1P": "1001"}[v.model.Code]
	if info == "" {
		info = "2003"
	}
	unit := obj{"id": itoa(v.unit()), "humidity": "4", "humidity_raw": "28", "temp": "24.5", "dry_time": 0, "info": info, "tray": slots}
	if v.model.FirstAMS == bambu.AMSLite || v.unit() == 16 {
		unit["temp"], unit["humidity"], unit["humidity_raw"] = "0.0", "5", "0"
	}
	bits := strconv.FormatInt(int64(exist), 16)
	return obj{
		"ams": []obj{unit}, "ams_exist_bits": map[bool]string{true: "1000", false: "1"}[v.unit() == 16], "tray_exist_bits": bits,
		"tray_is_bbl_bits": bits, "tray_read_done_bits": bits, "tray_reading_bits": "0", "tray_now": itoa(v.trayNow),
		"tray_tar": itoa(v.trayTarget), "tray_pre": itoa(v.trayBefore), "version": v.amsVersion, "insert_flag": true, "power_on_flag": false,
	}
}

func (s tray) slot(id string) obj {
	return obj{
		"id": id, "state": 11, "remain": s.Remain, "cali_idx": -1, "total_len": 330000, "tag_uid": s.Chip, "tray_id_name": "A00-K0",
		"tray_info_idx": s.Preset, "tray_type": s.Type, "tray_sub_brands": s.Name, "tray_color": s.Color, "tray_weight": "1000",
		"tray_diameter": "1.75", "tray_temp": "55", "tray_time": "8", "bed_temp_type": "0", "bed_temp": "0", "nozzle_temp_max": "230",
		"nozzle_temp_min": "190", "tray_uuid": "5E00000000000000" + s.Chip, "ctype": 0, "cols": []string{s.Color}, "xcam_info": "000000000000000000000000",
	}
}

// external is an empty external spool holder.
func external(id string) obj {
	return obj{
		"id": id, "tag_uid": "0000000000000000", "tray_id_name": "", "tray_info_idx": "", "tray_type": "", "tray_sub_brands": "", "tray_color": "00000000",
		"tray_weight": "0", "tray_diameter": "1.75", "bed_temp_type": "0", "bed_temp": "0", "nozzle_temp_max": "0", "nozzle_temp_min": "0",
		"tray_uuid": "00000000000000000000000000000000", "remain": 0, "cali_idx": -1, "xcam_info": "000000000000000000000000",
	}
}
