package store

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bambuddy/shared/farm"
)

// A setting misspelt in the address would be ignored without a word.
func TestEveryConnectionHasItsSettings(t *testing.T) {
	db := fresh(t, sqlite)
	for name, h := range map[string]struct {
		db        *sql.DB
		queryOnly string
	}{"write": {db.write, "0"}, "read": {db.read, "1"}} {
		for pragma, want := range map[string]string{
			"journal_mode": "wal", "synchronous": "2", "busy_timeout": "10000", "foreign_keys": "1", "query_only": h.queryOnly,
		} {
			var got string
			if err := h.db.QueryRowContext(t.Context(), `PRAGMA `+pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%s: %s is %q, %v; want %q", name, pragma, got, err, want)
			}
		}
	}
	if n := db.write.Stats().MaxOpenConnections; n != 1 {
		t.Errorf("%d connections write", n)
	}
}

func TestAnyDirectoryMayHoldTheDatabase(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "50% of a farm? yes #1 &x=y ümläut")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	opened(t, Config{Dir: dir})
	if _, err := os.Stat(filepath.Join(dir, "bambuddy.db")); err != nil {
		t.Error(err)
	}
}

// The address holds a password, and errors are logged and shown.
func TestNoErrorShowsThePassword(t *testing.T) {
	for _, url := range []string{
		"postgres://hub:hunter2@127.0.0.1:1/x?connect_timeout=1",
		"postgres://hub:hunter2@127.0.0.1:badport/x",
		"postgres://hub:hunter2@127.0.0.1:1/x?sslmode=nonsense",
		"postgres://hub:hunter2%zz@127.0.0.1/x",
		"mysql://hub:hunter2@127.0.0.1/x",
	} {
		_, err := Open(t.Context(), Config{URL: url})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// A full disk fails what is written and nothing else, and ends when there is room.
func TestAFullDisk(t *testing.T) {
	db := fresh(t, sqlite)
	ctx := t.Context()
	size := func(pages string) {
		if _, err := db.write.ExecContext(ctx, `PRAGMA max_page_count = `+pages); err != nil {
			t.Fatal(err)
		}
	}
	size("1") // the size it has
	big := farm.Event{Kind: "big", Data: []byte(`"` + strings.Repeat("x", 1<<20) + `"`)}
	_, err := db.AppendEvent(ctx, big)
	if err == nil || farm.CodeOf(err) != farm.Internal || !strings.Contains(err.Error(), "full") {
		t.Errorf("a full disk gave %v", err)
	}
	if len(must[[]farm.Site](t)(db.Sites(ctx))) != 1 || len(kinds(t, db)) != 0 {
		t.Error("what was refused left something behind")
	}
	size("1000000")
	if e := must[farm.Event](t)(db.AppendEvent(ctx, big)); e.ID != 1 {
		t.Errorf("the first event has id %d: a number was lost", e.ID)
	}
}

// A server that restarts costs what was under way, not the hub.
func TestPostgreSQLGoesAndComesBack(t *testing.T) {
	url := server.URL(t)
	db := opened(t, Config{URL: url})
	ctx := t.Context()
	other, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	err = db.change(ctx, func(tx *tx) error {
		tx.tell(farm.Event{Kind: "never"})
		const end = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`
		if _, err := other.ExecContext(ctx, end); err != nil {
			t.Error(err)
		}
		return nil
	})
	if err == nil || farm.CodeOf(err) != farm.Internal {
		t.Errorf("a connection that ended gave %v", err)
	}
	for range poolSize { // each connection that died may say so once
		if err = db.Ping(ctx); err == nil {
			break
		}
	}
	if err != nil || len(kinds(t, db)) != 0 {
		t.Errorf("afterwards: %v, events %v", err, kinds(t, db))
	}
	if _, err := db.AppendEvent(context.WithoutCancel(ctx), farm.Event{Kind: "after"}); err != nil {
		t.Error(err)
	}
}
