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
	errPlate     = 0x05008051
	errMismatch  = 0x0500803C
)

// lampOff is the mode of a lamp that is off.
const lampOff = "off"

// ambient is the room, in °C.
const ambient = 22.0

// How long a printer says PREPARE: for a file of the cloud it is downloaded first.
const (
	prepareTime  = 4 * time.Second
	downloadTime = 3 * time.Second
	cloudPrepare = 8 * time.Second
)

// How long it looks before it complains, and how long it takes to change to the
// twin of an empty spool.
const (
	lookTime   = 3 * time.Second
	reloadTime = 40 * time.Second
)

// When the error of a cancelled print shows, and how long on the A and P series.
const (
	echoAfter = 5 * time.Second
	echoLasts = 6 * time.Second
)

// machine is a printer's body: what moves, heats and counts. It knows no clock
// and no network; step moves it on. It belongs to one goroutine.
type machine struct {
	model       bambu.Model
	firmware    string
	dated       bool // its units tell neither kind nor humidity
	hidesDrying bool // its units do not tell what they were asked to dry
	unnamed     bool // it tells its project's number, not its product
	rnd         *rand.Rand

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
	auxFan2      int
	light        string // of the chamber
	homed        bool
	skipped      []int // objects of the print
	airduct      int   // mode
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
	seen         []tray  // trays as last reported; differs after a silent swap
	outside      [2]tray // external spools: right or only, left
	spent        int     // slot whose spool ran out, -1: none
	spentTray    tray
	away         *tray // what was in the first slot, see takeSpool
	reading      int   // slot whose chip is read, -1: none
	jammed       bool
	switching    bool   // between nozzles
	door         bool   // open
	unplugged    bool   // the AMS
	check        uint32 // error that the next look at the plate gives, 0: all is well
	secured      bool   // signed commands only
	card         bool
	set          settings
	errand       *errand
	change       *change
	dry          dryer
	profiles     []profile
	update       update
}

// tray is a spool in the AMS.
type tray struct {
	Type, Name, Color, Preset string
	Remain                    int
	Chip                      string // "": none
	Min, Max                  int    // of the nozzle, °C; 0: as PLA wants
	unknown                   bool   // nobody told the printer what it is
	Profile                   int    // of the pressure advance, -1: the default
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
	routine    []int         // stages of a calibration, nil: a print
	spool      int           // tray that took over from an empty one, -1: none did
	looked     time.Duration // at the plate, see check
	reload     time.Duration // left of changing to spool
	passed     uint32        // check that a person told it to ignore
	bedGoal    float64
	nozzleGoal float64
	was        jobView // what the report names instead while lag lasts
	lag        time.Duration
}

// PrintJob is a print to start.
type PrintJob struct {
	Name    string  `json:"name"`    // without an extension
	Plate   int     `json:"plate"`   // 0: the first of the file
	Plates  int     `json:"plates"`  // sliced plates of the sample that is printed without a file; 0: the printed one
	Minutes float64 `json:"minutes"` // of printing, 0: 10
	Source  string  `json:"source"`  // slicer, screen, cloud; mqtt when a client sent it; ghost when the printer began by itself
	File    string  `json:"file"`    // optional path of a .3mf, whose hash goes to the ledger
	SHA256  string  `json:"-"`
	Subtask string  `json:"-"` // id given by the client

	Timelapse *bool `json:"timelapse"` // whether it is filmed; null: as the printer is set

	slow    time.Duration // extra time until it begins
	dwell   bool          // the old state shows until then
	mapping []int         // filament of the plate → tray, see project_file
	data    []byte        // of its file, nil: a sample
	file    string        // its name, "": none is known
	path    string        // of its file on the card, "": it is not there
	inside  bool          // it lies in the internal storage, and its film too
	lag     time.Duration // how long it runs until its own name shows
}

// length is how long it prints.
func (j PrintJob) length() time.Duration {
	if j.Minutes <= 0 {
		return 10 * time.Minute
	}
	return time.Duration(j.Minutes * float64(time.Minute))
}

// prepareOf is how long a print of that length takes until its first line.
func prepareOf(length time.Duration) time.Duration { return min(3*time.Minute, length/3) }

// layersOf is how many layers a print has.
func layersOf(minutes float64) int { return max(5, int(minutes*5)) }

// tray is the one it begins with: the first that is mapped, the external spool when
// filaments are given and none is.
func (j *job) tray() int {
	if j.spool >= 0 {
		return j.spool
	}
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
		trayBefore: 255, card: true, amsVersion: 3, light: lampOff, reading: -1, spent: -1, set: factory(m),
		dry: dryer{air: heater{now: ambient}, humidity: 28},
		bed: heater{now: ambient}, chamber: heater{now: ambient},
		trays: []tray{
			{Type: "PLA", Name: "PLA Basic", Color: "5E43B7FF", Preset: "GFA00", Remain: 83, Chip: "8A00000000000001", Profile: -1},
			{Type: "PLA", Name: "PLA Matte", Color: "9B9EA0FF", Preset: "GFA01", Remain: 42, Chip: "8A00000000000002", Profile: -1},
			{Type: "PETG", Name: "PETG HF", Color: "000000FF", Preset: "GFG02", Remain: 100, Chip: "8A00000000000003", Min: 230, Max: 270, Profile: -1},
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
	length := p.length()
	p.Minutes, p.Plate = length.Minutes(), max(p.Plate, 1)
	if p.Timelapse != nil {
		v.set.timelapse = *p.Timelapse
	}
	j := &job{
		PrintJob: p, print: length, prepare: prepareOf(length), accepted: 2*time.Second + p.slow,
		layers: layersOf(p.Minutes), spool: -1, bedGoal: 60, nozzleGoal: 220, subtask: "0", task: "0",
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
	j.was, j.lag = old, p.lag
	j.percent, j.layer, j.total = old.percent, old.layer, old.layers
	v.job, v.printError, v.hms, v.cancelEcho, v.skipped = j, 0, nil, 0, nil
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
			j.lag -= dt
			ended = v.running(dt)
		default:
			if j.accepted -= dt; j.accepted <= 0 {
				v.begin()
			}
		}
	}
	if v.change != nil {
		v.changing(dt)
	}
	if v.errand != nil {
		v.runErrand(dt)
	}
	v.heat(dt)
	v.drying(dt)
	v.updating(dt)
	v.echo(dt)
	v.wifi = -48 - v.rnd.IntN(5)
	return ended
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
