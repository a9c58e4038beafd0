package outbox

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
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
		mine, last, news := b.epoch, b.last, b.news
		b.mu.Unlock()
		switch {
		case epoch != mine:
			return wire.OutboxPage{}, farm.Errorf(farm.Conflict, "this journal is of another epoch")
		case after > last:
			if err := b.renew(ctx, fmt.Sprintf("the hub has seen record %d, this journal ends with %d", after, last)); err != nil {
				return wire.OutboxPage{}, err
			}
			return wire.OutboxPage{}, farm.Errorf(farm.Conflict, "this journal is older than what the hub has seen; another epoch begins")
		case after < last:
			return b.read(ctx, mine, after, min(max(limit, 1), wire.MaxOutboxPage))
		}
		select {
		case <-news:
		case <-patience.C:
			return wire.OutboxPage{Epoch: mine, First: last + 1, Last: last, Clock: b.clock(), Records: []wire.OutboxRecord{}}, nil
		case <-ctx.Done():
			return wire.OutboxPage{}, ctx.Err()
		}
	}
}

func (b *Outbox) read(ctx context.Context, epoch string, after int64, limit int) (wire.OutboxPage, error) {
	page := wire.OutboxPage{Epoch: epoch, Records: []wire.OutboxRecord{}}
	err := b.db.QueryRowContext(ctx, `SELECT COALESCE(MIN(n), 0), COALESCE(MAX(n), 0) FROM records`).Scan(&page.First, &page.Last)
	if err != nil {
		return page, fmt.Errorf("read the journal: %w", err)
	}
	rows, err := b.db.QueryContext(ctx, `SELECT n, body, crc FROM records WHERE n > $1 ORDER BY n LIMIT $2`, after, limit)
	if err != nil {
		return page, fmt.Errorf("read the journal after %d: %w", after, err)
	}
	defer func() { _ = rows.Close() }()
	for size := 0; rows.Next(); {
		var n, crc int64
		var body []byte
		if err := rows.Scan(&n, &body, &crc); err != nil {
			return page, fmt.Errorf("read a record: %w", err)
		}
		if size += len(body); size > pageBytes {
			break
		}
		page.Records = append(page.Records, b.decode(n, body, crc))
	}
	page.Clock = b.clock()
	return page, rows.Err()
}

// decode reads a record; one that is damaged becomes a gap in its place.
func (b *Outbox) decode(n int64, body []byte, crc int64) wire.OutboxRecord {
	var r wire.OutboxRecord
	if checksum(body) == crc && json.Unmarshal(body, &r) == nil && r.N == n {
		return r
	}
	b.log.Error("a record of the journal is damaged", "n", n)
	now := b.clock()
	return wire.OutboxRecord{
		N: n, WallMS: now.WallMS, MonoMS: now.MonoMS, ProcessID: now.ProcessID, Kind: wire.GapKind,
		Gap: &wire.GapRecord{From: n, To: n, Reason: "the agent's journal was damaged"},
	}
}

// renew begins another epoch. Every record so far was seen by the hub, or by one that
// saw more: none is told again. What detectors and captures know stays.
func (b *Outbox) renew(ctx context.Context, why string) error {
	b.writing.Lock()
	defer b.writing.Unlock()
	epoch := rand.Text()
	err := b.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, q := range []string{`DELETE FROM records`, `UPDATE printers SET last = 0`} {
			if _, err := tx.ExecContext(ctx, q); err != nil {
				return err
			}
		}
		return begin(ctx, tx, epoch)
	})
	if err != nil {
		return fmt.Errorf("begin another epoch: %w", err)
	}
	b.log.Warn("another epoch of the journal begins", "why", why)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.epoch, b.last, b.acked, b.unacked = epoch, 0, 0, 0
	clear(b.lastOf)
	return nil
}

// begin writes the marks of a new epoch.
func begin(ctx context.Context, tx *sql.Tx, epoch string) error {
	return errors.Join(
		setMeta(ctx, tx, "epoch", epoch), setMeta(ctx, tx, "last", 0), setMeta(ctx, tx, "acked", 0),
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
		return farm.Errorf(farm.Conflict, "this journal is of another epoch")
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
		return err
	}
	return b.expire(ctx)
}
