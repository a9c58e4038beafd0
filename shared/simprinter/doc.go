// Package simprinter is believable Bambu Lab printers for tests and for the
// demo: each a TLS MQTT broker of its own that logs in, reports, answers and
// prints as the model it plays does, in accelerated time, with scripted faults
// and a ledger of every print that physically happened. Nothing shipped imports it.
//
// The parts: machine is the printer's body, stepped by time and free of I/O, feed its
// filament, change and drying what its AMS does without a print; tree and keys render it as a
// report in the shape of its model; broker carries reports and requests; the files named
// …_commands answer them; Printer joins all that; Farm holds many.
//
// A print has a file: the one it brings along, or a sample as slicers write them, with as
// many plates as are asked for. Where it lies and what the report calls it depends on the
// model and on who starts the print. When the printer's timelapse switch is on at the end, a
// film appears on the card some seconds later and grows there; its name is from a clock that
// is wrong. The faults late_file, late_name, internal_storage and eats_file are what keeps
// others from finding a file. The ledger says what was where. Control describes the HTTP API.
package simprinter
