// Package pgtest gives tests a PostgreSQL server of their own: Debian's binaries
// on a socket in a directory of its own, without fsync, one server a test process
// and a fresh database a test. Where PostgreSQL is not installed it skips with the
// reason.
package pgtest

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// Server is a running server.
type Server struct {
	dir     string // its data and its socket
	process *exec.Cmd
	next    atomic.Int64
	missing string // why there is none
}

// Start starts a server, for TestMain; Stop it. Without PostgreSQL the server is
// one whose URL skips.
func Start() (*Server, error) {
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(bins) == 0 {
		return &Server{missing: "PostgreSQL is not installed (apt-get install postgresql)"}, nil
	}
	slices.Sort(bins)
	bin := filepath.Dir(bins[len(bins)-1])
	as, err := credential()
	if err != nil {
		return &Server{missing: err.Error()}, nil // a reason to skip
	}
	s := &Server{}
	if s.dir, err = os.MkdirTemp("", "pgtest"); err != nil {
		return nil, err
	}
	if err := s.start(bin, as); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// credential is whom the server runs as: it refuses to be root.
func credential() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil // nil is "as we are"
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("there is no user postgres to run the server as: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func (s *Server) start(bin string, as *syscall.Credential) error {
	if as != nil {
		if err := os.Chown(s.dir, int(as.Uid), int(as.Gid)); err != nil {
			return err
		}
	}
	attr := &syscall.SysProcAttr{Credential: as}
	data := filepath.Join(s.dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
	initdb.SysProcAttr, initdb.Dir = attr, s.dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	// A socket, not a port: one found free may be another's a moment later, and the
	// tests would run on a stranger's server.
	s.process = exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", s.dir, "-h", "",
		"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "max_connections=200")
	s.process.SysProcAttr, s.process.Dir = endWithUs(attr), s.dir
	if err := s.process.Start(); err != nil {
		return err
	}
	return s.wait()
}

func (s *Server) url(database string) string {
	return fmt.Sprintf("postgres://postgres@/%s?host=%s&sslmode=disable", database, url.QueryEscape(s.dir))
}

func (s *Server) wait() error {
	db, err := sql.Open("pgx", s.url("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if err = db.PingContext(ctx); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the PostgreSQL server did not get ready: %w", err)
		case <-tick.C:
		}
	}
}

// URL is the address of a fresh database, or skips the test.
func (s *Server) URL(t testing.TB) string {
	t.Helper()
	if s.missing != "" {
		t.Skip(s.missing)
	}
	db, err := sql.Open("pgx", s.url("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	name := fmt.Sprintf("test%d", s.next.Add(1))
	if _, err := db.ExecContext(context.Background(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return s.url(name)
}

// Stop stops the server and removes its files.
func (s *Server) Stop() {
	if s.process != nil && s.process.Process != nil {
		_ = s.process.Process.Signal(syscall.SIGQUIT) // at once: nothing of it is to be kept
		_ = s.process.Wait()
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}
