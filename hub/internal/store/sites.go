package store

import (
	"context"
	"fmt"
	"time"

	"bambuddy/shared/farm"
)

func scanSite(r row) (s farm.Site, err error) {
	var created int64
	err = r.Scan(&s.ID, &s.Name, &created)
	s.CreatedAt = when(created)
	return s, err
}

// Sites gives all sites by id.
func (d *DB) Sites(ctx context.Context) ([]farm.Site, error) {
	out, err := list(ctx, d.read, scanSite, `SELECT id, name, created_at FROM sites ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("list sites: %w", err)
	}
	return out, nil
}

// Site gives one site.
func (d *DB) Site(ctx context.Context, id int64) (farm.Site, error) {
	s, err := scanSite(d.read.QueryRowContext(ctx, `SELECT id, name, created_at FROM sites WHERE id = $1`, id))
	return s, notFound(err, "site %d does not exist", id)
}

// CreateSite makes a site; CONFLICT when the name is taken.
func (d *DB) CreateSite(ctx context.Context, name string) (s farm.Site, err error) {
	err = d.change(ctx, func(t *tx) error {
		const q = `INSERT INTO sites (name, created_at) VALUES ($1, $2) RETURNING id, name, created_at`
		if s, err = scanSite(t.QueryRowContext(ctx, q, name, ms(time.Now()))); err != nil {
			return taken(err, "name: there is already a site %q", name)
		}
		t.tell(siteEvent(farm.EventSiteAdded, s))
		return nil
	})
	return s, err
}

// RenameSite gives a site another name; CONFLICT when it is taken.
func (d *DB) RenameSite(ctx context.Context, id int64, name string) (s farm.Site, err error) {
	err = d.change(ctx, func(t *tx) error {
		const q = `UPDATE sites SET name = $1 WHERE id = $2 RETURNING id, name, created_at`
		if s, err = scanSite(t.QueryRowContext(ctx, q, name, id)); err != nil {
			return taken(notFound(err, "site %d does not exist", id), "name: there is already a site %q", name)
		}
		// Agents show their site's name, so they have to hear of it.
		if _, err = t.ExecContext(ctx, `UPDATE agents SET revision = revision + 1 WHERE site_id = $1`, id); err != nil {
			return err
		}
		t.tell(siteEvent(farm.EventSiteUpdated, s))
		return nil
	})
	return s, err
}

// DeleteSite removes an empty site; CONFLICT while it has agents, printers or archives,
// those included that statistics still count.
// The default site stays.
func (d *DB) DeleteSite(ctx context.Context, id int64) error {
	if id == farm.DefaultSiteID {
		return farm.Errorf(farm.Conflict, "the default site cannot be deleted")
	}
	return d.change(ctx, func(t *tx) error {
		s, err := scanSite(t.QueryRowContext(ctx, `DELETE FROM sites WHERE id = $1 RETURNING id, name, created_at`, id))
		if err != nil {
			err = dangling(err, farm.Conflict, "site %d still has agents, printers or archives: move or remove them first", id)
			return notFound(err, "site %d does not exist", id)
		}
		t.tell(siteEvent(farm.EventSiteRemoved, s))
		return nil
	})
}

func siteEvent(kind string, s farm.Site) farm.Event {
	return farm.Event{Kind: kind, SiteID: s.ID, Data: []byte(text(map[string]any{"site_id": s.ID, "site_name": s.Name}))}
}
