package prints

import (
	"context"
	"encoding/json"
	"time"

	"bambuddy/shared/farm"
)

// cursor names the follower that ends the prints of removed printers.
const cursor = "prints"

// cursorEvery is after how many events at the latest the cursor is kept, so that a
// restart does not read them all again.
const cursorEvery = 1000

// retryEvery is how long a follower waits that could not go on.
const retryEvery = 5 * time.Second

// Run follows what else changes prints until ctx ends: an archive that is changed
// while it prints is shown as it is now, and the print that was open at a printer
// that is removed will never be heard of again.
func (p *Prints) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		err := p.follow(ctx)
		if ctx.Err() != nil {
			break
		}
		p.log.Warn("changes of prints could not be followed, will be tried again", "err", err)
		select {
		case <-time.After(retryEvery):
		case <-ctx.Done():
		}
	}
	return nil
}

func (p *Prints) follow(ctx context.Context) error {
	after, err := p.o.Store.Cursor(ctx, cursor)
	if err != nil {
		return err
	}
	kept := after
	return p.o.Events.Follow(ctx, after, func(e farm.Event) error {
		var err error
		switch e.Kind {
		case farm.EventArchiveUpdated:
			err = p.reload(ctx, e)
		case farm.EventPrinterRemoved:
			err = p.abandon(ctx, e)
		}
		if err != nil || e.Kind != farm.EventPrinterRemoved && e.ID < kept+cursorEvery {
			return err
		}
		kept = e.ID
		return p.o.Store.SetCursor(ctx, cursor, e.ID)
	})
}

// reload takes over what people, or its file, have told of an open print.
func (p *Prints) reload(ctx context.Context, e farm.Event) error {
	if err := p.order.Acquire(ctx, alone); err != nil {
		return err
	}
	defer p.order.Release(alone)
	one, open := p.Current(e.PrinterID)
	var data struct {
		ID        int64 `json:"id"`
		ArchiveID int64 `json:"archive_id"`
	}
	if !open || json.Unmarshal(e.Data, &data) != nil || max(data.ID, data.ArchiveID) != one.ID {
		return nil
	}
	now, err := p.o.Store.Print(ctx, one.ID)
	if farm.Is(err, farm.NotFound) {
		return nil // it was deleted a moment later: there is nothing to show
	}
	if err != nil {
		return err
	}
	p.keep(map[int64]farm.Print{now.ID: now})
	return nil
}

// abandon ends the print that was open at a printer that is gone: how it ends,
// nobody will tell.
func (p *Prints) abandon(ctx context.Context, e farm.Event) error {
	_, err := p.change(ctx, 0, "", batch{at: e.At}, func(b *batch) error {
		open, is, err := b.tx.Open(e.PrinterID)
		if err != nil || !is {
			return err
		}
		_, err = b.giveUp(open, e.At)
		return err
	})
	return err
}
