package wire

import "bambuddy/shared/farm"

// Capabilities of looking around and looking closer, both on the control lane:
//
//	POST /v1/discover   DiscoverRequest → DiscoverResult
//	POST /v1/probe      ProbeRequest → Report
const (
	// CapDiscover: 2026-11-24.
	CapDiscover Capability = "discover.v1"
	// CapProbe: 2026-11-24.
	CapProbe Capability = "probe.v1"
)

// DiscoverRequest asks for the printers on the agent's LAN: those that announced
// themselves, and those a scan of address ranges finds.
type DiscoverRequest struct {
	Ranges []string `json:"ranges"` // CIDR, private IPv4; none: no scan
	// ListenMS is how long to wait for announcements, beside a scan; 0: what was heard so far.
	// Printers announce themselves every 5 s or so.
	ListenMS int64 `json:"listen_ms"`
}

// DiscoverResult is what was seen, by serial number.
type DiscoverResult struct {
	Found []Found `json:"found"`
}

// ProbeRequest asks for a close look at a printer. Of one that the agent holds,
// fields left empty are as configured, and others are tried instead of that; its
// model is known.
type ProbeRequest struct {
	Serial     string      `json:"serial"`
	Model      string      `json:"model,omitempty"`
	Address    string      `json:"address,omitempty"`
	AccessCode farm.Secret `json:"access_code,omitempty"`
	MQTTPort   int         `json:"mqtt_port,omitempty"`
	FTPSPort   int         `json:"ftps_port,omitempty"`
	CameraPort int         `json:"camera_port,omitempty"`
	// LookOnly leaves no trace: no file is written to see whether it can be.
	LookOnly bool `json:"look_only,omitempty"`
}
