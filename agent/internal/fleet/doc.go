// Package fleet makes the printers of an agent what its hub wants: it holds the
// configuration, on disk and in effect, runs a session for every printer in it,
// and tells whoever watches what changes. It needs no hub to run: after a start
// it begins with the configuration it held.
package fleet
