package store

import (
	"context"
	"encoding/base64"
	"fmt"
	"time"

	"bambuddy/shared/farm"
)

const agentColumns = `id, uid, site_id, name, public_key, version, platform, revision, revoked, created_at, last_seen, online`

func scanAgent(r row) (a farm.Agent, err error) {
	var key string
	var created, seen int64
	err = r.Scan(&a.ID, &a.UID, &a.SiteID, &a.Name, &key, &a.Version, &a.Platform, &a.Revision, &a.Revoked, &created, &seen, &a.Online)
	if err != nil {
		return a, err
	}
	a.CreatedAt, a.LastSeen = when(created), when(seen)
	a.PublicKey, err = base64.StdEncoding.DecodeString(key)
	return a, err
}

// Agents gives all agents by id, revoked ones too.
func (d *DB) Agents(ctx context.Context) ([]farm.Agent, error) {
	out, err := list(ctx, d.read, scanAgent, `SELECT `+agentColumns+` FROM agents ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("list agents: %w", err)
	}
	return out, nil
}

// Agent gives one agent.
func (d *DB) Agent(ctx context.Context, id int64) (farm.Agent, error) {
	a, err := scanAgent(d.read.QueryRowContext(ctx, `SELECT `+agentColumns+` FROM agents WHERE id = $1`, id))
	return a, notFound(err, "agent %d does not exist", id)
}

// AgentByUID finds an agent by the id it uses on the wire.
func (d *DB) AgentByUID(ctx context.Context, uid string) (farm.Agent, error) {
	a, err := scanAgent(d.read.QueryRowContext(ctx, `SELECT `+agentColumns+` FROM agents WHERE uid = $1`, uid))
	return a, notFound(err, "this hub knows no such agent: enrol it again")
}

// Revisions gives what an agent's session has to follow, of every agent.
func (d *DB) Revisions(ctx context.Context) (map[int64]farm.AgentRevision, error) {
	type pair struct {
		id int64
		r  farm.AgentRevision
	}
	rows, err := list(ctx, d.read, func(r row) (p pair, err error) {
		err = r.Scan(&p.id, &p.r.Revision, &p.r.Revoked)
		return p, err
	}, `SELECT id, revision, revoked FROM agents`)
	if err != nil {
		return nil, fmt.Errorf("read the agents' revisions: %w", err)
	}
	out := make(map[int64]farm.AgentRevision, len(rows))
	for _, p := range rows {
		out[p.id] = p.r
	}
	return out, nil
}

// SeenAgent notes that an agent was connected, and what it says it is.
func (d *DB) SeenAgent(ctx context.Context, id int64, version, platform string, at time.Time) error {
	const q = `UPDATE agents SET version = $1, platform = $2, last_seen = $3 WHERE id = $4`
	if _, err := d.write.ExecContext(ctx, q, version, platform, ms(at), id); err != nil {
		return fmt.Errorf("note that agent %d was seen: %w", id, err)
	}
	return nil
}

// UpdateAgent writes an agent's name and site. Its printers move with it.
func (d *DB) UpdateAgent(ctx context.Context, a farm.Agent) (out farm.Agent, err error) {
	err = d.change(ctx, func(t *tx) error {
		const q = `UPDATE agents SET name = $1, site_id = $2, revision = revision + 1 WHERE id = $3 RETURNING ` + agentColumns
		if out, err = scanAgent(t.QueryRowContext(ctx, q, a.Name, a.SiteID, a.ID)); err != nil {
			err = dangling(err, farm.Invalid, "site_id: site %d does not exist", a.SiteID)
			return notFound(err, "agent %d does not exist", a.ID)
		}
		if _, err = t.ExecContext(ctx, `UPDATE printers SET site_id = $1 WHERE agent_id = $2`, a.SiteID, a.ID); err != nil {
			return err
		}
		t.tell(agentEvent(farm.EventAgentUpdated, out))
		return nil
	})
	return out, err
}

// RevokeAgent ends an agent's right to connect, for good. Revoking twice is once.
func (d *DB) RevokeAgent(ctx context.Context, id int64) (out farm.Agent, err error) {
	err = d.change(ctx, func(t *tx) error {
		const q = `UPDATE agents SET revoked = TRUE, revision = revision + 1 WHERE id = $1 AND NOT revoked RETURNING ` + agentColumns
		if out, err = scanAgent(t.QueryRowContext(ctx, q, id)); err == nil {
			t.tell(agentEvent(farm.EventAgentRevoked, out))
			return nil
		}
		out, err = scanAgent(t.QueryRowContext(ctx, `SELECT `+agentColumns+` FROM agents WHERE id = $1`, id))
		return notFound(err, "agent %d does not exist", id)
	})
	return out, err
}

// DeleteAgent removes an agent. One that owns printers must be revoked first;
// they are then without an agent until somebody gives them one.
func (d *DB) DeleteAgent(ctx context.Context, id int64) error {
	return d.change(ctx, func(t *tx) error {
		const free = `UPDATE printers SET agent_id = NULL WHERE agent_id IN (SELECT id FROM agents WHERE id = $1 AND revoked)`
		if _, err := t.ExecContext(ctx, free, id); err != nil {
			return err
		}
		a, err := scanAgent(t.QueryRowContext(ctx, `DELETE FROM agents WHERE id = $1 RETURNING `+agentColumns, id))
		if err != nil {
			err = dangling(err, farm.Conflict, "agent %d still holds printers: move or remove them, or revoke the agent first", id)
			return notFound(err, "agent %d does not exist", id)
		}
		t.tell(agentEvent(farm.EventAgentRemoved, a))
		return t.giveUpPulls(ctx, id)
	})
}

func agentEvent(kind string, a farm.Agent) farm.Event {
	return farm.Event{
		Kind: kind, AgentID: a.ID, SiteID: a.SiteID,
		Data: []byte(text(map[string]any{"agent_id": a.ID, "agent_name": a.Name})),
	}
}
