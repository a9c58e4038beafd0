// Package capture gets the files of prints: the 3MF with the picture of its plate, a
// photo at the end, and the video. It works from tasks that are journalled together
// with the records of a print, so it goes on after a restart where it was, and every
// task ends in exactly one record: the file is ready, or why there is none.
//
// Printers are weak file servers. One has one operation at a time with a pause after
// it, a few have one at the same time, and who cannot be reached is tried more and
// more rarely: one attempt speaks for all tasks of that printer. A printer that cannot
// be reached says nothing about its files, so that is no miss.
//
// Names on a printer tell little: they lose characters, lag behind a print, and old
// files stay. So what is found counts only when it holds the plate that is printed,
// and a video only when it was not there before the print. How long to wait is counted
// in tries rather than by the clock, which jumps by days on machines without a battery.
package capture

import "time"

// How often the 3MF is looked for. Newer printers show the file of a cloud job some
// seconds after they began to run; afterwards only a name that comes late can help.
const (
	quickTries   = 12               // looks without a result, one every quickPause
	quickPause   = 5 * time.Second  // also between two looks at a size
	slowTries    = 9                // looks after those, more and more apart
	lateTries    = 3                // of the slow ones, once the print is over
	innerTries   = 2                // of the slow ones, where the file is known to be out of reach
	slowPause    = 30 * time.Second // after the last quick look; doubles
	longestSlow  = 15 * time.Minute
	preparePause = 15 * time.Second // while the printer still fetches the job itself
	maxPrepare   = 480              // looks that do not count for that reason: two hours
	maxRefused   = 8                // wrong files that are fetched for a print
	maxDamaged   = 3                // times that a damaged file is fetched: it may be still growing
	startSlack   = 26 * time.Hour   // how far the printer's clock and time zone may be off where a file's date counts
)

// How often the video is looked for after the end.
const (
	firstLook   = 5 * time.Second
	lookPause   = 30 * time.Second
	settlePause = 10 * time.Second
	maxLooks    = 31 // 15 minutes
	sureLooks   = 2  // so many may find nothing before a video of this print comes
	maxDoubts   = 3  // looks at one that may be a later print's
	maxGrowing  = 90 // when there is one that still grows
)

// The photo is of the end of a print, so it is taken soon or not at all.
const (
	photoAge   = 10 * time.Minute
	photoPause = 5 * time.Second // before the second try; doubles
)

// How printers that cannot be reached are treated.
const (
	failPause   = 10 * time.Second // doubles
	longestFail = 15 * time.Minute
	quickFail   = 2 * time.Second // before what videos there are is asked for again, so often:
	quickFails  = 5
	maxFails    = 680 // about a week
	maxBroke    = 20  // transfers that break off, of one file
)

// Of the machine room.
const (
	breath     = time.Second      // between two operations on a printer
	journalAge = 30 * time.Second // after the journal failed, for one printer
	lookAhead  = 10 * time.Minute // how far ahead tasks are read
	maxRead    = 500              // tasks read at once
	asleep     = 30 * 24 * time.Hour
)

// doubled is a pause after n tries: first, then twice as long each time.
func doubled(first, longest time.Duration, n int) time.Duration {
	for ; n > 1 && first < longest; n-- {
		first *= 2
	}
	return min(first, longest)
}
