package fleet

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// tellEvery is how often trouble that goes on is told again.
const tellEvery = time.Minute

// trouble is one kind of writing that may fail for a while and is tried again
// each second. It is told when it begins, once a minute with how much waits, and
// when it is over. Run alone uses it.
type trouble struct {
	fails, works string // the lines of the log
	since        time.Time
	told         time.Time // zero: the next failure is told
}

// failed notes a try that failed, and with more what stands next in line. A try
// that the end of Run cut short is none: the last one is still to come.
func (t *trouble) failed(ctx context.Context, log *slog.Logger, waiting int, err error, more ...any) {
	if errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	now := time.Now()
	if t.since.IsZero() {
		t.since = now
	}
	if !t.told.IsZero() && now.Sub(t.told) < tellEvery {
		return
	}
	t.told = now
	more = append([]any{"waiting", waiting, "for", now.Sub(t.since).Round(time.Second), "err", err}, more...)
	log.Error(t.fails, more...)
}

// worked notes a try that did not fail.
func (t *trouble) worked(log *slog.Logger) {
	if t.since.IsZero() {
		return
	}
	log.Info(t.works, "after", time.Since(t.since).Round(time.Second))
	t.since, t.told = time.Time{}, time.Time{}
}
