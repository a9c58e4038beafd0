package farm

import "time"

// Site is a place with printers: one LAN, usually one agent.
type Site struct {
	ID        int64
	Name      string
	CreatedAt time.Time
}

// DefaultSiteID is the site every hub begins with.
const DefaultSiteID int64 = 1

// Agent is one enrolled agent. UID names it on the wire and never changes.
type Agent struct {
	ID        int64
	UID       string // random, made by the hub at enrolment
	SiteID    int64
	Name      string
	PublicKey []byte // Ed25519, 32 bytes
	Version   string // what it said last
	Platform  string // "linux/amd64"
	Revision  int64  // of its config: raised by every change the agent must hear of
	Revoked   bool
	CreatedAt time.Time
	LastSeen  time.Time // zero: never connected
	Online    bool      // it was announced online, and not offline since
}

// AgentRevision is what a hub's link to an agent has to follow of its row.
type AgentRevision struct {
	Revision int64 // of its config
	Revoked  bool
}

// Enrolment is a one-time permission to enrol an agent at a site. Only the hash
// of its secret is kept.
type Enrolment struct {
	ID         int64
	SiteID     int64
	SecretHash [32]byte // SHA-256 of the secret in the token
	CreatedAt  time.Time
	ExpiresAt  time.Time
	UsedAt     time.Time // zero: not yet
	AgentID    int64     // who used it, 0: nobody
}

// Printer is one registered printer. Its access code is not part of it: that is
// sealed at rest and goes to the owning agent only.
type Printer struct {
	ID         int64
	Serial     string // upper case, unique, never changes
	Name       string
	ModelGiven string // model code a person gave, "" if none
	ModelSeen  string // model code the printer reported, "" until then
	Address    string // IP or host name on the site's LAN
	MQTTPort   int
	FTPSPort   int
	CameraPort int // 0: the model's own
	SiteID     int64
	AgentID    int64 // owner, 0: none yet
	Fence      int64 // raised at every assignment to an agent
	Location   string
	Tags       []string
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// Default ports of a printer.
const (
	DefaultMQTTPort = 8883
	DefaultFTPSPort = 990
)

// Tombstone tells an agent that a printer is no longer its own. Absence from a
// config means nothing; only this removes.
type Tombstone struct {
	Serial string `json:"serial"`
	Fence  int64  `json:"fence"`
}

// Event is one row of the hub's append-only event table.
type Event struct {
	ID        int64     // in commit order
	At        time.Time // when it happened
	Kind      string    // "printer_online", see the Event… constants
	PrinterID int64     // 0: none
	AgentID   int64     // 0: none
	SiteID    int64     // 0: none
	Data      []byte    // a JSON object, ready to be sent
}

// The kinds of events of this release.
const (
	EventPrinterAdded   = "printer_added"
	EventPrinterUpdated = "printer_updated"
	EventPrinterRemoved = "printer_removed"
	EventPrinterOnline  = "printer_online"
	EventPrinterOffline = "printer_offline"
	EventAgentEnrolled  = "agent_enrolled"
	EventAgentUpdated   = "agent_updated"
	EventAgentRevoked   = "agent_revoked"
	EventAgentRemoved   = "agent_removed"
	EventAgentOnline    = "agent_online"
	EventAgentOffline   = "agent_offline"
	EventAgentDuplicate = "agent_duplicate"
	EventSiteAdded      = "site_added"
	EventSiteUpdated    = "site_updated"
	EventSiteRemoved    = "site_removed"
)

// PrinterState is the last picture of a printer, as the database remembers it.
type PrinterState struct {
	PrinterID int64
	Connected bool // it was announced online
	SeenAt    time.Time
	Status    []byte // JSON of a bambu.Status
}

// AgentConfig is what the config of one agent is made of, read in one moment.
type AgentConfig struct {
	Agent      Agent
	SiteName   string
	Printers   []Printer
	Codes      map[int64][]byte // sealed access codes, by printer id
	Tombstones []Tombstone
}

// Audit is one thing that somebody did, or tried, and may have to answer for.
type Audit struct {
	ID        int64
	At        time.Time
	Who       string // the caller's name; of a sign-in that failed, the name that was given
	Kind      string // of caller: "key", "user"; "": nobody known
	Action    string // the operation, as "delete_printer"
	Method    string
	Path      string // without the query
	Remote    string // the caller's address
	RequestID string
	PrinterID int64  // 0: none
	SiteID    int64  // 0: none
	Status    int    // of the answer; 0: written down before it was done
	Code      Code   // of an answer that is an error
	Data      []byte // a JSON object
}

// The results of an audit entry, by its status.
const (
	AuditDone    = "done"    // below 400
	AuditRefused = "refused" // 4xx
	AuditFailed  = "failed"  // 5xx
	AuditBegun   = "begun"   // written down before it was done
)

// Result is what came of it.
func (a Audit) Result() string {
	switch {
	case a.Status == 0:
		return AuditBegun
	case a.Status < 400:
		return AuditDone
	case a.Status < 500:
		return AuditRefused
	default:
		return AuditFailed
	}
}

// AuditQuery asks for audit entries. Zero fields do not filter; Since is inclusive,
// Until is not.
type AuditQuery struct {
	Who, Kind, Action, Result string
	PrinterID, SiteID         int64
	Since, Until              time.Time

	Before int64 // only ids below; 0: from the newest on
	Limit  int
	Offset int
}

// AuditCheck tells whether the audit is whole.
type AuditCheck struct {
	First   int64 // id of the first chained entry
	Entries int64 // that are there, one behind the other, and unchanged
	Broken  int64 // id of the first one that is not; 0: all are
}
