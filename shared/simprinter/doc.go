// Package simprinter is believable Bambu Lab printers for tests and for the
// demo: each a TLS MQTT broker of its own that logs in, reports, answers and
// prints as the model it plays does, in accelerated time, with scripted faults
// and a ledger of every print that physically happened. Nothing shipped imports it.
//
// The parts: machine is the printer's body, stepped by time and free of I/O, feed its
// filament; tree and keys render it as a report in the shape of its model; broker carries reports and
// requests; Printer joins the three; Farm holds many.
package simprinter
