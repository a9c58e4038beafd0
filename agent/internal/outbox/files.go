package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strings"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// Release drops a reference to a file. With the last one the file is kept for a while
// more. One that is not there does no harm.
func (b *Outbox) Release(ctx context.Context, sha, ref string) error {
	b.writing.Lock()
	defer b.writing.Unlock()
	err := b.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM refs WHERE sha256 = $1 AND ref = $2`, sha, ref); err != nil {
			return err
		}
		const q = `UPDATE files SET released_ms = $1 WHERE sha256 = $2 AND released_ms = 0 AND NOT EXISTS (SELECT 1 FROM refs WHERE sha256 = $2)`
		_, err := tx.ExecContext(ctx, q, time.Now().UnixMilli(), sha)
		return err
	})
	if err != nil {
		return fmt.Errorf("release a captured file: %w", err)
	}
	return nil
}

// expire removes files that were released a while ago. The caller holds writing.
func (b *Outbox) expire(ctx context.Context) error {
	for {
		found, err := b.drop(ctx, time.Now().Add(-b.o.KeepFile).UnixMilli())
		if err != nil || !found {
			return err
		}
	}
}

// evict removes the file that was released longest ago, false when none was.
func (b *Outbox) evict(ctx context.Context) (bool, error) {
	b.writing.Lock()
	defer b.writing.Unlock()
	return b.drop(ctx, math.MaxInt64)
}

// drop removes the file that was released first, before a moment, unless a print is
// about to need it: its row, then its bytes. A crash in between leaves bytes without a
// row, which go at the next start.
func (b *Outbox) drop(ctx context.Context, before int64) (found bool, err error) {
	const q = `SELECT sha256 FROM files WHERE released_ms > 0 AND released_ms < $1
		AND sha256 NOT IN (SELECT value FROM json_each($2)) ORDER BY released_ms LIMIT 1`
	var sha string
	err = b.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, q, before, b.files.heldNow()).Scan(&sha); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM files WHERE sha256 = $1`, sha)
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("remove a captured file: %w", err)
	}
	path := b.files.path(sha)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil {
		return false, fmt.Errorf("remove a captured file: %w", err)
	}
	b.files.give(info.Size())
	return true, nil
}

// tidy brings folder and table together at the start: bytes without a row were never
// told of and go; a row without its bytes is told as a file that is lost.
func (b *Outbox) tidy(ctx context.Context) error {
	rows := map[string]bool{}
	found, err := b.column(ctx, `SELECT sha256 FROM files`)
	if err != nil {
		return err
	}
	for _, sha := range found {
		rows[sha] = true
	}
	entries, err := os.ReadDir(b.files.dir)
	if err != nil {
		return fmt.Errorf("list captured files: %w", err)
	}
	for _, e := range entries {
		info, err := e.Info()
		switch {
		case err != nil:
			return fmt.Errorf("look at a captured file: %w", err)
		case rows[e.Name()]:
			delete(rows, e.Name())
			b.files.used += info.Size()
		case farm.IsSHA256(e.Name()), strings.HasPrefix(e.Name(), tempPrefix):
			if err := os.Remove(b.files.path(e.Name())); err != nil {
				return fmt.Errorf("remove a leftover: %w", err)
			}
		}
	}
	for sha := range rows {
		if err := b.lost(ctx, sha); err != nil {
			return err
		}
	}
	return nil
}

// lost tells of every print that refers to a file whose bytes are gone.
func (b *Outbox) lost(ctx context.Context, sha string) error {
	refs, err := b.column(ctx, `SELECT ref FROM refs WHERE sha256 = $1`, sha)
	if err != nil {
		return err
	}
	b.log.Error("a captured file is gone from the disk", "sha256", sha, "prints", len(refs))
	for _, ref := range refs {
		told, err := b.told(ctx, sha, ref)
		if err != nil {
			return err
		}
		for _, r := range told {
			_, err := b.Commit(ctx, Change{Serial: r.Serial, Fence: r.Fence, Records: []wire.OutboxRecord{{Kind: wire.FileUnavailable, File: &wire.FileRecord{
				RunID: r.File.RunID, Role: r.File.Role, Name: r.File.Name, Reason: "the file is gone from the agent's disk",
			}}}})
			if err != nil {
				return err
			}
		}
	}
	b.writing.Lock()
	defer b.writing.Unlock()
	err = b.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, q := range []string{`DELETE FROM refs WHERE sha256 = $1`, `DELETE FROM files WHERE sha256 = $1`} {
			if _, err := tx.ExecContext(ctx, q, sha); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("forget a file that is gone: %w", err)
	}
	return nil
}

// told finds what was told of a file of a print: nothing when that is pruned, for the
// hub has heard of it long ago.
func (b *Outbox) told(ctx context.Context, sha, ref string) ([]wire.OutboxRecord, error) {
	rows, err := b.db.QueryContext(ctx, `SELECT n, body, crc FROM records WHERE instr(body, CAST($1 AS BLOB)) > 0 ORDER BY n`, sha)
	if err != nil {
		return nil, fmt.Errorf("look for what was told of a file: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var out []wire.OutboxRecord
	for rows.Next() {
		var n, crc int64
		var body []byte
		if err := rows.Scan(&n, &body, &crc); err != nil {
			return nil, fmt.Errorf("look for what was told of a file: %w", err)
		}
		r := b.decode(n, body, crc)
		if r.Kind == wire.FileReady && r.File != nil && r.File.SHA256 == sha && wire.RunRef(r.File.RunID) == ref {
			out = append(out, r)
		}
	}
	return out, rows.Err()
}

func (b *Outbox) column(ctx context.Context, q string, args ...any) ([]string, error) {
	rows, err := b.db.QueryContext(ctx, q, args...)
	if err != nil {
		return nil, fmt.Errorf("read the captured files: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var out []string
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			return nil, fmt.Errorf("read a captured file: %w", err)
		}
		out = append(out, v)
	}
	return out, rows.Err()
}
