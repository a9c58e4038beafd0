package bambu

// wantCaptures is what each recording of one whole picture says.
var wantCaptures = map[string]string{
	"a1-idle-amslite.json": `{
		"job": {"gcode_state":"IDLE","stage":0,"progress":0,"remaining":0,"layer":0,"total_layers":0,"speed_level":2,"speed_percent":100,
			"prepare_progress":0,"plate":null,"file":"","name":"","kind":"idle","subtask_id":"0","skipped":null},
		"temps": {"nozzle":27.8125,"nozzle_target":0,"nozzle_2":null,"nozzle_2_target":null,"bed":29.75,"bed_target":0,"chamber":null,"chamber_target":null},
		"fans": {"part":0,"aux":null,"aux_2":null,"chamber":null,"heatbreak":0},
		"lights": [{"node":"chamber_light","mode":"off"}],
		"filament": {
			"units": [{"id":0,"kind":"ams_lite","humidity":null,"humidity_level":null,"temperature":null,"extruder":null,"drying":null,
				"serial":"03C00A443529937","firmware":"00.00.07.94","slots":[
				{"id":0,"present":true,"type":"PLA","name":"","color":"76D9F4FF","colors":null,"preset_id":"P8d19ba6","remain":null,"weight":null,"nozzle_min":190,"nozzle_max":240,"k":0.019999999552965164,"chip_id":"","spool_id":""},
				{"id":1,"present":true,"color":"FFF144FF"},{"id":2,"present":true,"color":"FF80FFFF"},{"id":3,"present":true,"color":"0ACC38FF","preset_id":"P3a4d8cf"}]}],
			"external": [{"id":254,"type":"PLA","color":"FFFFFFFF","preset_id":"GFA00"}],
			"active": [{"extruder":0,"unit":-1,"slot":-1}], "status":0},
		"faults": {"print_error":0,"hms":null},
		"machine": {"model":"A1","firmware":"01.05.00.00","serial":"03900A000000001","developer_mode":null,"signed_commands":null,"storage":true,
			"door_open":null,"wired":false,"nozzles":[{"extruder":0,"diameter":0.4,"type":"stainless_steel","high_flow":false}],"active_extruder":0,
			"camera_url":"","ip_address":"192.0.2.10","update_available":""},
		"signal": {"wifi":-48}}`,
	"a1mini-idle-amslite.json": `{
		"job": {"gcode_state":"IDLE","kind":"idle"},
		"temps": {"nozzle":27.21875,"bed":26.53125,"chamber":null},
		"fans": {"part":0,"aux":null,"chamber":null},
		"filament": {
			"units": [{"id":0,"kind":"ams_lite","humidity":null,"extruder":0,"drying":0,"serial":"03C00A443529937","firmware":"00.00.08.15","slots":[
				{"id":0,"present":true,"type":"PLA","name":"PLA Matte","color":"DE4343FF","preset_id":"GFA01","remain":0,"weight":1000,"nozzle_min":190,"nozzle_max":230,"chip_id":"B725051FABD24F33","spool_id":"B582267834034A57826BCC813704F56A"},
				{"id":1,"name":"PLA Wood"},{"id":2,"type":"PETG","name":"PETG Translucent","color":"D6ABFF80","k":0.03999999910593033},{"id":3,"color":"000000FF"}]}],
			"external": [{"id":254,"type":"PLA","color":"161616FF","nozzle_max":220}],
			"active": [{"extruder":0,"unit":-1,"slot":-1}]},
		"machine": {"model":"A1MINI","firmware":"01.07.02.00","serial":"03000A000000001","developer_mode":null,"storage":true,"ip_address":"","camera_url":""},
		"signal": {"wifi":-50}}`,
	"a2l-idle-amslite16.json": `{
		"job": {"gcode_state":"IDLE","stage":0,"plate":null},
		"temps": {"nozzle":22.6875,"nozzle_target":0,"nozzle_2":null,"bed":22.28125,"bed_target":0,"chamber":null},
		"fans": {"part":0,"aux":null,"aux_2":null,"chamber":null,"heatbreak":0},
		"filament": {
			"units": [{"id":16,"kind":"ams_lite","extruder":0,"drying":0,"serial":"03C00A540056776","firmware":"00.00.08.22","slots":[
				{"id":0,"present":false,"type":"","color":""},
				{"id":1,"present":true,"type":"PETG","color":"0ACC38FF","preset_id":"GFG01","remain":null,"nozzle_min":230,"nozzle_max":270},
				{"id":2,"present":false},{"id":3,"present":false}]}],
			"external": [{"id":255,"present":false,"type":"","color":""}],
			"active": [{"extruder":0,"unit":-1,"slot":-1}]},
		"machine": {"model":"A2L","firmware":"01.01.00.00","serial":"26A00A000000001","developer_mode":false,"signed_commands":true,"storage":true,
			"door_open":null,"nozzles":[{"extruder":0,"diameter":0.4,"type":"stainless_steel"}],"ip_address":"192.0.2.10"},
		"signal": {"wifi":-52}}`,
	"p1p-failed-ams.json": `{
		"job": {"gcode_state":"FAILED","stage":0,"progress":0,"remaining":45540,"layer":1,"total_layers":70,"name":"Fidget Collection","kind":"idle","file":""},
		"temps": {"nozzle":21.25,"bed":19.84375,"chamber":null},
		"fans": {"part":0,"aux":0,"chamber":0},
		"filament": {
			"units": [{"id":0,"kind":"ams","humidity":null,"humidity_level":3,"temperature":null,"serial":"00600A819536711","firmware":"00.00.06.49","slots":[
				{"id":0,"present":true,"type":"PLA","color":"D357FEFF","preset_id":"GFL96","remain":null},{"id":1},{"id":2},{"id":3,"present":true}]}],
			"external": [{"id":254,"type":"PLA","preset_id":"P9816594"}],
			"active": [{"extruder":0,"unit":0,"slot":0}], "status":768},
		"machine": {"model":"P1P","firmware":"01.07.00.00","serial":"01S00A000000001","storage":true,"door_open":null,"nozzles":[{"type":"hardened_steel","diameter":0.4}]},
		"signal": {"wifi":-53}}`,
	"p1s-finish-ams-with-deltas.json": `{
		"job": {"gcode_state":"FINISH","stage":255,"progress":100,"remaining":0,"layer":260,"total_layers":260,"prepare_progress":100,"name":"Sample part",
			"kind":"idle","subtask_id":"872711138","task_id":"861431915","project_id":"758479551"},
		"temps": {"nozzle":15.0625,"bed":12,"chamber":null,"chamber_target":null},
		"filament": {
			"units": [{"id":0,"humidity_level":5,"temperature":null,"slots":[
				{"id":0,"present":true,"type":"PLA","name":"PLA Basic","color":"5E43B7FF","remain":83,"weight":1000,"chip_id":"8A9AD9A5F032550E","spool_id":"22A570376DE8737ACE9908D33A251D08"},
				{"id":1,"remain":100},{"id":2,"color":"C12E1FFF"},{"id":3,"color":"000000FF"}]}],
			"external": [{"id":254,"present":false,"type":"","color":"","nozzle_min":null}],
			"active": [{"extruder":0,"unit":-1,"slot":-1}]},
		"machine": {"model":"","serial":"","storage":true,"door_open":null,"active_extruder":null,"nozzles":[{"type":"hardened_steel"}],"ip_address":"192.0.2.10","update_available":""},
		"signal": {"wifi":-68}}`,
	"p1-running-87pct-merged.json": `{
		"job": {"gcode_state":"RUNNING","stage":0,"progress":87,"remaining":60,"layer":18,"total_layers":25,"name":"0","file":"running_test.3mf","kind":"local","plate":null},
		"temps": {"nozzle":219.5625,"nozzle_target":220,"bed":54.90625,"bed_target":55,"chamber":null},
		"fans": {"part":100,"aux":80,"chamber":59,"heatbreak":100},
		"lights": [{"node":"chamber_light","mode":"on"}],
		"filament": {"units":null,"external":[{"id":254,"present":false}],"active":null,"status":768},
		"machine": {"storage":true,"ip_address":"192.0.2.10"},
		"signal": {"wifi":-40}}`,
	"p1-pause-filament-runout-deltas.json": `{
		"job": {"gcode_state":"PAUSE","stage":0},
		"temps": {"nozzle":227.78125,"bed":32.75},
		"faults": {"print_error":50364437},
		"machine": {"storage":true},
		"signal": {"wifi":-40}}`,
	"p2s-running-local-ams2pro.json": `{
		"job": {"gcode_state":"RUNNING","stage":0,"progress":64,"remaining":3720,"layer":170,"timelapse":true,"total_layers":305,"prepare_progress":100,"plate":1,
			"file":"/data/Metadata/plate_1.gcode","name":"Rear Dry Pod AMS 2 PRO ","kind":"local","subtask_id":"","task_id":"5187"},
		"temps": {"nozzle":254,"nozzle_target":255,"nozzle_2":null,"bed":70,"bed_target":70,"chamber":47,"chamber_target":null},
		"fans": {"part":90,"aux":0,"aux_2":null,"chamber":0,"heatbreak":100},
		"lights": [{"node":"chamber_light","mode":"on"},{"node":"work_light","mode":"flashing"}],
		"filament": {
			"units": [{"id":0,"kind":"ams_2_pro","humidity":16,"humidity_level":5,"temperature":38.4,"extruder":0,"drying":0,"slots":[
				{"id":0,"remain":41,"name":"PLA Matte"},{"id":1,"remain":39},{"id":2,"remain":null,"chip_id":""},{"id":3,"type":"PETG","nozzle_min":220}]}],
			"external": [{"id":255,"present":false}],
			"active": [{"extruder":0,"unit":0,"slot":3}], "status":768},
		"machine": {"model":"P2S","firmware":"01.01.00.00","serial":"22E00A000000001","developer_mode":false,"signed_commands":true,"storage":true,"door_open":false,
			"nozzles":[{"extruder":0,"diameter":0.4,"type":"hardened_steel","high_flow":false}],"active_extruder":0,"camera_url":"","ip_address":"192.0.2.10"},
		"signal": {"wifi":-68}}`,
	"x1c-finish-3ams-1ht.json": `{
		"job": {"gcode_state":"FINISH","stage":-1,"progress":100,"remaining":0,"layer":480,"timelapse":false,"total_layers":480,"plate":1,"name":"Garden Hose Healer: Male fitting",
			"kind":"","subtask_id":"557284337","task_id":"574982671","project_id":"735786631"},
		"temps": {"nozzle":26,"bed":23,"chamber":25,"chamber_target":null,"nozzle_2":null},
		"fans": {"part":0,"aux":0,"chamber":0,"heatbreak":0},
		"filament": {
			"units": [
				{"id":0,"kind":"ams","humidity":8,"humidity_level":5,"temperature":26.2,"drying":0,"serial":"00600A819536711","firmware":"00.01.06.62",
					"slots":[{"id":0,"remain":93,"present":true},{"id":1},{"id":2},{"id":3,"remain":83}]},
				{"id":1,"kind":"ams","humidity":4,"serial":"00600A052090015","slots":[{"type":"ABS","remain":21},{"remain":20},{"remain":71},{"remain":100}]},
				{"id":2,"kind":"ams_2_pro","humidity":9,"humidity_level":4,"temperature":65,"extruder":0,"drying":34980,"serial":"19C00A890371278",
					"slots":[{"id":0,"present":false,"type":"","remain":null},{"id":1,"present":true,"color":"FF6A13FF"},{"id":2,"remain":62},{"id":3}]},
				{"id":128,"kind":"ams_ht","temperature":45.2,"serial":"19F00A107767296","slots":[{"id":0,"present":true,"type":"PA-CF","name":"PAHT-CF","nozzle_min":260,"nozzle_max":290}]}],
			"external": [{"id":255,"present":false}],
			"active": [{"extruder":0,"unit":-1,"slot":-1}], "status":0},
		"machine": {"model":"X1C","firmware":"01.09.00.01","serial":"00M00A000000001","developer_mode":false,"signed_commands":true,"storage":true,"door_open":true,
			"nozzles":[{"type":"hardened_steel","diameter":0.4}],"camera_url":"rtsps://192.0.2.10:322/streaming/live/1"},
		"signal": {"wifi":-66}}`,
	"x1c-idle-2023.json": `{
		"job": {"gcode_state":"IDLE","stage":-1,"kind":"","subtask_id":""},
		"temps": {"nozzle":25,"nozzle_target":25,"bed":25,"chamber":24,"chamber_target":null},
		"fans": {"part":0,"aux":0,"chamber":0},
		"lights": [{"node":"chamber_light","mode":"on"},{"node":"work_light","mode":"flashing"}],
		"filament": {
			"units": [{"id":0,"kind":"ams","humidity":null,"humidity_level":4,"temperature":22.7,"extruder":null,"drying":null,"slots":[
				{"id":0,"present":false,"type":""},{"id":1,"present":true,"type":"PLA","color":"000000FF","remain":null},{"id":2,"color":"DFE2E3FF","preset_id":"GFA05"},{"id":3,"color":"F95959FF"}]}],
			"external": [{"id":254,"present":false,"color":""}]},
		"machine": {"model":"X1C","firmware":"01.01.01.00","serial":"00M00A000000001","developer_mode":null,"storage":true,"door_open":false,
			"nozzles":[{"diameter":0.4,"type":""}],"camera_url":"","ip_address":""},
		"signal": {"wifi":-45}}`,
	"h2s-running-cloud.json": `{
		"job": {"gcode_state":"RUNNING","stage":0,"progress":42,"remaining":4680,"layer":24,"total_layers":75,"plate":1,"name":"Kabelfuehrung_v3","kind":"cloud",
			"subtask_id":"662543632","task_id":"662543632"},
		"temps": {"nozzle":275,"nozzle_target":275,"nozzle_2":null,"bed":105,"bed_target":105,"chamber":60,"chamber_target":60},
		"fans": {"part":10,"aux":0,"aux_2":null,"chamber":0,"heatbreak":100},
		"lights": [{"node":"chamber_light","mode":"on"},{"node":"work_light","mode":"flashing"},{"node":"chamber_light2","mode":"on"}],
		"filament": {
			"units": [{"id":0,"kind":"ams_2_pro","humidity":36,"humidity_level":1,"temperature":42.7,"slots":[
				{"id":0,"present":true,"type":"ABS","preset_id":"P8874e68","nozzle_max":280,"remain":null},{"id":1,"present":false},{"id":2,"present":false},{"id":3,"present":false}]}],
			"active": [{"extruder":0,"unit":0,"slot":0}]},
		"machine": {"model":"H2S","developer_mode":false,"signed_commands":true,"storage":true,"door_open":false,"camera_url":"rtsps://192.0.2.10:322/streaming/live/1",
			"update_available":"","active_extruder":0,"nozzles":[{"type":"hardened_steel"}]},
		"signal": {"wifi":-44}}`,
	"h2d-running-local-2ams.json": `{
		"job": {"gcode_state":"RUNNING","stage":0,"progress":6,"remaining":32940,"layer":1,"total_layers":200,"plate":1,"name":"T-pose - slim H2D dual AMS riser",
			"kind":"local","subtask_id":"","task_id":"1363","project_id":"0"},
		"temps": {"nozzle":245,"nozzle_target":245,"nozzle_2":47,"nozzle_2_target":0,"bed":70,"bed_target":70,"chamber":35,"chamber_target":0},
		"fans": {"part":0,"aux":0,"aux_2":null,"chamber":30,"heatbreak":100},
		"filament": {
			"units": [
				{"id":0,"kind":"ams_2_pro","humidity":1,"temperature":27,"extruder":1,"serial":"19C00A929313620","slots":[
					{"type":"PLA-S","name":"Support for PLA","weight":250,"remain":1},{"remain":31},{"type":"PETG"},{"remain":100}]},
				{"id":1,"kind":"ams_2_pro","humidity":6,"temperature":29.7,"extruder":0,"serial":"19C00A777898854","slots":[{"remain":55},{},{"type":"PETG-CF","nozzle_min":240},{"color":"ADB1B2FF"}]}],
			"external": [{"id":254,"present":false},{"id":255,"present":false}],
			"active": [{"extruder":0,"unit":1,"slot":3},{"extruder":1,"unit":-1,"slot":-1}], "status":768},
		"machine": {"model":"H2D","firmware":"01.01.01.00","serial":"09400A000000001","developer_mode":false,"signed_commands":true,"storage":true,"door_open":false,
			"nozzles":[{"extruder":0,"diameter":0.4,"type":"hardened_steel"},{"extruder":1,"diameter":0.4,"type":"hardened_steel"}],"active_extruder":0},
		"signal": {"wifi":-46}}`,
	"h2dpro-idle-ethernet.json": `{
		"job": {"gcode_state":"IDLE","stage":-1,"plate":null,"kind":""},
		"temps": {"nozzle":23,"nozzle_target":0,"nozzle_2":23,"nozzle_2_target":0,"bed":24,"chamber":23,"chamber_target":0},
		"fans": {"part":0,"aux":0,"chamber":0},
		"filament": {
			"units": [
				{"id":0,"kind":"ams_2_pro","humidity":18,"extruder":1,"slots":[{"present":false},{"present":false},{"present":false},{"present":false}]},
				{"id":128,"kind":"ams_ht","humidity":21,"humidity_level":null,"temperature":24.9,"extruder":0,"firmware":"03.00.21.29","slots":[{"id":0,"present":true,"remain":87,"color":"C12E1FFF"}]}],
			"external": [{"id":254,"present":false},{"id":255,"present":true,"type":"TPU","color":"FFFFFFFF","preset_id":"GFU00","nozzle_min":200,"nozzle_max":250}],
			"active": [{"extruder":0,"unit":-1,"slot":-1},{"extruder":1,"unit":-1,"slot":-1}]},
		"machine": {"model":"H2DPRO","developer_mode":true,"signed_commands":false,"storage":true,"door_open":false,"wired":true,"active_extruder":1,
			"nozzles":[{"extruder":0,"type":"tungsten_carbide"},{"extruder":1,"type":"tungsten_carbide"}],"ip_address":"192.0.2.10"},
		"signal": {"wifi":null}}`,
	"x2d-running-cloud-hms.json": `{
		"job": {"gcode_state":"RUNNING","stage":0,"progress":98,"remaining":120,"layer":129,"total_layers":140,"plate":3,"name":"Build Plate Cleaner Trays - A1 Mini","kind":"cloud"},
		"temps": {"nozzle":50,"nozzle_target":0,"nozzle_2":250,"nozzle_2_target":250,"bed":70,"bed_target":70,"chamber":38,"chamber_target":0},
		"fans": {"part":80,"aux":10,"aux_2":10,"chamber":70,"heatbreak":50},
		"filament": {
			"units": [{"id":0,"kind":"ams_2_pro","humidity":12,"extruder":1,"slots":[{"type":"PLA"},{"type":"PETG","nozzle_min":240},{"type":"PLA"},{"type":"ABS","preset_id":"P6a40469"}]}],
			"external": [{"id":254,"present":false},{"id":255,"present":false}],
			"active": [{"extruder":0,"unit":-1,"slot":-1},{"extruder":1,"unit":0,"slot":1}]},
		"faults": {"print_error":0,"hms":[{"attr":83887616,"code":131184}]},
		"machine": {"model":"X2D","developer_mode":false,"signed_commands":true,"storage":false,"door_open":false,"active_extruder":1,"camera_url":"",
			"nozzles":[{"extruder":0,"type":"hardened_steel"},{"extruder":1,"type":"hardened_steel"}]},
		"signal": {"wifi":-72}}`,
}

// wantRecordings is by line; -1 is the end.
var wantRecordings = map[string]map[int]string{
	"a1-lan-print-1color.jsonl": {
		0: `{"job":{"gcode_state":"","progress":null},"temps":{"nozzle":null},"signal":{"wifi":-49}}`,
		36: `{"job":{"gcode_state":"FINISH","progress":100,"layer":50,"stage":255,"name":"Würfel","subtask_id":"887337664"},
			"temps":{"nozzle":22.6875,"bed":23.3125,"chamber":null},
			"filament":{"units":[{"id":0,"kind":"ams_lite","slots":[
				{"id":0,"present":true,"color":"18C241FF"},{"id":1,"present":false,"type":""},{"id":2,"present":true,"name":"PLA Matte","chip_id":"352E8383DB6380DE"},{"id":3,"present":true}]}],
				"external":[{"id":254,"type":"PETG"}]},
			"machine":{"update_available":"01.07.01.00","storage":true}}`,
		59:  `{"job":{"gcode_state":"IDLE","name":"Würfel.3mf","file":"Würfel.3mf","kind":"local","subtask_id":"0","progress":100,"layer":50}}`,
		60:  `{"job":{"gcode_state":"PREPARE"}}`,
		80:  `{"job":{"gcode_state":"RUNNING","stage":4},"filament":{"status":258,"active":[{"extruder":0,"unit":-1,"slot":-1}]}}`,
		106: `{"temps":{"nozzle":248.1875,"nozzle_target":250},"filament":{"status":263,"active":[{"extruder":0,"unit":0,"slot":3}]}}`,
		150: `{"job":{"progress":47,"remaining":420,"stage":14},"temps":{"nozzle":168.9375,"nozzle_target":170},"fans":{"part":100,"aux":null,"chamber":null,"heatbreak":50}}`,
		250: `{"job":{"progress":68,"remaining":240,"layer":22,"total_layers":50,"stage":0},"fans":{"part":80,"heatbreak":70},"signal":{"wifi":-64}}`,
		347: `{"job":{"gcode_state":"RUNNING","speed_level":2,"speed_percent":100}}`,
		348: `{"job":{"gcode_state":"FINISH","file":"","kind":"idle"},"filament":{"active":[{"extruder":0,"unit":-1,"slot":-1}]}}`,
		-1: `{"job":{"gcode_state":"FINISH","progress":100,"remaining":0,"layer":50,"total_layers":50,"stage":255,"speed_level":2,"name":"Würfel.3mf","file":"","kind":"idle","subtask_id":"0"},
			"temps":{"nozzle":133.625,"nozzle_target":0,"bed":56.1875,"bed_target":0,"chamber":null},
			"fans":{"part":0,"heatbreak":50},"lights":[{"node":"chamber_light","mode":"off"}],
			"filament":{"status":0,"units":[{"slots":[{"present":true},{"present":false},{"present":true},{"present":true}]}],"active":[{"unit":-1}]},
			"faults":{"print_error":0,"hms":null},"machine":{"ip_address":"192.0.2.10","storage":true,"update_available":"01.07.01.00"},"signal":{"wifi":-52}}`,
	},
	"a1-cloud-print-1color.jsonl": {
		77: `{"job":{"gcode_state":"FINISH","name":"Christmas Tree With Star; Size_ M.3mf","layer":751}}`,
		// the echo of project_file names the new job and plate_idx "1": an answer, not a status
		86:  `{"job":{"gcode_state":"FINISH","name":"Christmas Tree With Star; Size_ M.3mf","subtask_id":"0","plate":null}}`,
		89:  `{"job":{"gcode_state":"PREPARE","prepare_progress":0,"name":"Würfel","file":"Würfel.3mf","kind":"cloud","subtask_id":"887337664"}}`,
		90:  `{"job":{"prepare_progress":100}}`,
		92:  `{"job":{"gcode_state":"RUNNING","total_layers":50}}`,
		100: `{"job":{"progress":0,"remaining":840,"stage":13},"temps":{"nozzle":100.71875,"nozzle_target":96}}`,
		200: `{"job":{"progress":48,"remaining":420,"stage":14},"filament":{"active":[{"extruder":0,"unit":0,"slot":3}],"status":768},"signal":{"wifi":-52}}`,
		300: `{"job":{"progress":73,"remaining":180,"layer":27},"fans":{"part":80}}`,
		-1: `{"job":{"gcode_state":"FINISH","progress":100,"layer":50,"name":"Würfel","subtask_id":"887337664","kind":"idle"},
			"temps":{"nozzle":187.15625,"bed":62.5},"filament":{"active":[{"unit":-1}],"status":0},"signal":{"wifi":-54}}`,
	},
}
