package api

import (
	"context"
	"log/slog"
	"slices"
	"testing"

	"bambuddy/hub/internal/archive"
	"bambuddy/hub/internal/blob"
	"bambuddy/shared/farm"
)

// memPrints is archives and projects in memory, as far as tests of who may do what need
// them. What the database makes of filters and files is shown with the real one, in
// hub/app.
type memPrints struct {
	archive.Store
	rows     []farm.Print
	projects []farm.Project
	asked    farm.PrintQuery
}

func (m *memPrints) Print(_ context.Context, id int64) (farm.Print, error) {
	if i := slices.IndexFunc(m.rows, func(p farm.Print) bool { return p.ID == id }); i >= 0 {
		return m.rows[i], nil
	}
	return farm.Print{}, farm.Errorf(farm.NotFound, "there is no archive %d", id)
}

func (m *memPrints) Prints(_ context.Context, q farm.PrintQuery) (farm.PrintPage, error) {
	m.asked = q
	return farm.PrintPage{Total: int64(len(m.rows)), Prints: m.rows}, nil
}

func (m *memPrints) EachPrint(_ context.Context, q farm.PrintQuery, fn func(farm.Print) error) error {
	m.asked = q
	for _, p := range m.rows {
		if err := fn(p); err != nil {
			return err
		}
	}
	return nil
}

func (m *memPrints) PrintFiles(context.Context, int64) ([]farm.PrintFile, error) { return nil, nil }

func (m *memPrints) ChangePrint(ctx context.Context, id int64, c farm.PrintChange) (farm.Print, error) {
	p, err := m.Print(ctx, id)
	if c.Name != nil {
		p.Name = *c.Name
	}
	return p, err
}

func (m *memPrints) DeletePrint(context.Context, int64, bool) error { return nil }

func (m *memPrints) Projects(context.Context) ([]farm.Project, error) { return m.projects, nil }

func (m *memPrints) Project(_ context.Context, id int64) (farm.Project, error) {
	if i := slices.IndexFunc(m.projects, func(p farm.Project) bool { return p.ID == id }); i >= 0 {
		return m.projects[i], nil
	}
	return farm.Project{}, farm.Errorf(farm.NotFound, "there is no project %d", id)
}

func (m *memPrints) AddProject(_ context.Context, p farm.Project) (farm.Project, error) {
	p.ID, p.CreatedAt, p.UpdatedAt = int64(len(m.projects)+1), seedTime, seedTime
	m.projects = append(m.projects, p)
	return p, nil
}

func (m *memPrints) ChangeProject(_ context.Context, p farm.Project) (farm.Project, error) {
	return p, nil
}

func (m *memPrints) DeleteProject(ctx context.Context, id int64) error {
	_, err := m.Project(ctx, id)
	return err
}

// archives gives the API archives in memory.
func (m *memPrints) archives(t testing.TB, d *Deps) {
	t.Helper()
	files, err := archive.New(archive.Options{Store: m, Objects: blob.NewMemory(), Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	d.Prints, d.Archive, d.Projects, d.S3, d.Webhooks = m, files, m, &memS3{}, &memWebhooks{}
}
