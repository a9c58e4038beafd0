package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"bambuddy/shared/farm"
)

// PrintTx is a transaction in which an agent's outbox is applied. It belongs to the
// function it is given to.
type PrintTx struct {
	ctx  context.Context //nolint:containedctx // it lives as long as the call
	t    *tx
	mark int64
	at   time.Time
	set  bool
	// saved are prints as the transaction last read or wrote them, so that counts and
	// search follow without asking again.
	saved map[int64]farm.Print
}

// ApplyPrints runs fn in one write transaction, with the mark of an agent's outbox in
// it; after a deadlock fn runs again.
func (d *DB) ApplyPrints(ctx context.Context, agentID int64, epoch string, fn func(*PrintTx) error) error {
	return d.change(ctx, func(t *tx) error {
		p := &PrintTx{ctx: ctx, t: t, saved: map[int64]farm.Print{}}
		var err error
		if p.mark, p.at, err = outboxMark(ctx, t, agentID, epoch); err != nil {
			return fmt.Errorf("read the mark: %w", err)
		}
		if err := fn(p); err != nil || !p.set {
			return err
		}
		const q = `INSERT INTO outbox_marks (agent_id, epoch, n, at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (agent_id, epoch) DO UPDATE SET n = excluded.n, at = excluded.at`
		_, err = t.ExecContext(ctx, q, agentID, epoch, p.mark, ms(p.at))
		return err
	})
}

// Mark is the number of the last record that was applied, and when it had come.
func (p *PrintTx) Mark() (n int64, at time.Time) { return p.mark, p.at }

// SetMark moves it.
func (p *PrintTx) SetMark(n int64, at time.Time) { p.mark, p.at, p.set = n, at, true }

// Printer finds a registered printer; NOT_FOUND without.
func (p *PrintTx) Printer(serial string) (farm.Printer, error) {
	one, err := scanPrinter(p.t.QueryRowContext(p.ctx, `SELECT `+printerColumns+` FROM printers WHERE serial = $1`, serial))
	return one, notFound(err, "there is no printer %s", serial)
}

// Run finds the print of a run, deleted ones too, and the last Seq of the run.
func (p *PrintTx) Run(runID string) (one farm.Print, seq int64, ok bool, err error) {
	var id int64
	err = p.t.QueryRowContext(p.ctx, `SELECT print_id, seq FROM print_runs WHERE run_id = $1`, runID).Scan(&id, &seq)
	if errors.Is(err, sql.ErrNoRows) {
		return one, 0, false, nil
	}
	if err != nil {
		return one, 0, false, fmt.Errorf("find run %s: %w", runID, err)
	}
	one, ok, err = p.one(`SELECT `+rowColumns+` FROM prints WHERE id = $1`, id)
	if err == nil && !ok { // removed for good: what is told of it again is of no use
		one = farm.Print{ID: id, RunID: runID, DeletedAt: time.Now()}
	}
	return one, seq, err == nil, err
}

// Open finds the print that is under way at a printer.
func (p *PrintTx) Open(printerID int64) (farm.Print, bool, error) {
	return p.one(`SELECT `+rowColumns+` FROM prints WHERE printer_id = $1 AND status = 'printing' AND printer_id > 0 AND deleted_at = 0`, printerID)
}

// BySubtask finds the newest print of a printer with that id of a submission.
func (p *PrintTx) BySubtask(printerID int64, subtask string) (farm.Print, bool, error) {
	return p.one(`SELECT `+rowColumns+` FROM prints WHERE printer_id = $1 AND subtask = $2 AND subtask <> '' ORDER BY id DESC LIMIT 1`, printerID, subtask)
}

func (p *PrintTx) one(q string, args ...any) (farm.Print, bool, error) {
	one, err := scanPrint(p.t.QueryRowContext(p.ctx, q+p.t.lock(), args...))
	if errors.Is(err, sql.ErrNoRows) {
		return farm.Print{}, false, nil
	}
	if err != nil {
		return farm.Print{}, false, fmt.Errorf("find a print: %w", err)
	}
	p.saved[one.ID] = one
	return one, true, nil
}

// Insert adds a print and gives it its id.
func (p *PrintTx) Insert(one *farm.Print) error {
	if err := p.t.addPrint(p.ctx, one); err != nil {
		return fmt.Errorf("add a print: %w", err)
	}
	p.saved[one.ID] = *one
	return nil
}

// Save replaces a print by what it is now.
func (p *PrintTx) Save(one farm.Print) error {
	before, known := p.saved[one.ID]
	if !known {
		var err error
		if before, known, err = p.one(`SELECT `+rowColumns+` FROM prints WHERE id = $1`, one.ID); err != nil {
			return err
		}
		if !known {
			return farm.Errorf(farm.NotFound, "there is no archive %d", one.ID)
		}
	}
	if err := p.t.savePrint(p.ctx, before, one); err != nil {
		return err
	}
	p.saved[one.ID] = one
	return nil
}

// Link makes a run a print's.
func (p *PrintTx) Link(runID string, printID, seq int64) error {
	const q = `INSERT INTO print_runs (run_id, print_id, seq) VALUES ($1, $2, $3) ON CONFLICT (run_id) DO UPDATE SET print_id = excluded.print_id, seq = excluded.seq`
	if _, err := p.t.ExecContext(p.ctx, q, runID, printID, seq); err != nil {
		return fmt.Errorf("link run %s: %w", runID, err)
	}
	return nil
}

// SetSeq notes the last record of a run; it never goes back.
func (p *PrintTx) SetSeq(runID string, seq int64) error {
	if _, err := p.t.ExecContext(p.ctx, `UPDATE print_runs SET seq = $1 WHERE run_id = $2 AND seq < $1`, seq, runID); err != nil {
		return fmt.Errorf("note a record of run %s: %w", runID, err)
	}
	return nil
}

// PutFile notes how a file of a print stands; one that is stored stays so.
func (p *PrintTx) PutFile(f farm.PrintFile) error {
	return p.t.putFile(p.ctx, f, `WHERE print_files.status <> 'stored'`)
}

// AddPull wants a captured file; the same one twice is one. Its file is pending with it.
func (p *PrintTx) AddPull(pull farm.Pull) error {
	const q = `INSERT INTO pulls (print_id, run_id, agent_id, role, sha256, size, name, tries, next_at, error) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, '')
		ON CONFLICT (run_id, role, sha256) DO UPDATE SET agent_id = excluded.agent_id, next_at = excluded.next_at`
	_, err := p.t.ExecContext(p.ctx, q, pull.PrintID, pull.RunID, pull.AgentID, pull.Role, pull.SHA256, pull.Size, pull.Name, ms(pull.NextAt))
	if err != nil {
		return fmt.Errorf("want a file of print %d: %w", pull.PrintID, err)
	}
	one, known := p.saved[pull.PrintID]
	if !known || !one.DeletedAt.IsZero() {
		return nil // its agent is only to be told that nobody wants it
	}
	if after := one; pull.Role == farm.RoleModel && one.FileStatus == farm.FileMissing { // given up too early
		after.FileStatus, after.FileError = farm.FilePending, ""
		if err := p.Save(after); err != nil {
			return err
		}
	}
	return p.PutFile(farm.PrintFile{
		PrintID: one.ID, SiteID: one.SiteID, Role: pull.Role, Path: one.Dir + "/" + farm.FileName(pull.Role, pull.Name),
		Size: pull.Size, Status: farm.FilePending, CreatedAt: time.Now(),
	})
}

// Tell adds an event to the transaction.
func (p *PrintTx) Tell(e farm.Event) { p.t.tell(e) }
