package store

import (
	"context"
	"fmt"
	"time"

	"bambuddy/shared/farm"
)

const projectColumns = `id, name, description, color, target_count, status, created_at, updated_at`

func scanProject(r row) (p farm.Project, err error) {
	var created, updated int64
	err = r.Scan(&p.ID, &p.Name, &p.Description, &p.Color, &p.TargetCount, &p.Status, &created, &updated)
	p.CreatedAt, p.UpdatedAt = when(created), when(updated)
	return p, err
}

// Projects gives all projects by id.
func (d *DB) Projects(ctx context.Context) ([]farm.Project, error) {
	out, err := list(ctx, d.read, scanProject, `SELECT `+projectColumns+` FROM projects ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("list projects: %w", err)
	}
	return out, nil
}

// Project gives one project.
func (d *DB) Project(ctx context.Context, id int64) (farm.Project, error) {
	p, err := scanProject(d.read.QueryRowContext(ctx, `SELECT `+projectColumns+` FROM projects WHERE id = $1`, id))
	return p, notFound(err, "there is no project %d", id)
}

// AddProject adds a project and gives it back with its id.
func (d *DB) AddProject(ctx context.Context, p farm.Project) (out farm.Project, err error) {
	err = d.change(ctx, func(t *tx) error {
		now := ms(time.Now())
		const q = `INSERT INTO projects (name, description, color, target_count, status, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $6) RETURNING ` + projectColumns
		if out, err = scanProject(t.QueryRowContext(ctx, q, p.Name, p.Description, p.Color, p.TargetCount, p.Status, now)); err != nil {
			return fmt.Errorf("add a project: %w", err)
		}
		t.tell(projectEvent(farm.EventProjectAdded, out))
		return nil
	})
	return out, err
}

// ChangeProject replaces a project by what it is to be.
func (d *DB) ChangeProject(ctx context.Context, p farm.Project) (out farm.Project, err error) {
	err = d.change(ctx, func(t *tx) error {
		const q = `UPDATE projects SET name = $1, description = $2, color = $3, target_count = $4, status = $5, updated_at = $6 WHERE id = $7 RETURNING ` + projectColumns
		if out, err = scanProject(t.QueryRowContext(ctx, q, p.Name, p.Description, p.Color, p.TargetCount, p.Status, ms(time.Now()), p.ID)); err != nil {
			return notFound(err, "there is no project %d", p.ID)
		}
		t.tell(projectEvent(farm.EventProjectUpdated, out))
		return nil
	})
	return out, err
}

// DeleteProject removes a project. Its archives stay and are read as of none then: the
// number in their rows is never given again.
func (d *DB) DeleteProject(ctx context.Context, id int64) error {
	return d.change(ctx, func(t *tx) error {
		p, err := scanProject(t.QueryRowContext(ctx, `DELETE FROM projects WHERE id = $1 RETURNING `+projectColumns, id))
		if err != nil {
			return notFound(err, "there is no project %d", id)
		}
		t.tell(projectEvent(farm.EventProjectRemoved, p))
		return nil
	})
}

func projectEvent(kind string, p farm.Project) farm.Event {
	return farm.Event{Kind: kind, Data: []byte(text(map[string]any{"project_id": p.ID, "name": p.Name, "status": p.Status}))}
}
