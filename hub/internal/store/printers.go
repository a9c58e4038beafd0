package store

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"bambuddy/shared/farm"
)

const printerColumns = `id, serial, name, model_given, model_seen, address, mqtt_port, ftps_port, camera_port,
	site_id, COALESCE(agent_id, 0), fence, location, tags, created_at, updated_at`

func scanPrinter(r row) (p farm.Printer, err error) {
	var tags string
	var created, updated int64
	err = r.Scan(&p.ID, &p.Serial, &p.Name, &p.ModelGiven, &p.ModelSeen, &p.Address, &p.MQTTPort, &p.FTPSPort, &p.CameraPort,
		&p.SiteID, &p.AgentID, &p.Fence, &p.Location, &tags, &created, &updated)
	if err != nil {
		return p, err
	}
	p.CreatedAt, p.UpdatedAt = when(created), when(updated)
	err = parse(tags, &p.Tags)
	return p, err
}

// Printers gives all printers by id.
func (d *DB) Printers(ctx context.Context) ([]farm.Printer, error) {
	out, err := list(ctx, d.read, scanPrinter, `SELECT `+printerColumns+` FROM printers ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("list printers: %w", err)
	}
	return out, nil
}

// Printer gives one printer.
func (d *DB) Printer(ctx context.Context, id int64) (farm.Printer, error) {
	p, err := scanPrinter(d.read.QueryRowContext(ctx, `SELECT `+printerColumns+` FROM printers WHERE id = $1`, id))
	return p, notFound(err, "printer %d does not exist", id)
}

// CreatePrinter registers a printer with its sealed access code. With an agent it
// gets a fence and the agent's config a new revision.
func (d *DB) CreatePrinter(ctx context.Context, p farm.Printer, sealedCode []byte) (out farm.Printer, err error) {
	err = d.change(ctx, func(t *tx) error {
		const insert = `INSERT INTO printers (serial, name, model_given, model_seen, address, mqtt_port, ftps_port, camera_port,
			site_id, agent_id, fence, location, tags, created_at, updated_at)
			VALUES ($1, $2, $3, '', $4, $5, $6, $7, $8, NULL, 0, $9, $10, $11, $11) RETURNING ` + printerColumns
		out, err = scanPrinter(t.QueryRowContext(ctx, insert, p.Serial, p.Name, p.ModelGiven, p.Address, p.MQTTPort, p.FTPSPort,
			p.CameraPort, p.SiteID, p.Location, text(tags(p)), ms(time.Now())))
		if err != nil {
			err = dangling(err, farm.Invalid, "site_id: site %d does not exist", p.SiteID)
			return taken(err, "serial_number: printer %s is registered already", p.Serial)
		}
		if err := t.saveCode(ctx, out.ID, sealedCode); err != nil {
			return err
		}
		if err := t.move(ctx, &out, p.AgentID); err != nil {
			return err
		}
		t.tell(printerEvent(farm.EventPrinterAdded, out))
		return nil
	})
	return out, err
}

// UpdatePrinter writes what people may change of a printer: all but its serial
// and what it reported. A nil code keeps the code. A code that is entered anew, the
// same or not, raises the fence, so that the agent begins anew with the printer: it
// then trusts another certificate. Another agent raises the fence as well, and leaves
// the former one a tombstone.
func (d *DB) UpdatePrinter(ctx context.Context, p farm.Printer, sealedCode []byte) (out farm.Printer, err error) {
	err = d.change(ctx, func(t *tx) error {
		const q = `UPDATE printers SET name = $1, model_given = $2, address = $3, mqtt_port = $4, ftps_port = $5, camera_port = $6,
			site_id = $7, location = $8, tags = $9, updated_at = $10 WHERE id = $11 RETURNING ` + printerColumns
		out, err = scanPrinter(t.QueryRowContext(ctx, q, p.Name, p.ModelGiven, p.Address, p.MQTTPort, p.FTPSPort, p.CameraPort,
			p.SiteID, p.Location, text(tags(p)), ms(time.Now()), p.ID))
		if err != nil {
			err = dangling(err, farm.Invalid, "site_id: site %d does not exist", p.SiteID)
			return notFound(err, "printer %d does not exist", p.ID)
		}
		if sealedCode != nil {
			if err := t.saveCode(ctx, out.ID, sealedCode); err != nil {
				return err
			}
		}
		stays := p.AgentID == out.AgentID && out.AgentID != 0
		if err := t.move(ctx, &out, p.AgentID); err != nil {
			return err
		}
		if stays && sealedCode != nil {
			if err := t.assign(ctx, &out); err != nil {
				return err
			}
		}
		t.tell(printerEvent(farm.EventPrinterUpdated, out))
		return nil
	})
	return out, err
}

// DeletePrinter forgets a printer; its agent is left a tombstone.
func (d *DB) DeletePrinter(ctx context.Context, id int64) error {
	return d.change(ctx, func(t *tx) error {
		p, err := scanPrinter(t.QueryRowContext(ctx, `DELETE FROM printers WHERE id = $1 RETURNING `+printerColumns, id))
		if err != nil {
			return notFound(err, "printer %d does not exist", id)
		}
		if p.AgentID != 0 {
			revisions, err := t.raise(ctx, p.AgentID)
			if err != nil {
				return err
			}
			if err := t.bury(ctx, p, revisions[p.AgentID]); err != nil {
				return err
			}
		}
		t.tell(printerEvent(farm.EventPrinterRemoved, p))
		return nil
	})
}

// SetPrinterModel notes the model code a printer reported. Its agent is not
// told: that is where it comes from.
func (d *DB) SetPrinterModel(ctx context.Context, id int64, model string) error {
	return d.change(ctx, func(t *tx) error {
		const q = `UPDATE printers SET model_seen = $1 WHERE id = $2 RETURNING ` + printerColumns
		p, err := scanPrinter(t.QueryRowContext(ctx, q, model, id))
		if err != nil {
			return notFound(err, "printer %d does not exist", id)
		}
		t.tell(printerEvent(farm.EventPrinterUpdated, p))
		return nil
	})
}

// move brings a printer row to the agent it should have (0: none) and makes
// every agent concerned hear of it.
func (t *tx) move(ctx context.Context, p *farm.Printer, agentID int64) error {
	revisions, err := t.raise(ctx, p.AgentID, agentID)
	if err != nil || p.AgentID == agentID {
		return err
	}
	if p.AgentID != 0 {
		if err := t.bury(ctx, *p, revisions[p.AgentID]); err != nil {
			return err
		}
	}
	p.AgentID = agentID
	if agentID != 0 {
		return t.assign(ctx, p)
	}
	_, err = t.ExecContext(ctx, `UPDATE printers SET agent_id = NULL WHERE id = $1`, p.ID)
	return err
}

// assign gives a printer to p.AgentID, which must have been raised, at p.SiteID
// under a new fence. Fences are one counter for all, so that a printer that was
// deleted and comes back is never under an old one.
func (t *tx) assign(ctx context.Context, p *farm.Printer) error {
	if _, err := t.ExecContext(ctx, `DELETE FROM tombstones WHERE agent_id = $1 AND serial = $2`, p.AgentID, p.Serial); err != nil {
		return err
	}
	const next = `UPDATE counters SET value = value + 1 WHERE name = 'fences' RETURNING value`
	if err := t.QueryRowContext(ctx, next).Scan(&p.Fence); err != nil {
		return err
	}
	const q = `UPDATE printers SET agent_id = $1, site_id = $2, fence = $3 WHERE id = $4`
	_, err := t.ExecContext(ctx, q, p.AgentID, p.SiteID, p.Fence, p.ID)
	return err
}

// bury leaves the printer's present agent a tombstone of a revision of its config.
func (t *tx) bury(ctx context.Context, p farm.Printer, revision int64) error {
	const q = `INSERT INTO tombstones (agent_id, serial, fence, revision) VALUES ($1, $2, $3, $4)
		ON CONFLICT (agent_id, serial) DO UPDATE SET fence = excluded.fence, revision = excluded.revision`
	_, err := t.ExecContext(ctx, q, p.AgentID, p.Serial, p.Fence, revision)
	return err
}

// raise gives the configs of agents a new revision each; 0 is no agent. It takes
// their rows in one order, whichever way a printer goes between them: of two that
// crossed each would wait for the other.
func (t *tx) raise(ctx context.Context, agents ...int64) (map[int64]int64, error) {
	slices.Sort(agents)
	revisions := map[int64]int64{}
	for _, id := range slices.Compact(agents) {
		if id == 0 {
			continue
		}
		var revision int64
		err := t.QueryRowContext(ctx, `UPDATE agents SET revision = revision + 1 WHERE id = $1 RETURNING revision`, id).Scan(&revision)
		if errors.Is(err, sql.ErrNoRows) {
			return nil, farm.Errorf(farm.Invalid, "agent_id: agent %d does not exist", id)
		} else if err != nil {
			return nil, err
		}
		revisions[id] = revision
	}
	return revisions, nil
}

func (t *tx) saveCode(ctx context.Context, printerID int64, sealed []byte) error {
	const q = `INSERT INTO printer_secrets (printer_id, access_code) VALUES ($1, $2)
		ON CONFLICT (printer_id) DO UPDATE SET access_code = excluded.access_code`
	_, err := t.ExecContext(ctx, q, printerID, base64.StdEncoding.EncodeToString(sealed))
	return err
}

func tags(p farm.Printer) []string {
	if p.Tags == nil {
		return []string{}
	}
	return p.Tags
}

func printerEvent(kind string, p farm.Printer) farm.Event {
	return farm.Event{
		Kind: kind, PrinterID: p.ID, AgentID: p.AgentID, SiteID: p.SiteID,
		Data: []byte(text(map[string]any{"printer_id": p.ID, "printer_name": p.Name})),
	}
}

// AgentConfig reads one agent's config in one moment.
func (d *DB) AgentConfig(ctx context.Context, agentID int64) (c farm.AgentConfig, err error) {
	t, err := d.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelDefault})
	if err != nil {
		return c, fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = t.Rollback() }()
	// Read first, so that a change that comes between this and the next rows has a
	// higher revision and is pushed again.
	if c.Agent, err = scanAgent(t.QueryRowContext(ctx, `SELECT `+agentColumns+` FROM agents WHERE id = $1`, agentID)); err != nil {
		return c, notFound(err, "agent %d does not exist", agentID)
	}
	if err = t.QueryRowContext(ctx, `SELECT name FROM sites WHERE id = $1`, c.Agent.SiteID).Scan(&c.SiteName); err != nil {
		return c, fmt.Errorf("read the site of agent %d: %w", agentID, err)
	}
	const printers = `SELECT ` + printerColumns + ` FROM printers WHERE agent_id = $1 ORDER BY id`
	if c.Printers, err = list(ctx, t, scanPrinter, printers, agentID); err != nil {
		return c, fmt.Errorf("list the printers of agent %d: %w", agentID, err)
	}
	if c.Codes, err = codes(ctx, t, agentID); err != nil {
		return c, fmt.Errorf("list the codes of agent %d: %w", agentID, err)
	}
	c.Tombstones, err = list(ctx, t, scanTombstone,
		`SELECT serial, fence FROM tombstones WHERE agent_id = $1 ORDER BY serial`, agentID)
	if err != nil {
		return c, fmt.Errorf("list the tombstones of agent %d: %w", agentID, err)
	}
	return c, nil
}

func scanTombstone(r row) (s farm.Tombstone, err error) {
	err = r.Scan(&s.Serial, &s.Fence)
	return s, err
}

func codes(ctx context.Context, q queryer, agentID int64) (map[int64][]byte, error) {
	type code struct {
		id     int64
		sealed []byte
	}
	rows, err := list(ctx, q, func(r row) (c code, err error) {
		var s string
		if err = r.Scan(&c.id, &s); err != nil {
			return c, err
		}
		// A damaged row is that printer's trouble alone: what is left of it will not open.
		c.sealed, _ = base64.StdEncoding.DecodeString(s)
		return c, nil
	}, `SELECT s.printer_id, s.access_code FROM printer_secrets s JOIN printers p ON p.id = s.printer_id WHERE p.agent_id = $1`, agentID)
	if err != nil {
		return nil, err
	}
	out := make(map[int64][]byte, len(rows))
	for _, c := range rows {
		out[c.id] = c.sealed
	}
	return out, nil
}

// AckConfig drops the tombstones that an agent has applied with a revision.
func (d *DB) AckConfig(ctx context.Context, agentID, revision int64) error {
	const q = `DELETE FROM tombstones WHERE agent_id = $1 AND revision <= $2`
	if _, err := d.write.ExecContext(ctx, q, agentID, revision); err != nil {
		return fmt.Errorf("note that agent %d has applied revision %d: %w", agentID, revision, err)
	}
	return nil
}
