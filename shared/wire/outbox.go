package wire

import "bambuddy/shared/bambu"

// Capabilities of the outbox and of captured files.
const (
	// CapOutbox: 2026-11-24, GET /v1/outbox and POST /v1/outbox/ack.
	CapOutbox Capability = "outbox.v1"
	// CapCaptures: 2026-11-24, HEAD, GET and DELETE /v1/files/{sha256} on the bulk lane.
	CapCaptures Capability = "captures.v1"
)

// Limits of the outbox.
const (
	MaxOutboxPage   = 500 // records of one OutboxPage
	MaxOutboxRecord = 16 << 10
	// OutboxWait is how many seconds a request for a page waits for a first record.
	OutboxWait = 25
)

// OutboxPage answers GET /v1/outbox?epoch=E&after=N&limit=L: the records with
// numbers above N, in order, at most L and at most MaxMessage bytes of them. When
// there is none the agent waits up to OutboxWait seconds for the first. Another
// epoch than the agent's, or an N it has never given out, is CONFLICT: the hub then
// asks hello for the epoch and begins with the mark it has of that. An N below what
// is kept is no error: First tells where the page begins, and what lies between is a
// gap that the hub writes down.
type OutboxPage struct {
	Epoch   string         `json:"epoch"`
	First   int64          `json:"first"` // number of the first record kept; last+1 when none is
	Last    int64          `json:"last"`  // number of the last record ever written
	Clock   Clock          `json:"clock"` // of the moment of the answer
	Records []OutboxRecord `json:"records"`
}

// OutboxAck tells an agent that the hub has committed everything up to N. Only the
// hub it is enrolled with is heard, and no older generation than one heard before.
type OutboxAck struct {
	HubID      string `json:"hub_id"`
	Generation int64  `json:"generation"`
	Epoch      string `json:"epoch"`
	N          int64  `json:"n"`
}

// OutboxRecord is one thing that happened at a site. Exactly one of the pointers is
// set, as Kind says; a kind that a hub does not know is passed over.
type OutboxRecord struct {
	N      int64  `json:"n"` // counts from 1 within the epoch, without holes but for gaps told by Gap
	Serial string `json:"serial,omitempty"`
	Fence  int64  `json:"fence,omitempty"` // of the printer when it was written

	// When it was written, as Clock.
	WallMS    int64  `json:"wall_ms"`
	MonoMS    int64  `json:"mono_ms"`
	ProcessID string `json:"process_id"`
	// AgoMS is how long before that it happened; Estimated: nobody saw it happen.
	AgoMS     int64 `json:"ago_ms,omitempty"`
	Estimated bool  `json:"estimated,omitempty"`

	Kind  RecordKind   `json:"kind"`
	Print *PrintRecord `json:"print,omitempty"`
	Fault *FaultRecord `json:"fault,omitempty"`
	File  *FileRecord  `json:"file,omitempty"`
	Gap   *GapRecord   `json:"gap,omitempty"`
}

// RecordKind names what happened.
type RecordKind string

// The kinds of records.
const (
	// PrintStarted: a print began, and its beginning was seen.
	PrintStarted RecordKind = "print_started"
	// PrintObserved: a print was found under way (or ended) that this journal knows
	// nothing of: its beginning was not seen.
	PrintObserved RecordKind = "print_observed"
	// PrintDetails: something of a print became known after its start: id, name, plate.
	PrintDetails RecordKind = "print_details"
	// PrintProgress: a milestone was passed; of several at once the highest is told.
	PrintProgress RecordKind = "print_progress"
	PrintPaused   RecordKind = "print_paused"
	PrintResumed  RecordKind = "print_resumed"
	// PrintFinished: it ended; Print.Outcome tells how.
	PrintFinished RecordKind = "print_finished"

	// FaultRaised and FaultCleared: the printer complains, or no longer does.
	FaultRaised  RecordKind = "fault_raised"
	FaultCleared RecordKind = "fault_cleared"

	// FileReady: a file of a print is at the agent, whole, to be fetched by its hash.
	FileReady RecordKind = "file_ready"
	// FileUnavailable: a file of a print cannot be had, and the agent has given up.
	FileUnavailable RecordKind = "file_unavailable"

	// GapKind: records were lost or left out; Gap tells which and why.
	GapKind RecordKind = "gap"
)

// Outcome is how a print ended.
type Outcome string

// The outcomes.
const (
	Success Outcome = "success"
	Failed  Outcome = "failed"  // a fault of the printer
	Aborted Outcome = "stopped" // by a person, at the screen, in the slicer or through us
	Unknown Outcome = "unknown" // it ended unseen and nothing proves how
)

// PrintRecord is a print as the detector knew it when the record was written. Every
// record carries all of it, so that one record alone tells the print.
type PrintRecord struct {
	RunID string `json:"run_id"` // UUIDv7, one per physical print, minted by the agent
	Seq   int64  `json:"seq"`    // counts the records of this run from 1: a replay is known by it

	SubtaskID   string             `json:"subtask_id"` // as reported, "" when that identifies nothing
	Name        string             `json:"name"`       // subtask_name as reported
	File        string             `json:"file"`       // gcode_file as reported
	PrintKind   string             `json:"print_kind"` // print_type: local, cloud, …, ""
	Plate       bambu.Opt[int]     `json:"plate"`
	Progress    bambu.Opt[int]     `json:"progress"` // percent, the last that was seen above 0
	Layer       bambu.Opt[int]     `json:"layer"`
	TotalLayers bambu.Opt[int]     `json:"total_layers"`
	Remaining   bambu.Opt[int]     `json:"remaining"` // seconds
	Timelapse   bambu.Opt[bool]    `json:"timelapse"` // a video is being recorded
	Nozzle      bambu.Opt[float64] `json:"nozzle"`    // mm

	Outcome   Outcome `json:"outcome,omitempty"`   // of PrintFinished
	Reason    string  `json:"reason,omitempty"`    // of PrintFinished: what the printer complained of, for a person
	Milestone int     `json:"milestone,omitempty"` // of PrintProgress: a multiple of 5 up to 95, of older agents 25, 50 or 75
	// StartedAgoMS is, in PrintObserved and PrintFinished, how long before WallMS the
	// print began, as far as that is known; unknown otherwise.
	StartedAgoMS bambu.Opt[int64] `json:"started_ago_ms"`
}

// FaultRecord is one complaint of a printer: an HMS message or its print_error.
type FaultRecord struct {
	Code     string `json:"code"`     // "0300-400C" or the four groups of an HMS code
	Severity string `json:"severity"` // fatal, serious, common, info
	Module   string `json:"module,omitempty"`
	Message  string `json:"message,omitempty"`
	RunID    string `json:"run_id,omitempty"` // of the print it came in, if any
}

// FileRole is what a file is of its print.
type FileRole string

// The roles of files.
const (
	RoleModel     FileRole = "model"     // the 3MF
	RoleThumbnail FileRole = "thumbnail" // picture of the plate, PNG out of the 3MF
	RoleFinish    FileRole = "finish"    // photo at the end, JPEG
	RoleTimelapse FileRole = "timelapse" // video, MP4 or AVI
)

// FileRecord is a file of a print, got or given up.
type FileRecord struct {
	RunID  string   `json:"run_id"`
	Role   FileRole `json:"role"`
	SHA256 string   `json:"sha256,omitempty"` // lower-case hex; of FileReady
	Size   int64    `json:"size,omitempty"`
	Name   string   `json:"name,omitempty"`   // base name as it was on the printer
	Reason string   `json:"reason,omitempty"` // of FileUnavailable, for a person
}

// GapRecord tells of records that are not there.
type GapRecord struct {
	From   int64  `json:"from"`
	To     int64  `json:"to"`
	Reason string `json:"reason"`
}

// RunRef is the reference that keeps a captured file at the agent for a print, as in
// DELETE /v1/files/{sha256}?ref=….
func RunRef(runID string) string { return "run:" + runID }
