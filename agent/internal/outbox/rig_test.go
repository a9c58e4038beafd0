package outbox

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"bambuddy/shared/wire"
)

func open(t *testing.T, dir string, change ...func(*Options)) *Outbox {
	t.Helper()
	o := Options{Dir: dir, ProcessID: "boot", Started: time.Now(), Quota: 1 << 20, Log: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&o)
	}
	b, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func started(run string) wire.OutboxRecord {
	return wire.OutboxRecord{Kind: wire.PrintStarted, Print: &wire.PrintRecord{RunID: run, Seq: 1, Name: "Benchy"}}
}

func commit(t *testing.T, b *Outbox, c Change) int64 {
	t.Helper()
	n, err := b.Commit(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func page(t *testing.T, b *Outbox, after int64) wire.OutboxPage {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	p, err := b.Page(ctx, b.Epoch(), after, wire.MaxOutboxPage)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func kept(t *testing.T, b *Outbox, text string) NewFile {
	t.Helper()
	s, err := b.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	f, err := s.Keep()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func ready(run string, f NewFile) wire.OutboxRecord {
	return wire.OutboxRecord{Kind: wire.FileReady, File: &wire.FileRecord{RunID: run, Role: wire.RoleModel, SHA256: f.SHA256, Size: f.Size, Name: "a.3mf"}}
}

func text(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}
