package outbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

const (
	journalFile = "outbox.db"
	filesDir    = "captures"
)

// Options say where the outbox is and how much it may take; zero fields have defaults.
type Options struct {
	Dir       string    // the agent's data directory
	ProcessID string    // random, of this process
	Started   time.Time // of this process

	MaxBytes  int64         // of records the hub has not acknowledged; 256 MiB
	KeepFor   time.Duration // how long acknowledged records are kept; 7 days
	KeepBytes int64         // how many bytes of them; 64 MiB
	Quota     int64         // bytes of captured files; 10 GiB, or a fifth of the disk when that is less
	KeepFile  time.Duration // how long a file is kept that nobody refers to any more; 24 h

	Log *slog.Logger
}

// Outbox is an agent's journal and its files. All methods may be called concurrently.
type Outbox struct {
	o   Options
	db  *sql.DB
	log *slog.Logger

	files files

	writing sync.Mutex // one transaction at a time

	mu      sync.Mutex
	epoch   string
	last    int64            // number of the last record
	acked   int64            // everything up to it is acknowledged
	unacked int64            // bytes of what is not
	lastOf  map[string]int64 // by serial
	news    chan struct{}    // closed and replaced when a record is written
	alarm   string
	full    bool // a gap record tells already that the journal is full
}

// Kept is what is known of a printer's prints.
type Kept struct {
	State  json.RawMessage // the detector's; nil: nothing
	Outbox int64           // number of the last record of the printer
}

// Task is a capture to be done. State is its own memory.
type Task struct {
	ID     int64 // 0: new
	Serial string
	RunID  string
	Role   wire.FileRole
	State  json.RawMessage
	NextMS int64 // when to do it, Unix milliseconds
	Tries  int
}

// NewFile is a file that was kept and is to be a print's with the next Commit.
type NewFile struct {
	SHA256 string
	Size   int64
}

// Change is what one transaction writes.
type Change struct {
	Serial  string
	Fence   int64
	State   json.RawMessage     // of the detector; nil: unchanged
	Records []wire.OutboxRecord // N, the times of writing, serial and fence are filled in
	Tasks   []Task              // to be added
	EndTask int64               // to be removed; 0: none
	File    *NewFile            // that the FileReady record among Records tells of
}

// Open opens the outbox of a data directory, and makes it if it is missing. Close it.
func Open(ctx context.Context, o Options) (*Outbox, error) {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 256 << 20
	}
	if o.KeepFor <= 0 {
		o.KeepFor = 7 * 24 * time.Hour
	}
	if o.KeepBytes <= 0 {
		o.KeepBytes = 64 << 20
	}
	if o.KeepFile <= 0 {
		o.KeepFile = 24 * time.Hour
	}
	if o.Started.IsZero() {
		o.Started = time.Now()
	}
	b := &Outbox{o: o, log: o.Log, lastOf: map[string]int64{}, news: make(chan struct{})}
	if err := b.files.open(filepath.Join(o.Dir, filesDir), o.Quota); err != nil {
		return nil, err
	}
	if err := b.openJournal(ctx); err != nil {
		return nil, err
	}
	if err := b.tidy(ctx); err != nil {
		b.log.Error("captured files could not be tidied up", "err", err)
	}
	return b, nil
}

// Close closes the journal; nothing else is called any more.
func (b *Outbox) Close() error { return b.db.Close() }

// Run prunes what need not be kept, until ctx ends.
func (b *Outbox) Run(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Minute)
	defer tick.Stop()
	for {
		if err := b.prune(ctx); err != nil && ctx.Err() == nil {
			b.log.Error("the journal could not be pruned, will be tried again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Epoch names this journal.
func (b *Outbox) Epoch() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.epoch
}

// Last is the number of the last record.
func (b *Outbox) Last() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

// LastOf is the number of the last record of a printer, 0 for none.
func (b *Outbox) LastOf(serial string) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lastOf[serial]
}

// Alarm is what a person should look at, "" for nothing.
func (b *Outbox) Alarm() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.alarm
}

func (b *Outbox) setAlarm(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.alarm = text
}

// clock is this process's clock now.
func (b *Outbox) clock() wire.Clock {
	now := time.Now()
	return wire.Clock{WallMS: now.UnixMilli(), MonoMS: now.Sub(b.o.Started).Milliseconds(), ProcessID: b.o.ProcessID}
}

// Printers gives what was known of every printer, for detectors that go on.
func (b *Outbox) Printers(ctx context.Context) (map[string]Kept, error) {
	rows, err := b.db.QueryContext(ctx, `SELECT serial, state, crc, last FROM printers`)
	if err != nil {
		return nil, fmt.Errorf("read the printers of the journal: %w", err)
	}
	defer func() { _ = rows.Close() }()
	out := map[string]Kept{}
	for rows.Next() {
		var serial string
		var state []byte
		var crc, last int64
		if err := rows.Scan(&serial, &state, &crc, &last); err != nil {
			return nil, fmt.Errorf("read a printer of the journal: %w", err)
		}
		k := Kept{State: state, Outbox: last}
		if checksum(state) != crc {
			b.log.Error("what the journal knows of a printer is damaged and not used", "printer", serial)
			k.State = nil
		}
		out[serial] = k
	}
	return out, rows.Err()
}

// Commit writes a change in one transaction. It is durable when Commit returns, and
// only then does anybody hear of it. last is the number of the last record written
// so far of the printer.
func (b *Outbox) Commit(ctx context.Context, c Change) (last int64, err error) {
	b.writing.Lock()
	defer b.writing.Unlock()
	w := &writer{b: b, change: c, clock: b.clock(), next: b.Last()}
	if err := b.inTx(ctx, w.write); err != nil {
		if ctx.Err() == nil {
			b.setAlarm("the agent cannot write its journal: " + plain(err))
		}
		return 0, fmt.Errorf("write the journal: %w", err)
	}
	if c.File != nil {
		b.files.hold(c.File.SHA256, false)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.alarm = ""
	b.unacked += w.bytes
	b.full = w.full
	if b.last = w.next; w.told {
		b.lastOf[c.Serial] = w.next
		close(b.news)
		b.news = make(chan struct{})
	}
	return b.lastOf[c.Serial], nil
}

func plain(err error) string {
	if errors.Is(err, errFull) {
		return "the disk is full"
	}
	return "see the agent's log"
}

// inTx runs fn in a transaction. The caller holds writing.
func (b *Outbox) inTx(ctx context.Context, fn func(context.Context, *sql.Tx) error) error {
	tx, err := b.db.BeginTx(ctx, nil)
	if err != nil {
		return full(err)
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	if err := fn(ctx, tx); err != nil {
		return full(err)
	}
	return full(tx.Commit())
}

// writer writes one change.
type writer struct {
	b      *Outbox
	change Change
	clock  wire.Clock
	next   int64 // number of the last record
	bytes  int64
	told   bool
	full   bool
}

func (w *writer) write(ctx context.Context, tx *sql.Tx) error {
	for _, r := range w.change.Records {
		if err := w.record(ctx, tx, r); err != nil {
			return err
		}
	}
	if w.told || w.change.State != nil {
		if err := w.printer(ctx, tx); err != nil {
			return err
		}
	}
	if w.told {
		if err := setMeta(ctx, tx, "last", w.next); err != nil {
			return err
		}
	}
	for _, t := range w.change.Tasks {
		const q = `INSERT INTO tasks (serial, run_id, role, state, next_ms, tries) VALUES ($1, $2, $3, $4, $5, $6)`
		if _, err := tx.ExecContext(ctx, q, t.Serial, t.RunID, string(t.Role), []byte(t.State), t.NextMS, t.Tries); err != nil {
			return err
		}
	}
	if w.change.EndTask != 0 {
		if _, err := tx.ExecContext(ctx, `DELETE FROM tasks WHERE id = $1`, w.change.EndTask); err != nil {
			return err
		}
	}
	return w.file(ctx, tx)
}

// record appends one. At the cap of what may wait, one record says that from here on
// nothing is told, until the hub has taken some.
func (w *writer) record(ctx context.Context, tx *sql.Tx, r wire.OutboxRecord) error {
	w.b.mu.Lock()
	over, told := w.b.unacked+w.bytes >= w.b.o.MaxBytes, w.b.full || w.full
	w.b.mu.Unlock()
	if over {
		if w.full = true; told {
			return nil
		}
		r = wire.OutboxRecord{Kind: wire.GapKind, Gap: &wire.GapRecord{
			From: w.next + 1, To: w.next + 1, Reason: "the agent's journal is full: what happened from here on is not told",
		}}
	}
	w.next++
	w.told = true
	r.WallMS, r.MonoMS, r.ProcessID = w.clock.WallMS, w.clock.MonoMS, w.clock.ProcessID
	r.Serial, r.Fence = w.change.Serial, w.change.Fence
	return w.insert(ctx, tx, r)
}

// insert writes a record under the number that is next.
func (w *writer) insert(ctx context.Context, tx *sql.Tx, r wire.OutboxRecord) error {
	r.N = w.next
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if len(body) > wire.MaxOutboxRecord {
		return farm.Errorf(farm.TooLarge, "a record of %d bytes", len(body))
	}
	w.bytes += int64(len(body))
	const q = `INSERT INTO records (n, wall_ms, serial, body, crc) VALUES ($1, $2, $3, $4, $5)`
	_, err = tx.ExecContext(ctx, q, r.N, r.WallMS, r.Serial, body, checksum(body))
	return err
}

func (w *writer) printer(ctx context.Context, tx *sql.Tx) error {
	last := w.next
	if !w.told {
		last = w.b.LastOf(w.change.Serial)
	}
	if w.change.State == nil {
		const q = `INSERT INTO printers (serial, state, crc, last) VALUES ($1, X'', $2, $3) ON CONFLICT (serial) DO UPDATE SET last = excluded.last`
		_, err := tx.ExecContext(ctx, q, w.change.Serial, checksum(nil), last)
		return err
	}
	const q = `INSERT INTO printers (serial, state, crc, last) VALUES ($1, $2, $3, $4)
		ON CONFLICT (serial) DO UPDATE SET state = excluded.state, crc = excluded.crc, last = excluded.last`
	_, err := tx.ExecContext(ctx, q, w.change.Serial, []byte(w.change.State), checksum(w.change.State), last)
	return err
}

// file gives a kept file to the print that its record names.
func (w *writer) file(ctx context.Context, tx *sql.Tx) error {
	f := w.change.File
	if f == nil {
		return nil
	}
	const q = `INSERT INTO files (sha256, size, made_ms, released_ms) VALUES ($1, $2, $3, 0) ON CONFLICT (sha256) DO UPDATE SET released_ms = 0`
	if _, err := tx.ExecContext(ctx, q, f.SHA256, f.Size, w.clock.WallMS); err != nil {
		return err
	}
	for _, r := range w.change.Records {
		if r.File == nil || r.Kind != wire.FileReady {
			continue
		}
		const ref = `INSERT INTO refs (sha256, ref) VALUES ($1, $2) ON CONFLICT DO NOTHING`
		if _, err := tx.ExecContext(ctx, ref, f.SHA256, wire.RunRef(r.File.RunID)); err != nil {
			return err
		}
	}
	return nil
}

func setMeta(ctx context.Context, tx *sql.Tx, key string, value any) error {
	const q = `INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value`
	_, err := tx.ExecContext(ctx, q, key, value)
	return err
}

// exists tells whether there is such a file.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
