package archive

import (
	"context"
	"time"

	"bambuddy/shared/farm"
)

const (
	missEvery = time.Hour
	missMost  = 2000 // files that are looked for
)

// missLoop looks whether the object store still has what was stored last, and fetches
// again what it has lost: agents keep files for a day after they were told to let go.
func (a *Archive) missLoop(ctx context.Context) {
	tick := time.NewTicker(missEvery)
	defer tick.Stop()
	for {
		if err := a.miss(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn("whether the object store has lost files is not known, will be looked again", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (a *Archive) miss(ctx context.Context) error {
	files, err := a.o.Store.NewestFiles(ctx, missMost)
	if err != nil {
		return err
	}
	seen := map[string]bool{} // many prints share a model
	for _, f := range files {
		if seen[f.Key] || time.Since(f.StoredAt) > 24*time.Hour {
			continue
		}
		seen[f.Key] = true
		there, err := a.holds(ctx, f.Key, f.Size)
		if err != nil {
			return err
		}
		if !there {
			a.again(ctx, f)
		}
	}
	return nil
}

// again fetches a file once more that the object store has lost. When it is back it is
// so for every print that shares it; when its agent no longer has it, it stays lost.
func (a *Archive) again(ctx context.Context, f farm.PrintFile) {
	wanted, err := a.o.Store.PullAgain(ctx, f)
	a.log.Error("the object store has lost a file", "archive", f.PrintID, "role", f.Role, "key", f.Key, "fetched_again", wanted, "err", err)
	a.Wake()
}
