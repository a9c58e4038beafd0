// Package discover finds printers on the LAN: it listens to what they announce
// (SSDP), and scans ranges of addresses when somebody asks.
//
// Whatever it finds was said by a stranger on the network. It is bounded and
// checked for its form, never for its truth: a hint for a person, and no reason to
// send a secret anywhere.
package discover
