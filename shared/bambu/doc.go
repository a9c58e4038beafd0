// Package bambu is the dialect of Bambu Lab printers as pure functions: it
// decodes and merges MQTT reports, builds command payloads, and knows models,
// stages, HMS codes and filament slots. It does no I/O, starts no goroutine and
// reads no clock.
//
// A printer's reports are partial; a State merges them in the order they came
// and renders a Status, the one normalised picture everything else works with.
//
// Reading goes in three steps. decode.go makes a payload safe and decides what it
// is: a status frame, whole or partial, an answer, a list of modules. Tables from
// JSON key to setter (keys.go says how they work; job.go, temps.go, fans.go, ams.go,
// … hold one section each) put each value where it belongs, per source and as it
// came. Rendering then chooses between sources, knowing the model. To teach it a
// new key is one line in a table, a new model one entry in models.go.
package bambu
