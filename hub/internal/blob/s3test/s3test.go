// Package s3test gives tests a real S3 server of their own: versitygw, which go tool
// builds from deploy/tools/go.mod into Go's cache, on a free port of the loopback. Where
// it cannot be built it skips with the reason.
package s3test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Server is a running server. It ends with the test that started it.
type Server struct {
	Endpoint  string // http://127.0.0.1:port, the same for its life
	AccessKey string
	SecretKey string

	binary  string
	address string
	data    string // one folder a bucket

	mu      sync.Mutex
	process *exec.Cmd
	said    *bytes.Buffer // what the process says, read when it has ended
}

// Start starts a server, or skips the test.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{AccessKey: "test" + rand.Text()[:12], SecretKey: rand.Text(), data: t.TempDir()}
	var err error
	if s.binary, err = build(); err != nil {
		t.Skipf("the S3 server versitygw cannot be built: %v", err)
	}
	const tries = 5 // a port found free may be another's a moment later
	for range tries {
		if s.address, err = freePort(t.Context()); err != nil {
			break
		}
		if err = s.start(t.Context()); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("start the S3 server: %v", err)
	}
	s.Endpoint = "http://" + s.address
	t.Cleanup(s.Kill)
	return s
}

// build gives the path of the binary. The first time takes some minutes, see
// deploy/scripts/test-deps.sh; test programs side by side wait for each other.
func build() (string, error) {
	root, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", failure(err)
	}
	release, err := onlyOne()
	if err != nil {
		return "", err
	}
	defer release()
	tools := filepath.Join(filepath.Dir(strings.TrimSpace(string(root))), "deploy", "tools", "go.mod")
	path, err := exec.Command("go", "tool", "-modfile="+tools, "-n", "versitygw").Output()
	if err != nil {
		return "", failure(err)
	}
	return strings.TrimSpace(string(path)), nil
}

func failure(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		lines := strings.Split(strings.TrimSpace(string(exit.Stderr)), "\n")
		return fmt.Errorf("%w: %s", err, lines[len(lines)-1])
	}
	return err
}

func freePort(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// Restart starts a server that was killed, on the same port and the same objects.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if err := s.start(t.Context()); err != nil {
		t.Fatalf("start the S3 server again: %v", err)
	}
}

// Kill ends the server at once, as a power cut does; the objects stay. Killing twice
// does no harm.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return
	}
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
	s.process = nil
}

// Bucket makes a bucket and gives its name.
func (s *Server) Bucket(t testing.TB) string {
	t.Helper()
	name := "test-" + strings.ToLower(rand.Text()[:10])
	if err := os.Mkdir(filepath.Join(s.data, name), 0o700); err != nil { // the server's folders are its buckets
		t.Fatal(err)
	}
	return name
}

func (s *Server) start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = &bytes.Buffer{}
	s.process = exec.Command(s.binary, "--port", s.address, "--quiet", "posix", s.data)
	s.process.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+s.AccessKey, "ROOT_SECRET_KEY="+s.SecretKey)
	s.process.Stdout, s.process.Stderr = s.said, s.said
	s.process.SysProcAttr = endWithUs()
	if err := s.process.Start(); err != nil {
		s.process = nil
		return err
	}
	if err := s.wait(ctx); err != nil {
		_ = s.process.Process.Kill()
		_ = s.process.Wait()
		s.process = nil
		return fmt.Errorf("%w: %s", err, s.said)
	}
	return nil
}

// wait waits until the server answers: anything, as long as it is an answer of its own.
func (s *Server) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ours, err := s.answers(ctx)
		if ours {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it did not get ready: %w", err)
		case <-tick.C:
		}
	}
}

func (s *Server) answers(ctx context.Context) (bool, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address+"/", http.NoBody)
	if err != nil {
		return false, err
	}
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		return false, err
	}
	defer func() { _ = answer.Body.Close() }()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return false, err
	}
	if by := answer.Header.Get("Server"); by != "VERSITYGW" {
		return false, fmt.Errorf("%q answers", by)
	}
	return true, nil
}
