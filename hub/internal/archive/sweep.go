package archive

import (
	"context"
	"time"

	"bambuddy/shared/farm"
)

const (
	sweepEvery = time.Minute
	sweepBatch = 200

	clearEvery = 24 * time.Hour
)

// unfinished is a store that can be left with uploads that nobody ended.
type unfinished interface {
	// Clear gives up those begun before a moment.
	Clear(ctx context.Context, before time.Time) error
}

// sweepLoop deletes objects that no row needs, and archives that retention says have
// been kept long enough.
func (a *Archive) sweepLoop(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	said, cleared := "", time.Time{}
	for {
		text := ""
		if time.Since(cleared) > clearEvery {
			cleared = time.Now()
			a.clearUploads(ctx)
		}
		if err := a.sweep(ctx); err != nil && ctx.Err() == nil {
			text = err.Error()
		}
		if text != "" && text != said {
			a.log.Error("objects that nobody needs were not deleted, will be tried again", "err", text)
		}
		said = text
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// clearUploads gives up what was being uploaded a day ago: no hub still sends it.
func (a *Archive) clearUploads(ctx context.Context) {
	store, ok := a.o.Objects.(unfinished)
	if !ok {
		return
	}
	if err := store.Clear(ctx, time.Now().Add(-clearEvery)); err != nil && ctx.Err() == nil {
		a.log.Warn("uploads that were never ended stay in the object store", "err", err)
	}
}

func (a *Archive) sweep(ctx context.Context) error {
	if err := a.expire(ctx); err != nil {
		return err
	}
	if time.Since(a.began) < a.o.SweepAfter {
		return nil
	}
	for {
		keys, err := a.o.Store.DueIntents(ctx, time.Now(), sweepBatch)
		if err != nil {
			return err
		}
		for _, key := range keys {
			if err := a.sweepKey(ctx, key); err != nil {
				return err
			}
		}
		if len(keys) < sweepBatch {
			return nil
		}
	}
}

// sweepKey deletes one object, unless a row has come to need it. Nobody writes it
// meanwhile: they wait for the same lock.
func (a *Archive) sweepKey(ctx context.Context, key string) error {
	unlock := a.keys.lock(key)
	defer unlock()
	mine, err := a.o.Store.ClaimIntent(ctx, key, time.Now())
	if err != nil || !mine {
		return err
	}
	if err := a.o.Objects.Delete(ctx, key); err != nil {
		// The intent is gone with the claim: without another one the object would stay for ever.
		if again := a.o.Store.Intend(ctx, key, time.Now().Add(sweepEvery)); again != nil {
			a.log.Error("an object stays though nobody needs it", "key", key, "err", again)
		}
		return err
	}
	return nil
}

// expire hides the archives that are too old, and the oldest while there are too many
// bytes. Statistics keep counting them.
func (a *Archive) expire(ctx context.Context) error {
	if age := a.o.Retention.Age; age > 0 {
		old, err := a.o.Store.ExpiredPrints(ctx, time.Now().Add(-age), sweepBatch)
		if err != nil {
			return err
		}
		for _, p := range old {
			if err := a.forget(ctx, p, "older than the retention"); err != nil {
				return err
			}
		}
	}
	limit := a.o.Retention.Bytes
	if limit <= 0 {
		return nil
	}
	bytes, err := a.o.Store.StoredBytes(ctx)
	if err != nil || bytes <= limit {
		return err
	}
	return a.shrink(ctx, bytes-limit)
}

// shrink deletes the oldest archives until so many bytes are free. One that frees none,
// because others use the same files, is passed over.
func (a *Archive) shrink(ctx context.Context, over int64) error {
	for skip := 0; over > 0; {
		oldest, err := a.o.Store.OldestWithFiles(ctx, sweepBatch, skip)
		if err != nil || len(oldest) == 0 {
			return err
		}
		for _, p := range oldest {
			freed, err := a.o.Store.Freed(ctx, p.ID)
			if err != nil {
				return err
			}
			if freed == 0 {
				skip++
				continue
			}
			if err := a.forget(ctx, p, "more bytes than the retention"); err != nil {
				return err
			}
			if over -= freed; over <= 0 {
				return nil
			}
		}
	}
	return nil
}

func (a *Archive) forget(ctx context.Context, p farm.Print, why string) error {
	err := a.o.Store.DeletePrint(ctx, p.ID, false)
	if farm.Is(err, farm.NotFound) || farm.Is(err, farm.Conflict) {
		return nil // somebody was faster, or needs it
	}
	if err == nil {
		a.log.Info("archive deleted", "archive", p.ID, "name", p.Name, "why", why)
	}
	return err
}
