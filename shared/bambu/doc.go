// Package bambu is the dialect of Bambu Lab printers as pure functions: it
// decodes and merges MQTT reports, builds command payloads, and knows models,
// stages, HMS codes and filament slots. It does no I/O, starts no goroutine and
// reads no clock.
//
// A printer's reports are partial; a State merges them in the order they came
// and renders a Status, the one normalised picture everything else works with.
package bambu
