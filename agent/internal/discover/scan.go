package discover

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

const (
	scanners     = 64              // addresses visited at the same time
	probeTimeout = 2 * time.Second // for one address
	headStart    = time.Second     // for detect, before the certificate is looked at
)

// Scan visits every address of the ranges and gives the printers there, by serial
// number; Seen has them too. progress, which may be nil, hears how many addresses
// of how many are done, from one goroutine at a time. When ctx ends it gives what
// it has found so far, with ctx's error.
//
// Errors: farm.Invalid (a range that is not private, or too large), farm.Conflict
// (a scan is running).
func (d *Discoverer) Scan(ctx context.Context, ranges []netip.Prefix, progress func(done, total int)) ([]wire.Found, error) {
	addresses, err := addressesOf(ranges)
	if err != nil {
		return nil, err
	}
	if !d.scanning.TryLock() {
		return nil, farm.Errorf(farm.Conflict, "a scan is running already: wait until it is done")
	}
	defer d.scanning.Unlock()
	if progress == nil {
		progress = func(int, int) {}
	}
	s := scan{total: len(addresses), progress: progress, found: map[string]wire.Found{}}
	queue := make(chan netip.Addr)
	var group sync.WaitGroup
	for range min(scanners, len(addresses)) {
		group.Go(func() {
			for address := range queue {
				f, ok := d.probe(ctx, address)
				if ok {
					d.note(f, time.Now())
				}
				s.add(f, ok)
			}
		})
	}
	for _, address := range addresses {
		if ctx.Err() != nil {
			break
		}
		queue <- address
	}
	close(queue)
	group.Wait()
	if err := ctx.Err(); err != nil {
		return s.list(), fmt.Errorf("scan: %w", err)
	}
	return s.list(), nil
}

// scan is what has been found.
type scan struct {
	total    int
	progress func(done, total int)

	mu    sync.Mutex
	done  int
	found map[string]wire.Found // by serial number
}

func (s *scan) add(f wire.Found, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done++
	if ok {
		f.SeenMS = time.Now().UnixMilli()
		s.found[f.Serial] = f
	}
	s.progress(s.done, s.total)
}

func (s *scan) list() []wire.Found {
	list := make([]wire.Found, 0, len(s.found))
	for _, f := range s.found {
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b wire.Found) int { return cmp.Compare(a.Serial, b.Serial) })
	return list
}

// probe visits one address: it asks, and where nobody answers soon it also looks
// at the certificate of the MQTT port. An answer counts more than a certificate.
func (d *Discoverer) probe(ctx context.Context, address netip.Addr) (wire.Found, bool) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	answered := make(chan error, 1)
	var answer, shown wire.Found
	var both sync.WaitGroup
	both.Go(func() {
		var err error
		if answer, err = d.detect(ctx, address); err == nil {
			cancel()
		}
		answered <- err
	})
	both.Go(func() {
		start := time.NewTimer(headStart)
		defer start.Stop()
		select {
		case err := <-answered:
			if err == nil {
				return
			}
		case <-start.C:
		}
		shown, _ = d.certificate(ctx, address) // zero: no printer
	})
	both.Wait()
	if answer.Serial != "" {
		return answer, true
	}
	return shown, shown.Serial != ""
}
