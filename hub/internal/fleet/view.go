package fleet

import (
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// The words a printer's state is told with, everywhere outside the agent.
const (
	Offline   = "offline"
	Idle      = "idle"
	Preparing = "preparing"
	Printing  = "printing"
	Paused    = "paused"
	Finished  = "finished"
	Failed    = "failed"
)

// View is one printer as the hub knows it at one moment. It is a value: whoever
// got one may keep it, and nobody changes what it points to.
type View struct {
	Printer        farm.Printer
	Version        uint64          // grows with every change of this printer
	AgentConnected bool            // its agent's control lane is up
	Connection     wire.Connection // how the agent stands with the printer, as last told
	Connected      bool            // Status is live: agent up, session online, a report seen
	Known          bool            // Status holds something, live or remembered
	SeenAddress    string          // where it was seen while it cannot be reached at its address; "": nowhere else
	LastSeen       time.Time       // of the printer's last report; zero: never
	Status         bambu.Status
	Outbox         int64  // number of the last record its agent had written of it before this state
	State          string // one of the words above
}

// stateWord is the contract's word for what a printer does. A state word of the
// firmware that we do not know counts as idle, so that a new firmware never
// looks like a fault.
func stateWord(connected bool, gcodeState string) string {
	if !connected {
		return Offline
	}
	switch gcodeState {
	case "PREPARE", "SLICING", "INIT":
		return Preparing
	case "RUNNING":
		return Printing
	case "PAUSE":
		return Paused
	case "FINISH":
		return Finished
	case "FAILED":
		return Failed
	}
	return Idle
}

// InPrint tells whether a print is under way.
func (v View) InPrint() bool { return inPrint(v.State) }
