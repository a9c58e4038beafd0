// Package simprinter is believable Bambu Lab printers for tests and for the
// demo: each a TLS MQTT broker of its own that logs in, reports, answers and
// prints as the model it plays does, in accelerated time, with scripted faults
// and a ledger of every print that physically happened. Nothing shipped imports it.
//
// The parts: machine is the printer's body, stepped by time and free of I/O, feed its
// filament, change and drying what its AMS does without a print; tree and keys render it as a
// report in the shape of its model; broker carries reports and requests; the files named
// …_commands answer them; Printer joins all that; Farm holds many.
package simprinter
