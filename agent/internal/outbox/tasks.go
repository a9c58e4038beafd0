package outbox

import (
	"context"
	"database/sql"
	"fmt"

	"bambuddy/shared/wire"
)

const taskColumns = `id, serial, run_id, role, state, next_ms, tries`

// DueTasks gives tasks that are due until a moment (Unix milliseconds), the longest due
// first.
func (b *Outbox) DueTasks(ctx context.Context, nowMS int64, limit int) ([]Task, error) {
	const q = `SELECT ` + taskColumns + ` FROM tasks WHERE next_ms <= $1 ORDER BY next_ms, id LIMIT $2`
	return b.tasks(ctx, q, nowMS, limit)
}

// OpenTasks gives all tasks of a printer, in the order they came.
func (b *Outbox) OpenTasks(ctx context.Context, serial string) ([]Task, error) {
	return b.tasks(ctx, `SELECT `+taskColumns+` FROM tasks WHERE serial = $1 ORDER BY id`, serial)
}

func (b *Outbox) tasks(ctx context.Context, q string, args ...any) ([]Task, error) {
	rows, err := b.db.QueryContext(ctx, q, args...)
	if err != nil {
		return nil, fmt.Errorf("read the captures to do: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var out []Task
	for rows.Next() {
		var t Task
		var role string
		var state []byte
		if err := rows.Scan(&t.ID, &t.Serial, &t.RunID, &role, &state, &t.NextMS, &t.Tries); err != nil {
			return nil, fmt.Errorf("read a capture to do: %w", err)
		}
		t.Role, t.State = wire.FileRole(role), state
		out = append(out, t)
	}
	return out, rows.Err()
}

// SaveTask writes down how far a task is. One that has ended meanwhile stays ended.
func (b *Outbox) SaveTask(ctx context.Context, t Task) error {
	b.writing.Lock()
	defer b.writing.Unlock()
	err := b.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		const q = `UPDATE tasks SET state = $1, next_ms = $2, tries = $3 WHERE id = $4`
		_, err := tx.ExecContext(ctx, q, []byte(t.State), t.NextMS, t.Tries, t.ID)
		return err
	})
	if err != nil {
		return fmt.Errorf("save a capture to do: %w", err)
	}
	return nil
}
