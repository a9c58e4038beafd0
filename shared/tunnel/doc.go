// Package tunnel lets a hub call an agent that sits behind a router: the agent
// dials out, and HTTP flows the other way through that connection. It is the only
// package that touches the websocket library.
//
// A connection is a lane. An agent keeps two: Control for hello, config, state
// and commands, Bulk for files and cameras, so that a big transfer on a slow line
// never delays a stop. One lane is one websocket,
//
//	GET /agent/v1/connect?lane=control|bulk
//
// on which three JSON text messages are exchanged before anything else:
//
//	hub   → agent  challenge  {"hub_id", "nonce"}
//	agent → hub    answer     {"protocol", "agent_id", "boot_id", "lane", "session", "signature"}
//	hub   → agent  verdict    {"session"} or {"code", "detail", "retry_after"}
//
// The signature is Ed25519 over what signed describes. From then on binary
// messages carry HTTP/2 without TLS of its own, the agent being the HTTP server
// (Dial gives a Server) and the hub the HTTP client (Accept gives a Knock, and
// Knock.Welcome a Client).
//
// A lane lives until one side closes it or is silent: HTTP/2 pings go out after
// 15 s without a frame and are waited for 30 s, from both ends, and a socket that
// takes no byte of a write for 30 s is given up. No read deadline is ever set.
package tunnel
