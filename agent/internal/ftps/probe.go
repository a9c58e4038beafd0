package ftps

import (
	"context"
	"errors"
	"strings"

	"bambuddy/shared/farm"
)

// Health is what Probe found at a printer's file server.
type Health struct {
	Banner   string // the server's greeting
	Folder   string // where a login begins
	Entries  int    // in the root; none at all often means no card or stick
	Writable bool   // a small file was written
	// WriteError is why it could not, for a person.
	WriteError string
	Encrypted  bool // data connections are; login always is
	Resumed    bool // data connections resume the session of the login
}

// probeFile is the name under which slicers try whether a printer takes files.
const probeFile = "/verify_job"

// Probe connects to a printer that need not be known yet, logs in, lists the
// root and, when it is to, writes and deletes a small file, as slicers do. It waits
// for its turn as every operation; farm.PrinterBusy when ctx's time is over before.
func (c *Client) Probe(ctx context.Context, t Target, write bool) (Health, error) {
	l, err := c.lanes.enter(ctx, t.Serial)
	if err != nil {
		return Health{}, err
	}
	defer c.lanes.leave(t.Serial, l)
	var h Health
	err = c.perhapsClear(ctx, t, l, func(ctx context.Context, s *session) error {
		h = Health{Banner: s.banner, Encrypted: !s.clear}
		return s.look(ctx, &h)
	})
	if err != nil {
		return h, explain(ctx, t, "/", err)
	}
	if !write {
		return h, nil
	}
	return h, c.probeWrite(ctx, t, l, &h)
}

func (s *session) look(ctx context.Context, h *Health) error {
	r, err := s.expect(2, "PWD", "")
	if err != nil {
		return err
	}
	if _, rest, ok := strings.Cut(r.text, `"`); ok {
		h.Folder, _, _ = strings.Cut(rest, `"`)
	}
	entries, err := s.list(ctx, "/")
	if err != nil {
		return err
	}
	h.Entries, h.Resumed = len(entries), s.resumed
	return nil
}

// probeWrite notes whether the storage takes files; an error only when the
// context ended.
func (c *Client) probeWrite(ctx context.Context, t Target, l *lane, h *Health) error {
	const text = "bambuddy"
	u := &upload{c: c, t: t, lane: l, path: probeFile, source: strings.NewReader(text), size: int64(len(text))}
	err := u.run(ctx)
	if err == nil {
		gone := c.once(ctx, t, l.clear, func(_ context.Context, s *session) error { return s.remove(probeFile) })
		if gone != nil { // some firmware removes it itself, and slicers leave it
			c.o.Log.Debug("the file of the probe stays", "printer", t.Serial, "path", probeFile, "error", gone)
		}
	}
	if err != nil && ctx.Err() != nil {
		return explain(ctx, t, probeFile, err)
	}
	h.Encrypted = !l.clear
	h.Writable = err == nil
	var said *farm.Error
	if errors.As(explain(ctx, t, probeFile, err), &said) {
		h.WriteError = said.Detail
	}
	return nil
}
