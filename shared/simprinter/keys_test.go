package simprinter

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/bambu"
)

// alwaysKeys are in every full report of every model.
var alwaysKeys = strings.Fields(`
	ams ams_status ams_rfid_status bed_temper bed_target_temper nozzle_temper nozzle_target_temper cooling_fan_speed
	heatbreak_fan_speed big_fan1_speed big_fan2_speed fan_gear gcode_file gcode_file_prepare_percent gcode_state hms home_flag
	hw_switch_state ipcam layer_num total_layer_num lights_report mc_percent mc_remaining_time mc_print_stage mc_print_sub_stage
	nozzle_diameter nozzle_type net s_obj cali_version queue_est queue_sts queue_total online print_error print_type profile_id project_id task_id subtask_id subtask_name sdcard spd_lvl spd_mag stg
	stg_cur upgrade_state upload wifi_signal force_upgrade queue_number`)

// Groups of keys, and the models whose full reports carry them. A model that is in
// none of the real captures is not listed, and may do either.
var keyGroups = []struct {
	keys         string
	with, absent []string
}{
	{
		"fun cfg aux stat device vir_slot percent remain_time plate_id state ver mapping job_id err job_attr prepare_per ap_err batch_id canvas_id",
		[]string{"A2L", "X1C", "P2S", "H2S", "H2D", "H2DPRO", "X2D"},
		[]string{"A1", "A1MINI", "P1P", "P1S"},
	},
	{
		`file plate_cnt plate_idx mc_err mc_stage xcam_status aux_part_fan job model_id design_id care fail_reason mc_action
			mc_print_error_code print_gcode_action print_real_action queue`,
		[]string{"X1C", "P2S", "H2S", "H2D", "H2DPRO", "X2D"},
		[]string{"A1", "A1MINI", "A2L", "P1P", "P1S"},
	},
	{
		"flag3 filam_bak lifecycle mess_production_state mc_print_line_number",
		[]string{"A1", "A1MINI", "P1P", "P1S"},
		[]string{"X1C", "P2S", "H2S", "H2D", "H2DPRO", "X2D"},
	},
	{"msg", []string{"A1", "A1MINI", "A2L", "P1P", "P1S", "X1C", "P2S", "H2S", "X2D"}, []string{"H2D", "H2DPRO"}},
	{"chamber_temper", []string{"A1", "A1MINI", "A2L", "P1P", "P1S", "H2D"}, []string{"X1C", "P2S", "H2S", "H2DPRO", "X2D"}},
	{"vt_tray", []string{"A1", "A1MINI", "P1P", "P1S", "X1C", "H2D"}, []string{"A2L", "P2S", "H2S", "H2DPRO", "X2D"}},
	{"k", []string{"A1", "A1MINI", "A2L", "P1P", "P1S"}, []string{"X1C", "P2S", "H2S", "H2D", "H2DPRO", "X2D"}},
	{"fun2", []string{"A2L", "P2S", "X2D"}, []string{"A1", "A1MINI", "P1P", "P1S", "X1C", "H2S", "H2D", "H2DPRO"}},
	{"info", []string{"X1C", "P2S", "H2S", "H2DPRO", "X2D"}, []string{"A1", "A1MINI", "A2L", "P1P", "P1S", "H2D"}},
	{"2D", []string{"A2L", "H2S", "H2D", "H2DPRO", "X2D"}, []string{"A1", "A1MINI", "P1P", "P1S", "X1C", "P2S"}},
	{"3D", []string{"A2L", "P2S", "H2S", "H2D", "H2DPRO", "X2D"}, []string{"A1", "A1MINI", "P1P", "P1S", "X1C"}},
	{"lan_task_id", []string{"P2S", "H2S", "H2DPRO", "X2D"}, []string{"A1", "A1MINI", "A2L", "P1P", "P1S", "X1C", "H2D"}},
	{"xcam", []string{"A1", "A1MINI", "A2L", "X1C", "P2S", "H2S", "H2D", "H2DPRO", "X2D"}, []string{"P1P", "P1S"}},
}

// A full report has the keys that real printers of the model send: idle, and
// while it prints.
func TestKeys(t *testing.T) {
	var models []string
	for _, m := range bambu.Models() {
		if m.Nozzles > 0 {
			models = append(models, m.Code)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		farm, dial := virtual(t, Options{Speed: 20}, models...)
		for _, p := range farm.Printers() {
			e := listen(t, p, dial)
			checkKeys(t, p.model.Code, "idle", report(t, e.pushAll()))
			if err := p.Start(PrintJob{Name: "part", Minutes: 60}); err != nil {
				t.Fatal(err)
			}
			e.untilStatus(10*time.Minute, "layers", func(s bambu.Status) bool { return s.Job.Layer.Value > 2 })
			checkKeys(t, p.model.Code, "printing", report(t, e.pushAll()))
		}
	})
}

func checkKeys(t *testing.T, model, when string, r map[string]any) {
	t.Helper()
	for _, key := range alwaysKeys {
		if _, has := r[key]; !has {
			t.Errorf("%s, %s: no %s", model, when, key)
		}
	}
	for _, g := range keyGroups {
		for _, key := range strings.Fields(g.keys) {
			_, has := r[key]
			if slices.Contains(g.with, model) && !has {
				t.Errorf("%s, %s: no %s", model, when, key)
			}
			if slices.Contains(g.absent, model) && has {
				t.Errorf("%s, %s: %s is there", model, when, key)
			}
		}
	}
}
