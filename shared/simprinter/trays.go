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
	if v.unplugged {
		return out
	}
	there := v.slotBits(func(i int) bool { return v.seen[i].Type != "" || v.seen[i].unknown })
	chips := v.slotBits(func(i int) bool { return v.seen[i].Chip != "" })
	out["ams"], out["ams_exist_bits"] = []obj{v.unitView()}, map[bool]string{true: "1000", false: "1"}[v.unit() == 16]
	out["tray_exist_bits"], out["tray_is_bbl_bits"], out["tray_read_done_bits"] = there, chips, there
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
		unit["temp"], unit["humidity"], unit["humidity_raw"] = "0.0", "5", "0"
	}
	if v.dries() {
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
	case s.Type == "":
		return obj{"id": id}
	}
	out := s.view(id)
	if out["state"] = 3; full {
		out["state"] = 11
	}
	return out
}

const (
	noChip  = "0000000000000000"
	noSpool = noChip + noChip
)

// view is what is known of a spool.
func (s tray) view(id string) obj {
	low, high := s.Min, s.Max
	if high == 0 {
		low, high = 190, 230
	}
	out := obj{
		"id": id, "remain": s.Remain, "cali_idx": s.Profile, "total_len": 330000, "tag_uid": noChip, "tray_uuid": noSpool, "tray_id_name": "",
		"tray_info_idx": s.Preset, "tray_type": s.Type, "tray_sub_brands": s.Name, "tray_color": s.Color, "tray_weight": "0",
		"tray_diameter": "1.75", "tray_temp": "55", "tray_time": "8", "bed_temp_type": "0", "bed_temp": "0", "nozzle_temp_max": itoa(high),
		"nozzle_temp_min": itoa(low), "ctype": 0, "cols": []string{s.Color}, "xcam_info": strings.Repeat("0", 24),
	}
	if s.Chip != "" {
		out["tag_uid"], out["tray_uuid"], out["tray_weight"], out["tray_id_name"] = s.Chip, "5E00000000000000"+s.Chip, "1000", "A00-K0"
	}
	return out
}

// external is the holder beside the AMS, 0 the right or only one: what a person
// said is on it.
func (v *machine) external(holder int, id string) obj {
	if s := v.outside[holder]; s.Type != "" {
		return s.view(id)
	}
	return obj{
		"id": id, "tag_uid": noChip, "tray_id_name": "", "tray_info_idx": "", "tray_type": "", "tray_sub_brands": "", "tray_color": "00000000",
		"tray_weight": "0", "tray_diameter": "1.75", "bed_temp_type": "0", "bed_temp": "0", "nozzle_temp_max": "0", "nozzle_temp_min": "0",
		"tray_uuid": noSpool, "remain": 0, "cali_idx": -1, "xcam_info": strings.Repeat("0", 24),
	}
}
