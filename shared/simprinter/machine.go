package simprinter

import (
	"math"
	"math/rand/v2"
	"time"

	"bambuddy/shared/bambu"
)

// The words of gcode_state.
const (
	stIdle    = "IDLE"
	stPrepare = "PREPARE"
	stRunning = "RUNNING"
	stPause   = "PAUSE"
	stFinish  = "FINISH"
	stFailed  = "FAILED"
)

// Errors that real printers report, see protocol/mqtt.md §5.
const (
	errCancelled = 0x0300400C
	errRunout    = 0x03008015
	errBusy      = 0x05004004
	errNozzle    = 0x0300800B
	errCard      = 0x0500C010
)

// ambient is the room, in °C.
const ambient = 22.0

// How long a printer says PREPARE: for a file of the cloud it is downloaded first.
const (
	prepareTime  = 4 * time.Second
	downloadTime = 3 * time.Second
	cloudPrepare = 8 * time.Second
)

// When the error of a cancelled print shows, and how long on the A and P series.
const (
	echoAfter = 5 * time.Second
	echoLasts = 6 * time.Second
)

// machine is a printer's body: what moves, heats and counts. It knows no clock
// and no network; step moves it on. It belongs to one goroutine.
type machine struct {
	model bambu.Model
	rnd   *rand.Rand

	state        string
	job          *job      // nil before the first print since power-up
	leftover     *PrintJob // whose file is on the card
	printError   uint32
	hms          []bambu.HMS
	cancelEcho   time.Duration // until the "cancelled" error is gone, 0: none is due
	nozzle       [2]heater     // 0 right or only, 1 left
	bed, chamber heater
	active       int // extruder in use
	speed        int // level 1..4
	partFan      int // percent
	auxFan       int
	chamberFan   int
	light        bool
	wifi         int
	stage        int // stg_cur
	stages       []int
	trayNow      int // 255: nothing
	trayTarget   int
	trayBefore   int
	amsStatus    int
	amsVersion   int
	filament     bool // at the extruder's sensor
	trays        []tray
	seen         []tray // trays as last reported; differs after a silent swap
	secured      bool   // signed commands only
	card         bool
}

// tray is a spool in the AMS.
type tray struct {
	Type, Name, Color, Preset string
	Remain                    int
	Chip                      string
}

// heater is one heated thing.
type heater struct{ now, target float64 }

// step moves the temperature towards its target, or the room's.
func (h *heater) step(dt time.Duration, rate, drift float64) {
	goal, most := h.target, rate*dt.Seconds()
	if goal == 0 {
		goal, most = ambient, rate/4*dt.Seconds()
	}
	h.now += max(-most, min(most, goal-h.now))
	if math.Abs(h.now-goal) < 0.5 {
		h.now = goal + drift
	}
}

// job is the present or last print.
type job struct {
	PrintJob
	started    time.Duration // machine time since it was accepted, pauses included
	accepted   time.Duration // until the printer begins to prepare
	prepare    time.Duration // download, heating, levelling, loading
	print      time.Duration // net printing time at standard speed
	done       time.Duration // of print
	layers     int
	subtask    string
	task       string
	ended      bool
	outcome    string
	percent    int
	layer      int
	waitedFor  time.Duration // of prepare
	begun      bool          // RUNNING was reached: until then the report shows the last job's numbers
	total      int           // total_layer_num as reported
	ending     time.Duration // since the last line: cooling and unloading
	bedGoal    float64
	nozzleGoal float64
}

// PrintJob is a print to start.
type PrintJob struct {
	Name    string  `json:"name"`    // without an extension
	Plate   int     `json:"plate"`   // 0: 1
	Minutes float64 `json:"minutes"` // of printing, 0: 10
	Source  string  `json:"source"`  // slicer, screen, cloud; mqtt when a client sent it; ghost when the printer began by itself
	File    string  `json:"file"`    // optional path of a .3mf, whose hash goes to the ledger
	SHA256  string  `json:"-"`
	Subtask string  `json:"-"` // id given by the client

	slow    time.Duration // extra time until it begins
	dwell   bool          // the old state shows until then
	mapping []int         // filament of the plate → tray, see project_file
}

// tray is the one it begins with: the first that is mapped, the external spool when
// filaments are given and none is.
func (j *job) tray() int {
	for _, t := range j.mapping {
		if t >= 0 {
			return t
		}
	}
	if len(j.mapping) > 0 {
		return externalSpool
	}
	return 0
}

func newMachine(m bambu.Model, seed uint64) *machine {
	v := &machine{
		model: m, rnd: rand.New(rand.NewPCG(seed, 7)), state: stIdle, speed: 2, wifi: -50, trayNow: 255, trayTarget: 255,
		trayBefore: 255, card: true, amsVersion: 3,
		bed: heater{now: ambient}, chamber: heater{now: ambient},
		trays: []tray{
			{"PLA", "PLA Basic", "5E43B7FF", "GFA00", 83, "8A00000000000001"},
			{"PLA", "PLA Matte", "9B9EA0FF", "GFA01", 42, "8A00000000000002"},
			{"PETG", "PETG HF", "000000FF", "GFG02", 100, "8A00000000000003"},
			{},
		},
	}
	v.nozzle[0].now, v.nozzle[1].now = ambient, ambient
	v.stage = v.noStage()
	v.seen = append([]tray(nil), v.trays...)
	return v
}

// noStage is what stg_cur reads when nothing special happens.
func (v *machine) noStage() int {
	switch {
	case v.model.Reports == bambu.StyleFull:
		return -1
	case v.job == nil:
		return 0
	}
	return 255
}

func (v *machine) busy() bool {
	return v.state == stPrepare || v.state == stRunning || v.state == stPause || (v.job != nil && !v.job.ended)
}

// accept takes a job in; the machine must not be busy.
func (v *machine) accept(p PrintJob) *job {
	if p.Minutes <= 0 {
		p.Minutes = 10
	}
	p.Plate = max(p.Plate, 1)
	length := time.Duration(p.Minutes * float64(time.Minute))
	j := &job{
		PrintJob: p, print: length, prepare: min(3*time.Minute, length/3), accepted: 2*time.Second + p.slow,
		layers: max(5, int(p.Minutes*5)), bedGoal: 60, nozzleGoal: 220, subtask: "0", task: "0",
	}
	if p.Source == "cloud" {
		id := 800000000 + v.rnd.IntN(100000000)
		j.subtask, j.task = itoa(id), itoa(id)
	}
	if p.Subtask != "" {
		j.subtask, j.task = p.Subtask, p.Subtask
	}
	if v.skipsPrepare(j) {
		j.accepted += time.Second
	}
	old := v.jobView()
	j.percent, j.layer, j.total = old.percent, old.layer, old.layers
	v.job, v.printError, v.hms, v.cancelEcho = j, 0, nil, 0
	v.leftover = &p
	if v.model.Reports == bambu.StyleDelta && p.Source != "cloud" && !p.dwell {
		v.state = stIdle // the A1 names the new file for a moment before it prepares
	}
	return j
}

// step moves the machine on by dt of its own time and tells whether a print ended.
// It stops early when the state changes, so that each state is seen at any speed.
func (v *machine) step(dt time.Duration) (ended bool) {
	const most = 300 // slices: enough for the stages, few enough for a thousand printers
	slice, was := max(time.Second, dt/most), v.state
	for left := dt; left > 0 && v.state == was; left -= slice {
		ended = v.move(min(slice, left))
	}
	return ended
}

func (v *machine) move(dt time.Duration) (ended bool) {
	if j := v.job; j != nil && !j.ended {
		j.started += dt
		switch v.state {
		case stPause:
		case stPrepare:
			v.preparing(dt)
		case stRunning:
			ended = v.running(dt)
		default:
			if j.accepted -= dt; j.accepted <= 0 {
				v.begin()
			}
		}
	}
	v.heat(dt)
	v.echo(dt)
	v.wifi = -48 - v.rnd.IntN(5)
	return ended
}

// echo shows the error that follows a cancelled print: late, and on the A and P
// series only for some seconds.
func (v *machine) echo(dt time.Duration) {
	if v.cancelEcho <= 0 {
		return
	}
	v.cancelEcho -= dt
	switch delta := v.model.Reports == bambu.StyleDelta; {
	case v.cancelEcho <= 0 && delta && v.printError == errCancelled:
		v.printError = 0
	case v.cancelEcho <= echoLasts:
		v.printError = errCancelled
		if v.model.Code == "P2S" {
			v.hms = []bambu.HMS{cancelHMS}
		}
		if !delta {
			v.cancelEcho = 0
		}
	}
}

func (v *machine) heat(dt time.Duration) {
	drift := float64(v.rnd.IntN(3)-1) / 32
	for i := range v.nozzle {
		v.nozzle[i].step(dt, 4, drift)
	}
	v.bed.step(dt, 1.2, drift)
	if v.chamber.target == 0 {
		v.chamber.now = ambient + (v.bed.now-ambient)/4 // what the bed gives off
		return
	}
	v.chamber.step(dt, 0.2, drift)
}

// skipsPrepare tells whether a job goes to RUNNING at once, as on a P2S that was
// given it over the LAN.
func (v *machine) skipsPrepare(j *job) bool { return v.model.Code == "P2S" && j.Source != "cloud" }

// begin ends the wait after a job was accepted.
func (v *machine) begin() {
	if v.skipsPrepare(v.job) {
		v.run()
		return
	}
	v.state = stPrepare
}

// preparing is the time before the first line: PREPARE is only the beginning of
// it, then the printer says RUNNING and works through its stages.
func (v *machine) preparing(dt time.Duration) {
	j, long := v.job, prepareTime
	if j.Source == "cloud" {
		long = cloudPrepare
	}
	if j.waitedFor += dt; j.waitedFor >= long {
		v.run()
		j.layer = 0
	}
}

// run begins the print proper. The numbers of the last job go, but the layer on a
// P2S, which is still the old one in the first report.
func (v *machine) run() {
	j := v.job
	v.state, v.stages, v.bed.target = stRunning, preparation, j.bedGoal
	j.begun, j.percent, j.total = true, 0, j.layers
}

func (v *machine) running(dt time.Duration) (ended bool) {
	j := v.job
	if j.waitedFor < j.prepare {
		j.waitedFor += dt
		j.layer = 0
		v.warmUp(float64(j.waitedFor) / float64(j.prepare))
		return false
	}
	if j.done >= j.print {
		return v.finishing(dt)
	}
	v.fed()
	v.stage, v.partFan = 0, 80
	if v.auxFan == 0 && v.model.AuxFan {
		v.auxFan = 30
	}
	j.done += time.Duration(float64(dt) * []float64{1, 0.5, 1, 1.24, 1.66}[v.speed])
	share := min(1, float64(j.done)/float64(j.print))
	// 100 % is not reported before FINISH.
	j.percent, j.layer = min(99, int(share*100)), min(j.layers, 1+int(share*float64(j.layers)))
	return false
}

// finishing is what follows the last line.
func (v *machine) finishing(dt time.Duration) (ended bool) {
	if !v.unload(dt) {
		return false
	}
	v.end(stFinish, "success")
	v.job.percent, v.job.layer = 100, v.job.layers
	return true
}

// warmUp goes through the stages: preheat, home, load filament, clean, level.
func (v *machine) warmUp(share float64) {
	v.nozzle[v.active].target = 140
	switch {
	case share < 0.2:
		v.stage = 2
	case share < 0.4:
		v.stage = 13
	case share < 0.7:
		v.load((share - 0.4) / 0.3)
	case share < 0.85:
		v.stage, v.nozzle[v.active].target = 14, v.job.nozzleGoal
	default:
		v.stage, v.nozzle[v.active].target = 1, v.job.nozzleGoal
	}
}

// end closes the print. Progress and layer keep their values, as on real printers.
func (v *machine) end(state, outcome string) {
	j := v.job
	j.ended, j.outcome = true, outcome
	v.state, v.stages, v.stage = state, nil, v.noStage()
	v.bed.target, v.chamber.target, v.partFan, v.auxFan, v.chamberFan = 0, 0, 0, 0, 0
	v.nozzle[0].target, v.nozzle[1].target = 0, 0
	v.amsStatus, v.filament, v.trayTarget, v.trayNow, v.trayBefore = 0, false, 255, 255, 255
}

// stop cancels the print, as from the screen. The error that echoes it comes
// some seconds later.
func (v *machine) stop() bool {
	if v.job == nil || v.job.ended {
		return false
	}
	v.end(stFailed, "stopped")
	v.job.percent, v.printError, v.cancelEcho = 0, 0, echoAfter+echoLasts
	return true
}

func (v *machine) pause(stage int) bool {
	if v.state != stRunning || v.job.ending > 0 {
		return false
	}
	v.state, v.stage = stPause, stage
	return true
}

func (v *machine) resume() bool {
	if v.state != stPause {
		return false
	}
	v.state, v.stage, v.printError, v.hms, v.filament = stRunning, 0, 0, nil, true
	return true
}

// powerOn is the machine after its power came back: it has forgotten the job.
func (v *machine) powerOn() (lost bool) {
	lost = v.job != nil && !v.job.ended
	if lost {
		v.end(stIdle, "failed")
	}
	v.job, v.state, v.printError, v.hms, v.light, v.cancelEcho = nil, stIdle, 0, nil, false, 0
	v.nozzle[0].target, v.nozzle[1].target, v.bed.target, v.chamber.target = 0, 0, 0, 0
	v.stage = v.noStage()
	return lost
}
