// Package printer keeps the session with one printer: it connects, makes sure
// that the printer is the one meant, listens to its reports, merges them into a
// status, notices silence, and connects again for as long as it runs.
//
// A Session's goroutine owns everything that changes. Others read finished
// Snapshots and are told of new ones; they never wait for the printer.
package printer
