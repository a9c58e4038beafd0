package prints

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// table is the database in memory, whose transactions happen whole or not at all.
// That the real one does is the store's to show; here it is about what is written.
type table struct {
	mark     map[string]int64
	at       map[string]time.Time
	prints   map[int64]farm.Print
	runs     map[string]run
	files    []farm.PrintFile
	pulls    []farm.Pull
	events   []farm.Event
	printers map[string]farm.Printer
	fail     error // of the next transaction, when it is about to commit
	cursor   int64
	reading  func() // called when a print was read, before it is given
}

type run struct{ print, seq int64 }

func newTable() *table {
	return &table{
		mark: map[string]int64{}, at: map[string]time.Time{}, prints: map[int64]farm.Print{}, runs: map[string]run{},
		printers: map[string]farm.Printer{"P1": {ID: 1, Serial: "P1", Name: "One", SiteID: 3, AgentID: 7, Fence: 2}},
	}
}

func (t *table) copy() *table {
	c := *t
	c.at = maps.Clone(t.at)
	c.mark, c.prints, c.runs = maps.Clone(t.mark), maps.Clone(t.prints), maps.Clone(t.runs)
	c.files, c.pulls, c.events = slices.Clone(t.files), slices.Clone(t.pulls), slices.Clone(t.events)
	return &c
}

type memoryStore struct{ *table }

func (m memoryStore) ApplyPrints(_ context.Context, _ int64, epoch string, fn func(Tx) error) error {
	c := m.copy()
	if err := fn(&memoryTx{c, epoch}); err != nil {
		return err
	}
	if err := m.fail; err != nil {
		m.fail = nil
		return err
	}
	*m.table = *c
	return nil
}

func (m memoryStore) OutboxMark(_ context.Context, _ int64, epoch string) (int64, error) {
	return m.mark[epoch], nil
}

func (m memoryStore) OpenPrints(context.Context) (out []farm.Print, err error) {
	for _, p := range m.prints {
		if p.Status == farm.StatusPrinting {
			out = append(out, p)
		}
	}
	return out, nil
}

func (m memoryStore) Print(_ context.Context, id int64) (farm.Print, error) {
	p, ok := m.prints[id]
	if m.reading != nil {
		m.reading()
	}
	if !ok {
		return p, farm.Errorf(farm.NotFound, "no print %d", id)
	}
	return p, nil
}

func (m memoryStore) Cursor(context.Context, string) (int64, error) { return m.cursor, nil }

func (m memoryStore) SetCursor(_ context.Context, _ string, id int64) error {
	m.cursor = id
	return nil
}

type memoryTx struct {
	*table
	epoch string
}

func (t *memoryTx) Mark() (int64, time.Time) { return t.mark[t.epoch], t.at[t.epoch] }

func (t *memoryTx) SetMark(n int64, at time.Time) { t.mark[t.epoch], t.at[t.epoch] = n, at }

func (t *memoryTx) Printer(serial string) (farm.Printer, error) {
	if p, ok := t.printers[serial]; ok {
		return p, nil
	}
	return farm.Printer{}, farm.Errorf(farm.NotFound, "no printer %s", serial)
}

func (t *memoryTx) Run(id string) (farm.Print, int64, bool, error) {
	r, ok := t.runs[id]
	return t.prints[r.print], r.seq, ok, nil
}

func (t *memoryTx) Open(printerID int64) (farm.Print, bool, error) {
	for _, p := range t.prints {
		if p.PrinterID == printerID && p.Status == farm.StatusPrinting && p.DeletedAt.IsZero() {
			return p, true, nil
		}
	}
	return farm.Print{}, false, nil
}

func (t *memoryTx) BySubtask(printerID int64, subtask string) (found farm.Print, ok bool, err error) {
	for _, p := range t.prints {
		if p.PrinterID == printerID && p.Subtask == subtask && p.ID > found.ID {
			found, ok = p, true
		}
	}
	return found, ok, nil
}

func (t *memoryTx) Insert(p *farm.Print) error {
	if open, is, _ := t.Open(p.PrinterID); is && p.PrinterID != 0 {
		return farm.Errorf(farm.Conflict, "print %d is open", open.ID)
	}
	p.ID = int64(len(t.prints) + 1)
	t.prints[p.ID] = *p
	return nil
}

func (t *memoryTx) Save(p farm.Print) error { t.prints[p.ID] = p; return nil }

func (t *memoryTx) Link(id string, print, seq int64) error { t.runs[id] = run{print, seq}; return nil }

func (t *memoryTx) SetSeq(id string, seq int64) error {
	r := t.runs[id]
	r.seq = max(r.seq, seq)
	t.runs[id] = r
	return nil
}

func (t *memoryTx) PutFile(f farm.PrintFile) error { t.files = append(t.files, f); return nil }
func (t *memoryTx) AddPull(p farm.Pull) error      { t.pulls = append(t.pulls, p); return nil }
func (t *memoryTx) Tell(e farm.Event)              { t.events = append(t.events, e) }

// rig is prints on such a table, told by an agent.
type rig struct {
	t *testing.T
	*table
	prints *Prints
	n      int64
	now    time.Time
	epoch  string

	milestones []int
	prices     farm.Prices
}

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newRig(t *testing.T) *rig {
	t.Helper()
	db := newTable()
	r := &rig{t: t, table: db, now: began, epoch: "E1", milestones: []int{25, 50, 75}, prices: farm.Prices{PerKG: 25}}
	r.prints = New(Options{
		Store: memoryStore{db}, Milestones: func() []int { return r.milestones }, Prices: func() farm.Prices { return r.prices }, Log: slog.New(slog.DiscardHandler),
	})
	return r
}

var agent = farm.Agent{ID: 7, SiteID: 3}

// says makes a record of now and applies it.
func (r *rig) says(rec wire.OutboxRecord) {
	r.t.Helper()
	r.n++
	rec.N = r.n
	if err := r.apply(rec); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) stamped(rec wire.OutboxRecord) wire.OutboxRecord {
	if rec.ProcessID == "" {
		rec.ProcessID, rec.MonoMS, rec.WallMS = "boot", r.now.Sub(began).Milliseconds(), r.now.UnixMilli()
	}
	if rec.Serial == "" {
		rec.Serial = "P1"
	}
	if rec.Fence == 0 {
		rec.Fence = 2
	}
	return rec
}

func (r *rig) apply(recs ...wire.OutboxRecord) error {
	for i := range recs {
		recs[i] = r.stamped(recs[i])
	}
	page := wire.OutboxPage{
		Epoch: r.epoch, First: 1, Last: r.n, Records: recs,
		Clock: wire.Clock{ProcessID: "boot", MonoMS: r.now.Sub(began).Milliseconds(), WallMS: r.now.UnixMilli()},
	}
	_, err := r.prints.Apply(context.Background(), agent, page, r.now)
	return err
}

// rec is a record of a print.
func rec(kind wire.RecordKind, run string, seq int64, change func(*wire.PrintRecord)) wire.OutboxRecord {
	p := &wire.PrintRecord{RunID: run, Seq: seq, Name: "Benchy", File: "/data/Metadata/plate_1.gcode", PrintKind: "cloud", SubtaskID: "11"}
	if change != nil {
		change(p)
	}
	return wire.OutboxRecord{Kind: kind, Print: p}
}

func ended(o wire.Outcome) func(*wire.PrintRecord) {
	return func(p *wire.PrintRecord) {
		p.Outcome, p.Layer, p.TotalLayers, p.Progress = o, bambu.Some(50), bambu.Some(100), bambu.Some(50)
	}
}

func (r *rig) kinds() (out []string) {
	for _, e := range r.events {
		out = append(out, e.Kind)
	}
	return out
}

func (r *rig) only() farm.Print {
	r.t.Helper()
	if len(r.table.prints) != 1 {
		r.t.Fatalf("there are %d prints, want 1: %+v", len(r.table.prints), r.table.prints)
	}
	return r.table.prints[1]
}
