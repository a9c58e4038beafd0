package bambu

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Message is one request of a printer's dialect.
type Message struct {
	Section string // print, system, …; the answer comes in the same
	Command string
	// Unanswered: not all firmware answers this one, or what it answers tells
	// nothing. It is sent and that is all.
	Unanswered bool

	fields []pair
}

// pair is a key of a request with its value.
type pair struct {
	key   string
	value any // marshals
}

// Payload is the request with a sequence id, see PushAll.
func (m Message) Payload(seq string) []byte {
	var b strings.Builder
	b.WriteString("{" + quote(m.Section) + `:{"sequence_id":` + quote(seq) + `,"command":` + quote(m.Command))
	for _, f := range m.fields {
		value, _ := json.Marshal(f.value) // strings, numbers and lists of them
		b.WriteString("," + quote(f.key) + ":" + string(value))
	}
	b.WriteString("}}")
	return []byte(b.String())
}

// printMessage is a request of the section print.
func printMessage(command string, fields ...pair) Message {
	return Message{Section: "print", Command: command, fields: fields}
}

func gcodeMessage(lines ...string) Message {
	return printMessage("gcode_line", pair{"param", strings.Join(lines, "\n") + "\n"})
}

// Messages are the requests that do c at a printer of model m in the state s, in
// the order in which they are to be sent. c has passed Check.
func (c Control) Messages(m Model, s Status) []Message {
	switch c.Do {
	case DoPause, DoResume, DoStop:
		return []Message{printMessage(string(c.Do), pair{"param", ""})}
	case DoSpeed:
		return []Message{printMessage("print_speed", pair{"param", fmt.Sprint(c.Level)})}
	case DoLight:
		return c.lightMessages(s)
	case DoTemperature:
		return c.temperatureMessages(m)
	case DoFan:
		return []Message{gcodeMessage(fmt.Sprintf("M106 P%d S%d", fanNumbers[c.Fan], int(math.Round(float64(c.Percent)*255/100))))}
	case DoGcode:
		return []Message{gcodeMessage(strings.TrimRight(strings.ReplaceAll(c.Gcode, "\r\n", "\n"), "\n"))}
	case DoLoad:
		return []Message{c.loadMessage(m, s)}
	case DoUnload:
		return []Message{unloadMessage(m, s)}
	case DoAnswerAMS:
		return []Message{printMessage("ams_control", pair{"param", c.Action})}
	case DoDrying:
		return []Message{c.dryingMessage(s)}
	case DoFilament:
		return []Message{c.filamentMessage(m)}
	case DoSkipObjects:
		return []Message{printMessage("skip_objects", pair{"obj_list", c.Objects})}
	case DoClearError:
		return clearMessages(s)
	case DoHome:
		return []Message{gcodeMessage(c.homeLine())}
	}
	return nil
}

// lightNodes are the lamps by the firmware's names. A second chamber lamp belongs
// to the first.
var lightNodes = map[string][]string{
	"chamber": {"chamber_light", "chamber_light2"},
	"work":    {"work_light"},
	"heatbed": {"heatbed_light"},
}

// lamps are the lamps c means that the printer has. One that has reported none
// yet is taken to have the one that all have.
func (c Control) lamps(s Status) []string {
	nodes := lightNodes[c.light()]
	if len(s.Lights) == 0 && c.light() == "chamber" {
		return nodes[:1]
	}
	var out []string
	for _, node := range nodes {
		if slices.ContainsFunc(s.Lights, func(l Light) bool { return l.Node == node }) {
			out = append(out, node)
		}
	}
	return out
}

func (c Control) light() string {
	if c.Light == "" {
		return "chamber"
	}
	return c.Light
}

func (c Control) lightMode() string {
	if c.On {
		return "on"
	}
	return "off"
}

func (c Control) lightMessages(s Status) []Message {
	var out []Message
	for _, node := range c.lamps(s) {
		on, off := 500, 500 // ms, for the mode flashing, but always asked for
		if node == "heatbed_light" {
			on, off = 0, 0
		}
		out = append(out, Message{Section: "system", Command: "ledctrl", fields: []pair{
			{"led_node", node},
			{"led_mode", c.lightMode()},
			{"led_on_time", on},
			{"led_off_time", off},
			{"loop_times", 0},
			{"interval_time", 0},
		}})
	}
	return out
}

// heatDuctFrom is from which chamber target on the air duct has to heat, °C.
const heatDuctFrom = 40

// temperatureMessages set targets and never wait for them: M109 and M190 would
// block the printer's queue. The chamber of a machine with an air duct only gets
// warm while the duct heats.
func (c Control) temperatureMessages(m Model) []Message {
	var lines []string
	if c.Nozzle != nil {
		tool := ""
		if m.Nozzles > 1 {
			tool = "T0 "
		}
		lines = append(lines, fmt.Sprintf("M104 %sS%d", tool, *c.Nozzle))
	}
	if c.Nozzle2 != nil {
		lines = append(lines, fmt.Sprintf("M104 T1 S%d", *c.Nozzle2))
	}
	if c.Bed != nil {
		lines = append(lines, fmt.Sprintf("M140 S%d", *c.Bed))
	}
	var out []Message
	if lines != nil {
		out = append(out, gcodeMessage(lines...))
	}
	if c.Chamber == nil {
		return out
	}
	if m.Code != "X1E" { // its heater has no duct to switch
		mode := 0
		if *c.Chamber >= heatDuctFrom {
			mode = 1
		}
		out = append(out, printMessage("set_airduct", pair{"modeId", mode}, pair{"submode", -1}))
	}
	return append(out, printMessage("set_ctt", pair{"ctt_val", *c.Chamber}, pair{"temper_check", true}))
}

// fanNumbers are the P of M106.
var fanNumbers = map[string]int{"part": 1, "aux": 2, "chamber": 3, "aux_2": 10}

func (c Control) homeLine() string {
	line := "G28"
	axes := strings.ToUpper(c.Axes)
	if len(axes) == 3 {
		axes = ""
	}
	for _, axis := range axes {
		line += " " + string(axis)
	}
	return line
}

// clearMessages take back the error and close its dialogue on the screen.
func clearMessages(s Status) []Message {
	out := []Message{printMessage("clean_print_error", pair{"subtask_id", s.Job.SubtaskID}, pair{"print_error", s.Faults.PrintError})}
	if s.Faults.PrintError != 0 {
		out = append(out, Message{Section: "system", Command: "uiop", Unanswered: true, fields: []pair{
			{"name", "print_error"},
			{"action", "close"},
			{"source", 1},
			{"type", "dialog"},
			{"err", fmt.Sprintf("%08X", s.Faults.PrintError)},
		}})
	}
	return out
}
