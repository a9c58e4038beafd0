package discover

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"bambuddy/shared/wire"
)

const (
	keepFor    = 30 * time.Minute // what an announcement promises
	maxSeen    = 2048             // printers kept; beyond, the one not seen for longest goes
	settled    = 15 * time.Second // announcements come every 5 s: after this silence a printer has left an address
	remindsOf  = time.Minute      // how often Moved is told what it was told before
	sweepEvery = time.Minute
)

// table holds the printers seen, by serial number. It is safe for concurrent use.
type table struct {
	mu  sync.Mutex
	all map[string]*sighting
}

type sighting struct {
	wire.Found
	seen time.Time
	told time.Time // when Moved was told of Address last
}

func newTable() *table { return &table{all: map[string]*sighting{}} }

// note takes in a printer that was seen now. It tells whether somebody who watches
// addresses should hear of it. Two machines that announce one serial number do not
// take turns: the newcomer has to wait until the other has been silent for a while,
// unless it was asked (a scan).
func (t *table) note(f wire.Found, now time.Time) (tell bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.SeenMS = now.UnixMilli()
	s, known := t.all[f.Serial]
	switch {
	case !known:
		t.makeRoom()
		s = &sighting{Found: f}
		t.all[f.Serial] = s
	case s.Address == f.Address:
		s.Found = withDetails(f, s.Found)
	case f.Via == wire.ViaSSDP && now.Sub(s.seen) < settled:
		return false
	default:
		s.Found, s.told = withDetails(f, s.Found), time.Time{}
	}
	s.seen = now
	if tell = s.told.IsZero() || now.Sub(s.told) >= remindsOf; tell {
		s.told = now
	}
	return tell
}

// withDetails keeps of an earlier sighting what the present one, which only saw a
// certificate, could not know.
func withDetails(now, before wire.Found) wire.Found {
	if now.Via != wire.ViaCertificate {
		return now
	}
	before.Address, before.SeenMS = now.Address, now.SeenMS
	return before
}

// forget takes away a printer that says it goes, if it is at that address.
func (t *table) forget(f wire.Found) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s, ok := t.all[f.Serial]; ok && s.Address == f.Address {
		delete(t.all, f.Serial)
	}
}

// sweep forgets who has not been seen for long.
func (t *table) sweep(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for serial, s := range t.all {
		if now.Sub(s.seen) >= keepFor {
			delete(t.all, serial)
		}
	}
}

func (t *table) makeRoom() {
	if len(t.all) < maxSeen {
		return
	}
	var oldest *sighting
	for _, s := range t.all {
		if oldest == nil || s.seen.Before(oldest.seen) {
			oldest = s
		}
	}
	delete(t.all, oldest.Serial)
}

func (t *table) list(now time.Time) []wire.Found {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]wire.Found, 0, len(t.all))
	for _, s := range t.all {
		if now.Sub(s.seen) < keepFor {
			list = append(list, s.Found)
		}
	}
	slices.SortFunc(list, func(a, b wire.Found) int { return cmp.Compare(a.Serial, b.Serial) })
	return list
}
