// Package wire is the contract between a hub and its agents: the messages of the
// agent API, which an agent serves to its hub through the tunnel (shared/tunnel),
// and of the two requests an agent makes to the hub by itself (connect, enrol).
// docs/agent-api.md describes the calls; this package is the one truth about
// their bodies. It is pure data.
//
// Rules. Bodies are JSON. A message only grows: a field is never renamed, reused
// or removed, and both sides ignore fields they do not know. What a side can do
// is told by Capabilities, never guessed from a version. Every error answer is
// {"detail": "...", "code": "..."} with a code of farm.Code.
//
// The agent API of this release, all served by the agent:
//
//	GET  /v1/hello                        → Hello
//	PUT  /v1/config                       Config → ConfigResult
//	GET  /v1/state                        → a stream of StateFrame, one JSON object a line
//	POST /v1/printers/{serial}/commands   Command → CommandResult
//	GET  /v1/diagnostics                  → Diagnostics
//
// and, by capability, the files of a printer (CapFiles), its camera (CapCamera),
// the printers on a LAN (CapDiscover) and a close look at one (CapProbe).
//
// And served by the hub, outside /api/v1 because people have no business there:
//
//	GET  /agent/v1/connect?lane=control|bulk   websocket; see shared/tunnel
//	POST /agent/v1/enrol                       EnrolRequest → EnrolResult
package wire
