package wire

import (
	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
)

// Capability is something a side can do beyond the first release. A side asks
// only for what the other has named.
type Capability string

// Capabilities of this release. The list has a line per capability, with the
// date it came, for ever.
const (
	// CapState: 2026-11-24, GET /v1/state streams StateFrame with patches.
	CapState Capability = "state.v1"
	// CapRefresh: 2026-11-24, the command "refresh".
	CapRefresh Capability = "command.refresh.v1"
	// CapControl: 2026-11-24, the command "control", and CommandResult.Confirmed.
	CapControl Capability = "command.control.v1"
)

// Limits of the messages. A side refuses what is larger.
const (
	MaxMessage    = 1 << 20   // bytes of one JSON body
	MaxStateLine  = 256 << 10 // bytes of one line of the state stream
	MaxConfigBody = 8 << 20   // bytes of a Config
)

// Hello is how an agent introduces itself at the start of every session.
type Hello struct {
	AgentID      string       `json:"agent_id"`
	BootID       string       `json:"boot_id"` // random per process
	Version      string       `json:"version"`
	Platform     string       `json:"platform"` // "linux/amd64"
	Capabilities []Capability `json:"capabilities"`
	Generation   int64        `json:"generation"` // of the config it holds, 0: none
	Revision     int64        `json:"revision"`
	Epoch        string       `json:"epoch"` // of its outbox, "" until it has one
	Printers     []Presence   `json:"printers"`
	Clock        Clock        `json:"clock"`
	Alarm        string       `json:"alarm,omitempty"` // what a person should look at at the agent, "" for nothing
}

// Presence is one printer an agent runs a session for.
type Presence struct {
	Serial string `json:"serial"`
	Fence  int64  `json:"fence"`
}

// Clock is read in one go, so that the hub can place the agent's times on its own clock.
type Clock struct {
	WallMS    int64  `json:"wall_ms"`    // Unix milliseconds
	MonoMS    int64  `json:"mono_ms"`    // since the process began
	ProcessID string `json:"process_id"` // the boot id: monotonic times compare only within it
}

// Config is the wanted state of an agent, pushed whole. Configs are ordered by
// (Generation, Revision); an older one is refused with CONFLICT, the same one is
// applied again without harm. A printer that is absent stays as it is and is
// reported in ConfigResult.Kept: only a tombstone removes.
type Config struct {
	HubID      string           `json:"hub_id"`
	Generation int64            `json:"generation"`
	Revision   int64            `json:"revision"`
	SiteName   string           `json:"site_name"`
	Printers   []PrinterConfig  `json:"printers"`
	Tombstones []farm.Tombstone `json:"tombstones"`
}

// PrinterConfig is one printer an agent is to hold. Ports are never 0.
type PrinterConfig struct {
	Serial     string      `json:"serial"`
	Name       string      `json:"name"`
	Model      string      `json:"model"` // model code or "" when nobody knows yet
	Address    string      `json:"address"`
	MQTTPort   int         `json:"mqtt_port"`
	FTPSPort   int         `json:"ftps_port"`
	CameraPort int         `json:"camera_port"` // 0: the model's own
	AccessCode farm.Secret `json:"access_code"`
	Fence      int64       `json:"fence"` // the hub's counter of assignments of this printer

	// AutoClear: something takes each print that succeeded off the plate, so the agent
	// takes it for clear a minute after the end of one.
	AutoClear bool `json:"auto_clear,omitempty"`
}

// ConfigResult tells what an agent made of a Config. A bad printer is an entry
// in Errors and hinders no other.
type ConfigResult struct {
	Generation int64          `json:"generation"`
	Revision   int64          `json:"revision"`
	Applied    []Presence     `json:"applied"`
	Kept       []Presence     `json:"kept"` // held, but not in the config
	Errors     []PrinterError `json:"errors"`
}

// PrinterError is what is wrong with one printer of a Config.
type PrinterError struct {
	Serial string `json:"serial"`
	Detail string `json:"detail"`
}

// StateFrame is one line of the state stream. A stream begins with a Whole frame
// per printer; from then on a frame carries what changed since the last one of
// that printer on this stream. An agent that cannot send fast enough merges
// changes: the newest state always arrives, not every step to it.
type StateFrame struct {
	Serial     string      `json:"serial"`
	Fence      int64       `json:"fence"`
	Whole      bool        `json:"whole,omitempty"`      // Patch holds every section
	Removed    bool        `json:"removed,omitempty"`    // the agent no longer holds this printer
	Outbox     int64       `json:"outbox"`               // number of the last event appended for this printer before this state
	SeenAgoMS  int64       `json:"seen_ago_ms"`          // since the printer's last report; -1: none in this process
	Connection *Connection `json:"connection,omitempty"` // nil: unchanged
	Patch      bambu.Patch `json:"patch"`

	// SeenAddress is where the printer was seen while it cannot be reached at the
	// address configured; "" otherwise. Unlike Connection it is in every frame. It
	// is what some machine on the LAN said: a hint for a person, never proof.
	SeenAddress string `json:"seen_address,omitempty"`

	// Plate is in every frame of an agent with CapPlate; nil: not known.
	Plate *Plate `json:"plate,omitempty"`
}

// StateBeat is how many seconds an idle state stream waits before it carries a
// frame without a serial (a beat), so that the hub knows the agent still writes.
const StateBeat = 15

// ConnState is how an agent stands with one printer.
type ConnState string

// The states of a printer's session. Only Online means reports are fresh.
const (
	Connecting         ConnState = "connecting"
	Online             ConnState = "online"
	Silent             ConnState = "silent"              // connected, but no report for 60 s
	Unreachable        ConnState = "unreachable"         // no TCP or TLS, or the printer closed
	WrongAccessCode    ConnState = "wrong_access_code"   // the printer refused the login
	WrongSerial        ConnState = "wrong_serial"        // another printer answers at that address
	CertificateChanged ConnState = "certificate_changed" // right serial, another key than the pinned one
	Stopped            ConnState = "stopped"
)

// Connection is the state of a session with a sentence for a person. Detail
// holds no secret.
type Connection struct {
	State   ConnState `json:"state"`
	Detail  string    `json:"detail,omitempty"`
	SinceMS int64     `json:"since_ms"` // Unix milliseconds, agent's clock
}

// CommandKind names a command.
type CommandKind string

// The commands of this release.
const (
	// Refresh asks the printer for a full report. The answer comes once it is
	// published, or is put off by the printer's own limit (Deferred).
	Refresh CommandKind = "refresh"
	// Control does Command.Control. The answer comes once the printer acknowledged
	// it, or showed its effect.
	Control CommandKind = "control"
)

// Command is one act at a printer. It lives in no queue and is never replayed:
// the agent starts it within ValidMS of receipt or refuses it, and answers a
// repeated ID with the stored result or OUTCOME_UNKNOWN.
type Command struct {
	ID      string      `json:"id"`
	Fence   int64       `json:"fence"`
	ValidMS int64       `json:"valid_ms"`
	Kind    CommandKind `json:"kind"`

	Control *bambu.Control `json:"control,omitempty"` // of the kind Control
	// PlateVersion is, of the kind ClearPlate, the version the person looked at; nil: any.
	PlateVersion *int64 `json:"plate_version,omitempty"`
}

// MaxValidMS bounds Command.ValidMS.
const MaxValidMS = 30_000

// CommandResult is the outcome of a command that was carried out.
type CommandResult struct {
	ID       string `json:"id"`
	Deferred bool   `json:"deferred,omitempty"` // accepted, will be sent when the printer's limit allows
	// Confirmed tells how a control is known to have been taken: ByAck or ByState.
	Confirmed string `json:"confirmed,omitempty"`
	Plate     *Plate `json:"plate,omitempty"` // of the kind ClearPlate: as it is now
}

// How a control was confirmed.
const (
	ByAck   = "ack"   // the printer acknowledged it: accepted, not yet done
	ByState = "state" // the printer did not answer, but reports the effect
)

// Diagnostics is what an agent says of itself for a person who looks for a fault.
type Diagnostics struct {
	Hello    Hello               `json:"hello"`
	Sessions []SessionDiagnostic `json:"sessions"`
}

// SessionDiagnostic is one printer's session in numbers.
type SessionDiagnostic struct {
	Serial     string     `json:"serial"`
	Connection Connection `json:"connection"`
	Reports    int64      `json:"reports"`  // received in this process
	Rejected   int64      `json:"rejected"` // of them not readable
	Dropped    int64      `json:"dropped"`  // of them lost because we were too slow
	Connects   int64      `json:"connects"`
}

// EnrolRequest turns an enrolment secret into an identity.
type EnrolRequest struct {
	Secret    farm.Secret `json:"secret"`
	PublicKey []byte      `json:"public_key"` // Ed25519
	Name      string      `json:"name"`       // host name
	Version   string      `json:"version"`
	Platform  string      `json:"platform"`
}

// EnrolResult is what an agent keeps of its enrolment.
type EnrolResult struct {
	HubID   string `json:"hub_id"`
	AgentID string `json:"agent_id"`
	Site    string `json:"site"`
	Name    string `json:"name"`
}

// Error is the body of every error answer.
type Error struct {
	Detail string    `json:"detail"`
	Code   farm.Code `json:"code"`
}
