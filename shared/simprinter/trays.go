package simprinter

import (
	"strconv"
	"strings"
	"time"

	"bambuddy/shared/bambu"
)

// unit is the id of the one AMS.
func (v *machine) unit() int {
	if v.model.Code == "A2L" {
		return 16
	}
	return 0
}

// slotBits puts a bit for each slot of the unit where the bit words have it.
func (v *machine) slotBits(has func(slot int) bool) string {
	bits := int64(0)
	for i := range v.seen {
		bits |= int64(bit(has(i))) << i
	}
	if v.unit() == 16 {
		bits <<= 24
	}
	return strconv.FormatInt(bits, 16)
}

func (v *machine) ams() obj {
	out := obj{
		"ams": []obj{}, "ams_exist_bits": "0", "tray_exist_bits": "0", "tray_is_bbl_bits": "0", "tray_read_done_bits": "0", "tray_reading_bits": "0",
		"tray_now": itoa(v.trayNow), "tray_tar": itoa(v.trayTarget), "tray_pre": itoa(v.trayBefore),
		"version": v.amsVersion, "insert_flag": v.set.insertRead, "power_on_flag": v.set.powerRead, "calibrate_remain_flag": v.set.remain,
	}
	if v.model.Reports == bambu.StyleFull {
		out["ams_exist_bits_raw"], out["cali_id"], out["cali_stat"], out["unbind_ams_stat"] = "0", 255, 0, 0
		if v.oldDoor() || v.is("H2D") {
			out["cali_id"] = 0
		}
		if v.is("X2D") {
			out["cfs"], out["tray_hall_out_bits"] = []int{2, 9, 5, 7}, "0"
		}
	}
	if v.unplugged {
		return out
	}
	there := v.slotBits(func(i int) bool { return v.seen[i].Type != "" || v.seen[i].unknown })
	chips := v.slotBits(func(i int) bool { return v.seen[i].Chip != "" })
	out["ams"], out["ams_exist_bits"] = []obj{v.unitView()}, map[bool]string{true: "1000", false: "1"}[v.unit() == 16]
	out["tray_exist_bits"], out["tray_is_bbl_bits"], out["tray_read_done_bits"] = there, chips, there
	if v.model.Reports == bambu.StyleFull {
		out["ams_exist_bits_raw"] = out["ams_exist_bits"]
	}
	out["tray_reading_bits"] = v.slotBits(func(i int) bool { return i == v.reading })
	return out
}

// unitView is the AMS itself.
func (v *machine) unitView() obj {
	slots := []obj{}
	for i, s := range v.seen {
		slots = append(slots, v.slot(s, itoa(i)))
	}
	unit := obj{
		"id": itoa(v.unit()), "humidity": "4", "humidity_raw": itoa(int(v.dry.humidity)), "temp": strconv.FormatFloat(v.dry.air.now, 'f', 1, 64),
		"dry_time": int((v.dry.left + time.Minute - 1) / time.Minute), "info": v.unitInfo(), "tray": slots,
	}
	if v.lite() {
		unit["temp"], unit["humidity"], unit["humidity_raw"], unit["check"], unit["chip_id"] = "0.0", "5", "0", 0, "4b1c00e1e40fddfaf56055b9fffffff"
	}
	if v.unit() == 16 {
		unit["ams_id"] = v.amsSerial()
	}
	if v.dated {
		return obj{"id": unit["id"], "humidity": unit["humidity"], "temp": "0.0", "tray": slots}
	}
	if v.dries() && !v.hidesDrying || v.unit() == 16 {
		setting := obj{"dry_filament": "", "dry_temperature": -1, "dry_duration": -1}
		if v.dry.hours > 0 {
			setting = obj{"dry_filament": v.dry.filament, "dry_temperature": int(v.dry.air.target), "dry_duration": v.dry.hours}
		}
		unit["dry_setting"], unit["dry_sf_reason"] = setting, []int{}
	}
	return unit
}

// slot is a place in the AMS: empty, with a spool nobody knows, or with a known one.
func (v *machine) slot(s tray, id string) obj {
	full := v.model.Reports == bambu.StyleFull
	switch {
	case s.unknown:
		out := obj{"id": id}
		if full {
			out["state"] = 9
		}
		return out
	case s.Type == "" && full:
		return obj{"id": id, "state": 0}
	case s.Type == "":
		return obj{"id": id}
	}
	out := v.spool(s, id)
	out["cols"], out["ctype"] = []string{s.Color}, v.colours()
	switch {
	case full:
		out["state"], out["total_len"] = 11, spoolLength
	case !v.dated:
		out["state"], out["total_len"] = 3, spoolLength
	}
	return out
}

const (
	noChip  = "0000000000000000"
	noSpool = noChip + noChip

	spoolLength = 330000 // mm, whatever the spool
	kFactor     = 0.019999999552965164
)

// colours is ctype, of which only the X2D says something.
func (v *machine) colours() int { return 2 * bit(v.is("X2D")) }

// kOf is the pressure advance of a spool: that of its profile.
func (v *machine) kOf(s tray) float64 {
	for _, p := range v.profiles {
		if k, err := strconv.ParseFloat(p.k, 64); err == nil && p.index == s.Profile {
			return k
		}
	}
	return kFactor
}

// advice writes what the A and P series, and the others, say of drying a spool; and
// the pressure advance, which the others keep in profiles alone.
func (v *machine) advice(out obj, s tray, temp, hours string) {
	if v.model.Reports == bambu.StyleFull {
		out["drying_temp"], out["drying_time"] = temp, hours
		return
	}
	out["tray_temp"], out["tray_time"], out["k"], out["n"] = temp, hours, v.kOf(s), 1
}

// spool is what is known of one.
func (v *machine) spool(s tray, id string) obj {
	low, high := s.Min, s.Max
	if high == 0 {
		low, high = 190, 230
	}
	out := obj{
		"id": id, "remain": s.Remain, "cali_idx": s.Profile, "tag_uid": noChip, "tray_uuid": noSpool, "tray_id_name": "",
		"tray_info_idx": s.Preset, "tray_type": s.Type, "tray_sub_brands": s.Name, "tray_color": s.Color, "tray_weight": "0",
		"tray_diameter": "1.75", "bed_temp_type": "0", "bed_temp": "0", "nozzle_temp_max": itoa(high),
		"nozzle_temp_min": itoa(low), "xcam_info": strings.Repeat("0", 24),
	}
	if s.Chip == "" {
		v.advice(out, s, "0", "0")
	} else {
		v.advice(out, s, "55", "8")
		out["tag_uid"], out["tray_uuid"], out["tray_weight"], out["tray_id_name"] = s.Chip, "5E00000000000000"+s.Chip, "1000", "A00-K0"
	}
	return out
}

// external is the holder beside the AMS, 0 the right or only one: what a person
// said is on it.
func (v *machine) external(holder int, id string) obj {
	s := v.outside[holder]
	if s.Type == "" {
		s = tray{Color: "00000000", Profile: -1}
	}
	out := v.spool(s, id)
	if s.Type == "" {
		out["nozzle_temp_max"], out["nozzle_temp_min"] = "0", "0"
	}
	out["remain"] = 0
	switch {
	case v.model.Code == "A2L": // it says little
		for _, key := range []string{"tray_temp", "tray_time", "k", "n", "remain", "tray_weight", "tray_diameter", "bed_temp_type", "bed_temp", "xcam_info", "tray_uuid"} {
			delete(out, key)
		}
	case v.model.Reports == bambu.StyleDelta:
		out["tray_diameter"] = "0.00"
		return out
	default:
		out["total_len"] = spoolLength
	}
	out["cols"], out["ctype"] = []string{s.Color}, v.colours()
	return out
}
