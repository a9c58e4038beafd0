// Package diagnose finds out why something does not work with one printer, and
// says what to do about it.
//
// It looks at the printer from outside, like a technician: address, ports, whose
// certificate is shown. What takes a login it leaves to others, through Options:
// a printer bears few sessions at a time, and the one that runs already knows most.
package diagnose
