package farm

import (
	"slices"
	"time"
)

// QueueStatus is where a queue item stands.
type QueueStatus string

// The states of the contract.
const (
	QueuePending     QueueStatus = "pending"     // waits; QueueItem.Reason says for what
	QueueDispatching QueueStatus = "dispatching" // belongs to a printer: its file is on the way, or its start is not confirmed yet
	QueuePrinting    QueueStatus = "printing"    // the printer reports our print
	QueueCompleted   QueueStatus = "completed"
	QueueFailed      QueueStatus = "failed"
	QueueCancelled   QueueStatus = "cancelled"
)

// Ended tells whether an item with this status is over.
func (s QueueStatus) Ended() bool {
	return s == QueueCompleted || s == QueueFailed || s == QueueCancelled
}

// Reason says in a word why an item waits, or why a printer does not take it. The words
// are part of the API; a sentence stands beside them.
type Reason string

// The reasons. Those in the second group need a person.
const (
	ReasonNone        Reason = ""                    // the next pass gives it to a printer
	ReasonScheduled   Reason = "scheduled"           // its time has not come
	ReasonRetry       Reason = "retry_later"         // the last try failed; it is tried again at a time
	ReasonBusy        Reason = "printer_busy"        // prints, or does something that must not be disturbed
	ReasonReserved    Reason = "printer_reserved"    // another item has the printer
	ReasonStaggered   Reason = "staggered"           // starts at the site are spread
	ReasonOffline     Reason = "printer_offline"     // or its agent is
	ReasonSettling    Reason = "printer_settling"    // its state is not known for sure yet
	ReasonUploading   Reason = "uploading"           // dispatching: the file is on the way
	ReasonStarting    Reason = "starting"            // dispatching: released, the printer has not confirmed yet
	ReasonUnsupported Reason = "agent_outdated"      // its agent cannot start prints
	ReasonEarlier     Reason = "earlier_item_waits"  // an item before it is to have the printer
	ReasonHeld        Reason = "dispatch_held"       // the hub starts nothing at the moment
	ReasonDispatching Reason = "dispatch_unfinished" // an agent out of contact holds the item

	ReasonManual      Reason = "manual_start"      // a person is to start it
	ReasonPlate       Reason = "plate_not_clear"   // the last print may still lie on the plate
	ReasonPrevious    Reason = "previous_failed"   // require_previous_success
	ReasonUnconfirmed Reason = "start_unconfirmed" // the start was sent and not seen to happen
	ReasonModel       Reason = "wrong_model"       // sliced for another model
	ReasonNozzle      Reason = "wrong_nozzle"
	ReasonFilament    Reason = "no_matching_filament"
	ReasonShort       Reason = "not_enough_filament"
	ReasonStorage     Reason = "no_storage" // no card or stick in the printer
	ReasonFault       Reason = "printer_fault"
	ReasonReadOnly    Reason = "printer_read_only" // developer mode is off
	ReasonFile        Reason = "file_unavailable"
	ReasonNoPrinter   Reason = "no_printer"   // no printer fits the target
	ReasonTarget      Reason = "not_targeted" // of a printer: the target leaves it out
)

// NeedsPerson tells whether the reason stays until somebody does something.
func (r Reason) NeedsPerson() bool {
	return slices.Contains([]Reason{
		ReasonManual, ReasonPlate, ReasonPrevious, ReasonUnconfirmed, ReasonModel, ReasonNozzle, ReasonFilament, ReasonShort,
		ReasonStorage, ReasonFault, ReasonReadOnly, ReasonFile, ReasonNoPrinter, ReasonUnsupported,
	}, r)
}

// Tri is a switch that may be left to the printer.
type Tri string

// The positions.
const (
	TriOff  Tri = "off"
	TriOn   Tri = "on"
	TriAuto Tri = "auto"
)

// PrintOptions are what is asked of a printer beside the print itself. "" is the
// default: auto for calibrations the printer can decide on, on for levelling and
// vibration, off for the rest.
type PrintOptions struct {
	BedLevelling         Tri `json:"bed_levelling,omitempty"`
	FlowCalibration      Tri `json:"flow_calibration,omitempty"`
	NozzleOffset         Tri `json:"nozzle_offset_calibration,omitempty"` // two nozzles
	VibrationCalibration Tri `json:"vibration_calibration,omitempty"`     // on or off
	LayerInspect         Tri `json:"layer_inspect,omitempty"`             // on or off
	Timelapse            Tri `json:"timelapse,omitempty"`                 // on or off
}

// Need is what a plate asks of a printer, read out of its 3MF once.
type Need struct {
	Model     string         `json:"model"`   // model code it was sliced for ("X1C"), "" not known
	Plate     int            `json:"plate"`   // from 1
	Nozzles   []float64      `json:"nozzles"` // mm, by extruder as the slicer counts; empty: not known
	Filaments []NeedFilament `json:"filaments"`
	Project   int            `json:"project"` // filaments of the project, used or not: length of a mapping
	BedType   string         `json:"bed_type"`
	Seconds   int64          `json:"seconds"` // the slicer's estimate, 0 not known
	Grams     float64        `json:"grams"`
}

// NeedFilament is one filament that a plate uses.
type NeedFilament struct {
	ID       int     `json:"id"` // of the project, from 1
	Type     string  `json:"type"`
	Color    string  `json:"color"` // #RRGGBB
	PresetID string  `json:"preset_id"`
	Grams    float64 `json:"grams"`
	Extruder int     `json:"extruder"` // 1 left or the only one, 2 right, 0 not told
}

// FeedKind says from where a filament comes.
type FeedKind string

// The kinds. There is no value for "not known": what is not resolved is not printed.
const (
	FeedUnused   FeedKind = "unused"
	FeedTray     FeedKind = "tray"     // AMS and Slot
	FeedExternal FeedKind = "external" // the spool holder; AMS 254 is the left one of two nozzles
)

// Feed is where one filament of a project comes from. A mapping has one for each
// filament of the project, in order.
type Feed struct {
	Kind FeedKind `json:"kind"`
	AMS  int      `json:"ams,omitempty"`  // unit id: 0..3, 16, 128..135
	Slot int      `json:"slot,omitempty"` // 0..3
}

// QueueTarget is any printer that fits. Empty fields do not restrict.
type QueueTarget struct {
	Model    string           `json:"model,omitempty"` // model code
	SiteID   int64            `json:"site_id,omitempty"`
	Tags     []string         `json:"tags,omitempty"` // all of them
	Location string           `json:"location,omitempty"`
	Nozzle   float64          `json:"nozzle,omitempty"`   // mm
	Filament []TargetFilament `json:"filament,omitempty"` // loaded in the printer, beside what the plate needs
}

// TargetFilament is a filament that has to be loaded.
type TargetFilament struct {
	Type  string `json:"type"`
	Color string `json:"color,omitempty"` // #RRGGBB, "" any
}

// QueueItem is one print that somebody wants. Times are UTC, zero: none.
type QueueItem struct {
	ID       int64
	UID      string // random, for ever: job ids are made of it, also after a hub was restored
	Rev      int64  // counts the changes
	BatchID  int64  // 0: alone
	Copy     int    // of the batch, from 1
	Position int64  // order of those that have not ended; lower is earlier
	Priority int    // higher is earlier, before Position; 0 usual

	ArchiveID   int64 // source
	ArchiveName string
	SHA256      string // of its 3MF
	FileSize    int64
	Filename    string
	PrintID     int64 // result, 0: not yet
	SiteID      int64 // whose item it is: of the printer, of the target, else of the archive
	PrinterID   int64 // wished for, 0: Target decides
	Target      QueueTarget
	AssignedID  int64 // printer it was given to; 0 while pending

	Status    QueueStatus
	Reason    Reason    // of pending and dispatching
	Detail    string    // Reason as a sentence
	Error     string    // how it failed
	Attempts  int       // dispatches so far
	NotBefore time.Time // after a failed try

	ScheduledAt     time.Time
	ManualStart     bool
	RequirePrevious bool
	Plate           int
	Need            Need
	Mapping         []Feed // a person's; nil: found by the planner
	Options         PrintOptions

	OwnerID    int64 // user, 0: none
	Owner      string
	CostCentre string

	CreatedAt  time.Time
	UpdatedAt  time.Time
	StartedAt  time.Time
	FinishedAt time.Time
}

// JobPhase is how far a dispatch is, as the hub has written it down.
type JobPhase string

// The phases. A job that is JobReleased may have been started, whatever else is known;
// one that is JobStaging has not.
const (
	JobStaging  JobPhase = "staging"
	JobReleased JobPhase = "released"
	JobStarted  JobPhase = "started" // the printer reported its id
	JobOver     JobPhase = "over"    // never started, or its print ended
)

// Job is one attempt to print a queue item on a printer.
type Job struct {
	ID         string // UID of the item, a dot, the attempt
	ItemID     int64
	Attempt    int
	PrinterID  int64
	Serial     string
	AgentID    int64
	Fence      int64
	Subtask    string // minted, unique, 1…2³¹−1: what the printer reports of the print
	Phase      JobPhase
	Cancel     bool   // somebody wants it to end
	Body       []byte // the wire.Job as it was sent
	Detail     string // how it ended
	CreatedAt  time.Time
	ReleasedAt time.Time // of the last release
	EndedAt    time.Time
}

// QueueQuery asks for items. Zero fields do not filter.
type QueueQuery struct {
	PrinterID int64 // wished for or given to
	BatchID   int64
	Statuses  []QueueStatus
	Scope     PrintScope
	Limit     int // of ended ones; 0: none of them
	Offset    int // of ended ones
}

// QueuePage answers a QueueQuery: all that have not ended in their order, then ended
// ones, newest first.
type QueuePage struct {
	Total int64
	Items []QueueItem
}

// Batch is the copies of one order.
type Batch struct {
	ID        int64
	ArchiveID int64
	Name      string
	Quantity  int
	Counts    map[QueueStatus]int
	CreatedAt time.Time
}

// The kinds of events of the queue.
const (
	EventQueueAdded     = "queue_added"
	EventQueueUpdated   = "queue_updated"
	EventQueueRemoved   = "queue_removed"
	EventQueueReordered = "queue_reordered"
	EventQueueWaiting   = "queue_waiting" // it waits for a person, told once a reason
)
