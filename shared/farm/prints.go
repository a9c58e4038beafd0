package farm

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// PrintKind tells a physical print from an uploaded file. It never changes.
type PrintKind string

// The kinds.
const (
	KindPrint PrintKind = "print"
	KindFile  PrintKind = "file"
)

// PrintStatus is where a print stands.
type PrintStatus string

// The statuses of the contract.
const (
	StatusPrinting PrintStatus = "printing"
	StatusSuccess  PrintStatus = "success"
	StatusFailed   PrintStatus = "failed"
	StatusStopped  PrintStatus = "stopped"
	StatusUnknown  PrintStatus = "unknown"
	StatusUploaded PrintStatus = "uploaded"
)

// Ended tells whether a print with this status is over.
func (s PrintStatus) Ended() bool {
	switch s {
	case StatusSuccess, StatusFailed, StatusStopped, StatusUnknown:
		return true
	default:
		return false
	}
}

// Where a print came from.
const (
	SourceQueue  = "queue"
	SourceSlicer = "slicer" // over the LAN
	SourceScreen = "screen"
	SourceCloud  = "cloud"
	SourceUpload = "upload" // an uploaded file, not a print
)

// FileStatus is where the data of a print stands.
type FileStatus string

// The file statuses of the contract.
const (
	FilePending FileStatus = "pending"
	FileStored  FileStatus = "stored"
	FileMissing FileStatus = "unavailable"
)

// Print is one archive: a physical print, or an uploaded file. Times are UTC; a
// zero time is "not known". A pointer that is nil is "not known" as well.
type Print struct {
	ID       int64
	Kind     PrintKind
	Status   PrintStatus
	Paused   bool   // while printing
	RunID    string // of the first run it was told by, "" for a file
	RunSeq   int64  // last record of RunID that was applied
	Subtask  string // the printer's id of the submission, "" if it identifies nothing
	Source   string // one of the sources above, "" unknown
	SourceID int64  // archive it was printed from, 0: none
	QueueID  int64  // queue item it came of, 0: none

	PrinterID   int64  // 0: none; the printer may be gone
	PrinterName string // as the printer was called last
	Serial      string
	SiteID      int64
	AgentID     int64 // who told of it

	Name          string // title of the 3MF, else the stem of its name; people may change it
	Renamed       bool   // a person chose the name
	Filename      string // base name of the 3MF
	Plate         int    // 0: not known
	CreatedAt     time.Time
	StartedAt     time.Time // zero for a file
	FinishedAt    time.Time // zero while it prints, and when nobody knows
	Duration      *int64    // seconds, start to end
	TimeEstimated bool      // some of the times are not what somebody saw
	Progress      int       // percent, last seen
	Milestone     int       // highest that was passed, told or not: 0, 5, … 95
	Layer         int
	TotalLayers   int
	FailureReason string

	FilamentUsed  *float64 // grams
	FilamentType  string   // distinct types joined with ", "
	Filaments     []PrintFilament
	LayerHeight   *float64 // mm
	Nozzle        *float64 // mm
	BedType       string
	Estimate      *int64   // seconds, the slicer's
	EstimateGrams *float64 // grams, the slicer's, of this plate
	Cost          *float64

	SHA256     string // of the 3MF, "" until known
	FileSize   int64
	FileStatus FileStatus
	FileError  string   // why unavailable, or what delays it
	Has        []string // roles of the files that are stored
	Duplicate  int64    // earliest archive with the same 3MF, 0: none

	Notes     string
	Tags      []string
	ProjectID int64 // 0: none
	Favorite  bool
	Dir       string // where its objects are, below the site: <printer>/<yyyy>/<mm>/<dd>/<hhmmss>-<name>-<id>
	DeletedAt time.Time
	UpdatedAt time.Time
}

// PrintFilament is one filament of a print's plate.
type PrintFilament struct {
	Slot   int     `json:"slot"` // of the project, from 1
	Type   string  `json:"type"`
	Color  string  `json:"color"` // #RRGGBB
	Grams  float64 `json:"grams"`
	Metres float64 `json:"metres"`
}

// The roles of a print's files.
const (
	RoleModel     = "model"
	RoleThumbnail = "thumbnail"
	RoleFinish    = "finish"
	RoleTimelapse = "timelapse"
	RoleRecord    = "record" // print.json: what is known of the print, beside its files
)

// PrintFile is one file of a print and where it stands. Path is how people see it
// below the site; Key is the object that holds it, which several prints share when
// it is a model.
type PrintFile struct {
	ID        int64
	PrintID   int64
	SiteID    int64
	Role      string
	Path      string // Print.Dir + "/" + name
	Key       string // "" until stored
	SHA256    string
	Size      int64
	MediaType string
	Status    FileStatus
	Reason    string // why unavailable, or what delays it
	CreatedAt time.Time
	StoredAt  time.Time
}

// Pull is a captured file that an agent has and the hub wants.
type Pull struct {
	ID      int64
	PrintID int64
	RunID   string // under whose reference the agent keeps it
	AgentID int64
	Role    string
	SHA256  string
	Size    int64
	Name    string
	Tries   int
	NextAt  time.Time
	Error   string // of the last try
}

// Project groups archives.
type Project struct {
	ID          int64
	Name        string
	Description string
	Color       string // #rrggbb
	TargetCount int64  // 0: none
	Status      string // active, completed, archived
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// The kinds of events of prints and archives.
const (
	EventPrintStarted   = "print_started"
	EventPrintProgress  = "print_progress"
	EventPrintPaused    = "print_paused"
	EventPrintResumed   = "print_resumed"
	EventPrintComplete  = "print_complete" // success, and unknown
	EventPrintFailed    = "print_failed"
	EventPrintStopped   = "print_stopped"
	EventPrinterError   = "printer_error"
	EventErrorCleared   = "printer_error_cleared"
	EventArchiveUpdated = "archive_updated"
	EventArchiveDeleted = "archive_deleted"
	EventArchiveAdded   = "archive_added" // an uploaded file
	EventAgentGap       = "agent_gap"     // records of an agent are missing
	EventProjectAdded   = "project_added"
	EventProjectUpdated = "project_updated"
	EventProjectRemoved = "project_removed"
)

// Prices are what printing costs. The zero value costs nothing.
type Prices struct {
	Types   map[string]float64 // of a kg of filament, by its type
	PerKG   float64            // of every other type
	PerHour float64            // of the machine
}

// ofType is the price of a kg of a type, however it is written.
func (p Prices) ofType(name string) float64 {
	if price, ok := p.Types[name]; ok {
		return price
	}
	for _, known := range slices.Sorted(maps.Keys(p.Types)) {
		if strings.EqualFold(known, name) {
			return p.Types[known]
		}
	}
	return p.PerKG
}

// mean is the price of a kg of what a plate is printed with.
func (p Prices) mean(filaments []PrintFilament) float64 {
	grams, cost := 0.0, 0.0
	for _, f := range filaments {
		grams += f.Grams
		cost += f.Grams * p.ofType(f.Type)
	}
	if grams > 0 {
		return cost / grams
	}
	if len(filaments) == 1 {
		return p.ofType(filaments[0].Type)
	}
	return p.PerKG
}

// Weigh works out what a print has used, from the slicer's estimate, and what it has
// cost: all of the estimate for a success, the share of its layers for one that ended
// early, nothing known otherwise. The hours of the machine count by themselves.
func (p *Print) Weigh(prices Prices) {
	p.FilamentUsed, p.Cost = p.used(), nil
	cost := 0.0
	if p.FilamentUsed != nil {
		cost = *p.FilamentUsed / 1000 * prices.mean(p.Filaments)
	}
	timed := p.Duration != nil && prices.PerHour > 0
	if timed {
		cost += float64(*p.Duration) / 3600 * prices.PerHour
	}
	if p.FilamentUsed != nil || timed {
		p.Cost = &cost
	}
}

// used is how many grams a print has used; nil when that is not known.
func (p *Print) used() *float64 {
	if p.EstimateGrams == nil {
		return nil
	}
	grams := *p.EstimateGrams
	switch {
	case p.Status == StatusSuccess:
	case (p.Status == StatusFailed || p.Status == StatusStopped) && p.TotalLayers > 0:
		grams *= min(1, float64(p.Layer)/float64(p.TotalLayers))
	case (p.Status == StatusFailed || p.Status == StatusStopped) && p.Progress > 0:
		grams *= float64(min(p.Progress, 100)) / 100
	default:
		return nil
	}
	return &grams
}

// PrintScope is which archives a caller may see. Nil lists mean all, empty ones
// none. An uploaded file has no printer: it is seen by its site.
type PrintScope struct {
	Printers []int64
	Sites    []int64
}

// PrintQuery asks for archives. Zero fields do not filter; From is inclusive, To
// is not.
type PrintQuery struct {
	Scope      PrintScope
	PrinterID  int64
	SiteID     int64
	ProjectID  int64
	Kind       PrintKind
	Status     PrintStatus
	FileStatus FileStatus
	Source     string
	Tag        string
	SHA256     string
	Favorite   *bool
	From, To   time.Time // of CreatedAt
	Search     string    // words as a person typed them, never query syntax

	Limit  int
	Offset int
	After  string // cursor of an earlier answer; instead of Offset
}

// PrintPage answers a PrintQuery, newest first.
type PrintPage struct {
	Total  int64
	Prints []Print
	Next   string // cursor of the next page, "" at the end
}

// PrintChange is what people may change of an archive; nil leaves it.
type PrintChange struct {
	Name          *string
	Notes         *string
	Tags          *[]string
	ProjectID     *int64 // 0: none
	FailureReason *string
	Favorite      *bool
}

// SliceData is what the slicer says of a print, as it is read out of its 3MF.
type SliceData struct {
	Title         string
	Plate         int
	Filaments     []PrintFilament
	LayerHeight   *float64
	TotalLayers   int
	Nozzle        *float64
	BedType       string
	Estimate      *int64
	EstimateGrams *float64
}

// StoredFile tells that a file of a print is stored, and what it tells of the print.
type StoredFile struct {
	PrintID   int64
	Role      string
	Path      string // below the site, as PrintFile.Path
	Name      string // as it was called where it came from; of a model: the print's Filename
	Key       string
	SHA256    string
	Size      int64
	MediaType string
	Slice     *SliceData // of a model that can be read
	Prices    Prices     // what the print costs by it
}

// HasFile tells whether a file of that role is stored.
func (p Print) HasFile(role string) bool { return slices.Contains(p.Has, role) }
