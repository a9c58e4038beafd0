package outbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

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
	Quota     int64         // bytes of captured files; 10 GiB, or a fifth of what is free when that is less
	KeepFile  time.Duration // how long a file is kept that nobody refers to any more; 24 h

	Log *slog.Logger // nil: silent
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
	given   int64            // number of the last record that was given out
	acked   int64            // everything up to it is acknowledged
	unacked int64            // bytes of what is not
	lastOf  map[string]int64 // by serial
	news    chan struct{}    // closed and replaced when a record is written
	broken  string           // why the journal could not be written last
	crowded bool             // captured files took all their room
	full    bool             // a gap record tells already that the journal is full
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
	EndTask int64               // to be removed, once; 0: none
	File    *NewFile            // that the FileReady record among Records tells of
}

// Open opens the outbox of a data directory, and makes it if it is missing. Close it.
// It fails for a folder that cannot be used, as on a full disk, never for what is in
// the journal.
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
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	b := &Outbox{o: o, log: o.Log, lastOf: map[string]int64{}, news: make(chan struct{})}
	if err := b.files.open(filepath.Join(o.Dir, filesDir)); err != nil {
		return nil, err
	}
	if err := b.openJournal(ctx); err != nil {
		return nil, err
	}
	if err := b.tidy(ctx); err != nil {
		b.log.Error("captured files could not be tidied up", "err", err)
	}
	b.files.limit(o.Quota)
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
		k := Kept{Outbox: last}
		if len(state) > 0 {
			k.State = state
		}
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
// so far of the printer. What the outside decides on: NOT_FOUND is a task that has ended
// before, UNAVAILABLE a journal that is full, for a change that ends a task and can wait.
func (b *Outbox) Commit(ctx context.Context, c Change) (last int64, err error) {
	b.writing.Lock()
	defer b.writing.Unlock()
	w := &writer{b: b, change: c, clock: b.clock(), next: b.Last()}
	if err := b.inTx(ctx, w.write); err != nil {
		b.failed(ctx, err)
		return 0, fmt.Errorf("write the journal: %w", err)
	}
	if c.File != nil {
		b.files.hold(c.File.SHA256, false)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = ""
	b.unacked += w.bytes
	b.full = b.full || w.full
	if b.last = w.next; w.told {
		b.lastOf[c.Serial] = w.next
		b.tellNews()
	}
	return b.lastOf[c.Serial], nil
}

// tellNews wakes who waits for records. The caller holds mu.
func (b *Outbox) tellNews() {
	close(b.news)
	b.news = make(chan struct{})
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

// exists tells whether there is such a file.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
