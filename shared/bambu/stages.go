package bambu

import "strconv"

// StageName says in words what the printer is doing, for a stg_cur. "" for -1 and
// 255 (none). 0 is "Printing", but some models also report it when idle: read it
// beside GcodeState. The numbers 70..77 follow the slicer's strings; one source
// names them differently.
func StageName(stage int) string {
	switch {
	case stage == -1 || stage == 255:
		return ""
	case stage >= 0 && stage < len(stageNames):
		return stageNames[stage]
	default:
		return "Stage " + strconv.Itoa(stage)
	}
}

var stageNames = [...]string{
	0:  "Printing",
	1:  "Levelling the bed",
	2:  "Preheating the bed",
	3:  "Measuring vibrations",
	4:  "Changing filament",
	5:  "Paused by the file",
	6:  "Paused: filament ran out",
	7:  "Heating the hotend",
	8:  "Calibrating extrusion",
	9:  "Scanning the bed",
	10: "Inspecting the first layer",
	11: "Identifying the build plate",
	12: "Calibrating the lidar",
	13: "Homing",
	14: "Cleaning the nozzle",
	15: "Checking the extruder temperature",
	16: "Paused at the printer",
	17: "Paused: front cover is off",
	18: "Calibrating the lidar",
	19: "Calibrating flow",
	20: "Paused: nozzle temperature fault",
	21: "Paused: bed temperature fault",
	22: "Unloading filament",
	23: "Paused: a step was skipped",
	24: "Loading filament",
	25: "Calibrating motor noise",
	26: "Paused: AMS is gone",
	27: "Paused: heat-break fan is slow",
	28: "Paused: chamber temperature fault",
	29: "Cooling the chamber",
	30: "Paused by the file",
	31: "Demonstrating motor noise",
	32: "Paused: filament covers the nozzle",
	33: "Paused: cutter fault",
	34: "Paused: first layer fault",
	35: "Paused: nozzle is clogged",
	36: "Checking accuracy before calibration",
	37: "Calibrating accuracy",
	38: "Checking accuracy after calibration",
	39: "Calibrating the nozzle offset",
	40: "Levelling the hot bed",
	41: "Checking the quick release",
	42: "Checking door and cover",
	43: "Calibrating the laser",
	44: "Checking the platform",
	45: "Checking the bird's-eye camera",
	46: "Calibrating the bird's-eye camera",
	47: "Levelling the bed, first pass",
	48: "Levelling the bed, second pass",
	49: "Heating the chamber",
	50: "Cooling the bed",
	51: "Printing calibration lines",
	52: "Checking the material",
	53: "Calibrating the live-view camera",
	54: "Waiting for the bed temperature",
	55: "Checking where the material lies",
	56: "Calibrating the cutter offset",
	57: "Measuring the surface",
	58: "Letting temperatures settle",
	59: "Homing the blade holder",
	60: "Calibrating the camera offset",
	61: "Calibrating the blade holder",
	62: "Testing hotend pick-up",
	63: "Levelling the chamber temperature",
	64: "Preparing the hotend",
	65: "Calibrating nozzle clump detection",
	66: "Purifying the chamber air",
	67: "Measuring the rotary attachment",
	68: "Moving to the purge chute",
	69: "Cooling the nozzle",
	70: "Moving to the bed centre",
	71: "Fitting arcs",
	72: "Detecting the hotend",
	73: "Checking how the plate lies",
	74: "Looking for objects on the bed",
	75: "Looking for objects under the bed",
	76: "Pre-extruding",
	77: "Preparing the AMS",
}
