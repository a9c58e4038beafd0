package printer

import (
	"crypto/rand"
	"encoding/binary"
	"math"
	"strconv"
	"time"

	"bambuddy/shared/bambu"
)

// Limits of asking for full reports. P1 and A1 series bear one in five minutes
// (bambu.Model.PushallBudget); for the others the slicer's own 3 s are kept, and
// a printer nobody knows the model of is taken for one of the slow ones.
const (
	pushallEvery   = 3 * time.Second
	pushallUnknown = 5 * time.Minute
)

// budget is when the last full report was asked for. It outlives connections:
// the printer's limit does not begin anew with each.
type budget struct{ last time.Time }

// next is the first moment at which another may be asked for.
func (b *budget) next(every time.Duration) time.Time {
	if b.last.IsZero() {
		return time.Time{}
	}
	return b.last.Add(every)
}

func (b *budget) allows(every time.Duration, now time.Time) bool { return !now.Before(b.next(every)) }

func (b *budget) spend(now time.Time) { b.last = now }

// every is the printer's limit: its own word counts more than what we assume.
func (m *memory) every() time.Duration {
	model, ok := bambu.ModelByCode(m.state.Status().Machine.Model)
	if !ok {
		model, ok = bambu.ModelByCode(m.assumed)
	}
	if !ok {
		return pushallUnknown
	}
	return max(model.PushallBudget, pushallEvery)
}

// sequence numbers our requests. The slicer's range is 20000 to 29999, firmware
// that verifies commands refuses a number it has seen, and an AMS hangs on
// numbers beyond an int32: so a random start, and up from there.
type sequence struct{ last int64 }

func (q *sequence) start() {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	q.last = 20000 + int64(binary.BigEndian.Uint64(b[:])%10000) - 1
}

func (q *sequence) next() string {
	if q.last >= math.MaxInt32 {
		q.start()
	}
	q.last++
	return strconv.FormatInt(q.last, 10)
}
