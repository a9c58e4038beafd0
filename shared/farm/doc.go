// Package farm holds the nouns and rules that both sides of Bambuddy share:
// sites, agents, printers, keys and events, the kinds of errors, and the small
// rules about them. It is pure: no I/O, no goroutine, no clock of its own.
package farm
