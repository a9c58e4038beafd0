package outbox

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// pageBytes bounds the records of a page, below wire.MaxMessage.
const pageBytes = 900_000

// Page gives the records above a number, see wire.OutboxPage. It waits a while for a
// first one.
func (b *Outbox) Page(ctx context.Context, epoch string, after int64, limit int) (wire.OutboxPage, error) {
	patience := time.NewTimer(wire.OutboxWait * time.Second)
	defer patience.Stop()
	for {
		b.mu.Lock()
		mine, last, given, news := b.epoch, b.last, b.given, b.news
		b.mu.Unlock()
		if epoch != mine {
			return wire.OutboxPage{}, otherEpoch()
		}
		if after > given {
			if err := b.renew(ctx, epoch, after); err != nil {
				return wire.OutboxPage{}, err
			}
			continue
		}
		page, err := b.read(ctx, mine, after, last, min(max(limit, 1), wire.MaxOutboxPage))
		if err == nil && len(page.Records) > 0 {
			err = b.giveOut(ctx, mine, page.Records[len(page.Records)-1].N)
		}
		if err != nil || len(page.Records) > 0 {
			return page, err
		}
		select {
		case <-news:
		case <-patience.C:
			page.Clock = b.clock()
			return page, nil
		case <-ctx.Done():
			return wire.OutboxPage{}, ctx.Err()
		}
	}
}

func otherEpoch() error { return farm.Errorf(farm.Conflict, "this journal is of another epoch") }

// read gives what there is. Each row carries the epoch and the first number, so that
// they are of the same moment.
func (b *Outbox) read(ctx context.Context, epoch string, after, last int64, limit int) (wire.OutboxPage, error) {
	page := wire.OutboxPage{Epoch: epoch, Last: last, Records: []wire.OutboxRecord{}}
	err := b.db.QueryRowContext(ctx, `SELECT COALESCE(MIN(n), $1) FROM records`, last+1).Scan(&page.First)
	if err != nil {
		return page, fmt.Errorf("read the journal: %w", err)
	}
	const q = `SELECT n, body, crc, (SELECT MIN(n) FROM records), (SELECT value FROM meta WHERE key = 'epoch')
		FROM records WHERE n > $1 ORDER BY n LIMIT $2`
	rows, err := b.db.QueryContext(ctx, q, after, limit)
	if err != nil {
		return page, fmt.Errorf("read the journal after %d: %w", after, err)
	}
	defer func() { _ = rows.Close() }()
	for size := 0; rows.Next(); {
		var n, crc int64
		var body []byte
		var written string
		if err := rows.Scan(&n, &body, &crc, &page.First, &written); err != nil {
			return page, fmt.Errorf("read a record: %w", err)
		}
		if written != epoch {
			return page, otherEpoch()
		}
		if size += len(body); size > pageBytes {
			break
		}
		page.Records = append(page.Records, b.decode(n, body, crc))
		page.Last = max(page.Last, n)
	}
	page.Clock = b.clock()
	return page, rows.Err()
}

// giveOut writes down, before they are told, up to which number records are given out. A
// hub that has seen more than that saw it of another copy of this journal.
func (b *Outbox) giveOut(ctx context.Context, epoch string, n int64) error {
	b.writing.Lock()
	defer b.writing.Unlock()
	b.mu.Lock()
	mine, given := b.epoch, b.given
	b.mu.Unlock()
	if mine != epoch {
		return otherEpoch()
	}
	if n <= given {
		return nil
	}
	err := b.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error { return setMeta(ctx, tx, "given", n) })
	if err != nil {
		return fmt.Errorf("note what is given out: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.given = n
	return nil
}

// renew begins another epoch, because the hub has seen a record that this journal has
// not given out: it was put back from a copy, and gives numbers out twice. What was
// acknowledged the hub has. All else is told again under new numbers: nobody knows which
// of it is new. What detectors and captures know stays.
func (b *Outbox) renew(ctx context.Context, of string, seen int64) error {
	b.writing.Lock()
	defer b.writing.Unlock()
	b.mu.Lock()
	was, last, given, acked := b.epoch, b.last, b.given, b.acked
	b.mu.Unlock()
	if was != of || seen <= given {
		return nil // renewed, or given out, meanwhile
	}
	epoch := rand.Text()
	err := b.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, q := range []string{
			`DELETE FROM records WHERE n <= $1`,
			`UPDATE records SET n = $1 - n, crc = crc - $1`, // below 0 first, so that no number is there twice
			`UPDATE records SET n = -n WHERE n < 0`,
			`UPDATE printers SET last = MAX(last - $1, 0)`,
		} {
			if _, err := tx.ExecContext(ctx, q, acked); err != nil {
				return err
			}
		}
		return begin(ctx, tx, epoch, last-acked)
	})
	if err != nil {
		return fmt.Errorf("begin another epoch: %w", err)
	}
	b.log.Warn("the hub has seen more than this journal gave out: another epoch of it begins", "seen", seen, "given", given, "last", last, "told_again", last-acked)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.epoch, b.last, b.given, b.acked = epoch, last-acked, 0, 0
	for serial, n := range b.lastOf {
		b.lastOf[serial] = max(n-acked, 0)
	}
	b.tellNews()
	return nil
}

// begin writes the marks of a new epoch.
func begin(ctx context.Context, tx *sql.Tx, epoch string, last int64) error {
	return errors.Join(
		setMeta(ctx, tx, "epoch", epoch), setMeta(ctx, tx, "last", last), setMeta(ctx, tx, "given", 0), setMeta(ctx, tx, "acked", 0),
	)
}

// Ack takes note of what the hub has committed.
func (b *Outbox) Ack(ctx context.Context, ack wire.OutboxAck, hubID string) error {
	if ack.HubID != hubID {
		return farm.Errorf(farm.Conflict, "this agent belongs to another hub")
	}
	b.writing.Lock()
	defer b.writing.Unlock()
	b.mu.Lock()
	epoch, last, acked := b.epoch, b.last, b.acked
	b.mu.Unlock()
	switch {
	case ack.Epoch != epoch:
		return otherEpoch()
	case ack.N < 0 || ack.N > last:
		return farm.Errorf(farm.Conflict, "there is no record %d, the last one is %d", ack.N, last)
	}
	var bytes int64
	err := b.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var generation int64
		err := tx.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = 'generation'`).Scan(&generation)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if ack.Generation < generation {
			return farm.Errorf(farm.Conflict, "generation %d of the hub was heard already, this is %d", generation, ack.Generation)
		}
		if err := setMeta(ctx, tx, "generation", ack.Generation); err != nil {
			return err
		}
		if ack.N <= acked {
			return nil // an older hub, or the same again: what is acknowledged stays so
		}
		if err := setMeta(ctx, tx, "acked", ack.N); err != nil {
			return err
		}
		const q = `SELECT COALESCE(SUM(LENGTH(body)), 0) FROM records WHERE n > $1 AND n <= $2`
		return tx.QueryRowContext(ctx, q, acked, ack.N).Scan(&bytes)
	})
	if err != nil {
		return fmt.Errorf("note an acknowledgement: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acked = max(b.acked, ack.N)
	b.unacked -= bytes
	b.full = b.full && b.unacked >= b.o.MaxBytes
	return nil
}

// prune drops acknowledged records that are old or too many, and files that nobody
// has needed for a while.
func (b *Outbox) prune(ctx context.Context) error {
	b.writing.Lock()
	defer b.writing.Unlock()
	b.mu.Lock()
	acked := b.acked
	b.mu.Unlock()
	before := time.Now().Add(-b.o.KeepFor).UnixMilli()
	err := b.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM records WHERE n <= $1 AND wall_ms < $2`, acked, before); err != nil {
			return err
		}
		// The newest that fit into the bytes stay.
		const q = `DELETE FROM records WHERE n <= (SELECT COALESCE(MAX(n), 0) FROM
			(SELECT n, SUM(LENGTH(body)) OVER (ORDER BY n DESC) AS bytes FROM records WHERE n <= $1) WHERE bytes > $2)`
		_, err := tx.ExecContext(ctx, q, acked, b.o.KeepBytes)
		return err
	})
	if err != nil {
		return fmt.Errorf("drop what is acknowledged: %w", err)
	}
	return b.expire(ctx)
}
