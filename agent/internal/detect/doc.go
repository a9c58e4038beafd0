// Package detect tells, from the pictures a printer sends, the lives of its prints:
// began, was found under way, went on, paused, ended and how; and its complaints.
//
// It is a pure state machine. It reads no clock and does no I/O: State is a value
// that the caller journals, Step leads from one State to the next and gives the
// records to journal with it, in one transaction. A State read back after a crash
// goes on where it stopped, so that every print is told once, whatever died.
//
// The words of gcode_state decide: PREPARE, SLICING, RUNNING and PAUSE are a print
// under way, FINISH, FAILED and IDLE are none. INIT is a printer that starts up: it
// is busy, but proves neither that a print goes on nor that one ended, so it waits
// for the next word. Any other word changes nothing.
//
// Two pictures that follow each other without a gap prove what happened between
// them. After a gap (Input.Fresh) only identity does: the id of the submission, or
// where there is none the name, together with how far the print is and how long the
// gap was. What is not proven is told as unknown, never guessed.
package detect
