package wire

import (
	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
)

const (
	// CapJobs came 2026-11-24: prints that a hub has started. On the control lane:
	//
	//	PUT    /v1/jobs/{id}           Job → JobStatus. Stages: the file is waited for,
	//	       checked and put on the printer; nothing is started. The same job again
	//	       changes nothing; another one under its id is CONFLICT
	//	POST   /v1/jobs/{id}/release   JobRelease → JobStatus. Permits the start, once,
	//	       now. An error says that this release started nothing, but for
	//	       OUTCOME_UNKNOWN
	//	DELETE /v1/jobs/{id}           → JobStatus, of a phase that is final: the job will
	//	       not start any more. CONFLICT when its start may have been sent
	//	GET    /v1/jobs/{id}           → JobStatus
	//	GET    /v1/jobs?process=&rev=  → JobsPage: what changed since, waits up to JobsWait
	//
	// and on the bulk lane, for their files:
	//
	//	HEAD /v1/files/{sha256}        200: it is there, whole. 404 with Upload-Offset:
	//	       so many bytes of it are
	//	PUT  /v1/files/{sha256}?ref=job:{id}   the bytes from Upload-Offset on;
	//	       Upload-Length is the size of the whole. 200 once it is whole, durable and
	//	       its hash is right; CONFLICT with Upload-Offset when the offset is not what
	//	       is there, or somebody else is sending it
	CapJobs Capability = "jobs.v1"
	// CapPlate came 2026-11-24: StateFrame.Plate, the command "clear_plate" and
	// PrinterConfig.AutoClear.
	CapPlate Capability = "plate.v1"
)

// JobsWait is how many seconds a request for changes of jobs waits for the first.
const JobsWait = 25

// Names of the headers of files that are sent to an agent.
const (
	UploadOffset = "Upload-Offset"
	UploadLength = "Upload-Length"
)

// Job is a print that is to be made ready at a printer.
type Job struct {
	ID     string      `json:"id"` // of the hub's, never used again: at most 64 of a-z, 0-9, dot and hyphen
	Serial string      `json:"serial"`
	Fence  int64       `json:"fence"`
	SHA256 string      `json:"sha256"`
	Size   int64       `json:"size"`
	Need   farm.Need   `json:"need"`
	Start  bambu.Start `json:"start"`
}

// JobPhase is how far an agent is with a job.
type JobPhase string

// The phases, in order. The last four are final, but that a job that is Unconfirmed
// becomes JobStarted when the printer reports it after all.
const (
	JobFetching    JobPhase = "fetching"    // its file is not here yet
	JobUploading   JobPhase = "uploading"   // to the printer
	JobStaged      JobPhase = "staged"      // ready, waits for a release
	JobStarting    JobPhase = "starting"    // the start was sent, or may have been
	JobStarted     JobPhase = "started"     // the printer reports it
	JobUnconfirmed JobPhase = "unconfirmed" // it was sent and is not reported: nobody knows
	JobFailed      JobPhase = "failed"      // it was not started and will not be
	JobCancelled   JobPhase = "cancelled"   // the same, because the hub wished so
)

// Final tells whether nothing more is done about a job.
func (p JobPhase) Final() bool { return p == JobStarted || p == JobFailed || p == JobCancelled }

// NeverStarted tells whether it is certain that the job was not started and will not be.
func (p JobPhase) NeverStarted() bool { return p == JobFailed || p == JobCancelled }

// JobStatus is a job as an agent has it.
type JobStatus struct {
	ID       string    `json:"id"`
	Serial   string    `json:"serial"`
	Phase    JobPhase  `json:"phase"`
	Progress int       `json:"progress"`         // percent of the upload to the printer
	Code     farm.Code `json:"code,omitempty"`   // of JobFailed
	Detail   string    `json:"detail,omitempty"` // for a person
	// Lasting tells of JobFailed that another try would fail the same way.
	Lasting bool `json:"lasting,omitempty"`
	// Waiting tells of JobStaged why the last release was refused.
	Waiting string `json:"waiting,omitempty"`
}

// JobRelease permits the start of a staged job, in the session it comes over, until
// ValidMS after its receipt.
type JobRelease struct {
	Fence        int64 `json:"fence"`
	PlateVersion int64 `json:"plate_version"` // the plate as the hub saw it, clear
	ValidMS      int64 `json:"valid_ms"`      // at most MaxValidMS
}

// JobsPage is what changed of an agent's jobs. Rev counts within a process: with
// another ProcessID than that asked for, Jobs is all jobs that are not final.
type JobsPage struct {
	ProcessID string      `json:"process_id"`
	Rev       int64       `json:"rev"`
	Jobs      []JobStatus `json:"jobs"`
}

// Plate is what lies on a printer's plate, as far as the agent knows: every start and
// every end of a print raises Version and sets Clear to false.
type Plate struct {
	Version int64 `json:"version"`
	Clear   bool  `json:"clear"`
}

// ClearPlate is the command of a person who has looked: the plate is clear. With
// Command.PlateVersion it is PLATE_CHANGED when the plate has another version.
const ClearPlate CommandKind = "clear_plate"
