package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// program is one of the real binaries as a process of its own, which can be killed and
// started again on the same data. It ends with the test that made it.
type program struct {
	t    testing.TB
	name string
	path string
	args []string
	env  []string
	log  *os.File // what all its processes say

	mu      sync.Mutex
	cmd     *exec.Cmd
	over    chan struct{} // closed when the process has ended and said everything
	err     error         // how it ended, once over is closed
	deadly  string        // the process is killed when it says this
	said    []byte        // the end of what was said since deadly was set
	wounded chan struct{} // closed when that has happened
}

func newProgram(t testing.TB, dir, name, path string, args ...string) *program {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, name: name, path: path, args: args, log: log}
	t.Cleanup(func() {
		p.kill()
		_ = log.Close()
	})
	return p
}

// start begins a process. The one before must be over.
func (p *program) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	cmd := exec.Command(p.path, p.args...)
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr = p, p
	cmd.WaitDelay = 5 * time.Second                                    // should a child of its own hold the pipe
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a test that is killed cleans nothing up
	if err := cmd.Start(); err != nil {
		p.t.Errorf("start %s: %v", p.name, err)
		return
	}
	over := make(chan struct{})
	p.cmd, p.over = cmd, over
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(over)
	}()
}

// Write takes what the process says into the log, and kills it when it is what is waited for.
func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.deadly != "" {
		if p.said = append(p.said, b...); bytes.Contains(p.said, []byte(p.deadly)) {
			p.deadly = ""
			_ = p.cmd.Process.Kill()
			close(p.wounded)
		}
		const longest = 4096 // a line that came in two pieces is found all the same
		p.said = p.said[max(0, len(p.said)-longest):]
	}
	return p.log.Write(b)
}

// killAt has the process killed the moment it says a text. The channel is closed then.
func (p *program) killAt(text string) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadly, p.said, p.wounded = text, nil, make(chan struct{})
	return p.wounded
}

// kill ends the process as a power cut does, and waits until it is gone.
func (p *program) kill() { _ = p.end(os.Kill) }

// end sends a signal, waits until the process is gone and tells how it ended.
func (p *program) end(s os.Signal) error {
	p.mu.Lock()
	cmd, over := p.cmd, p.over
	p.deadly = ""
	p.mu.Unlock()
	if cmd == nil {
		return nil
	}
	if err := cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("%s: %v", p.name, err)
	}
	select {
	case <-over:
	case <-time.After(20 * time.Second):
		p.t.Errorf("%s does not end, it is killed", p.name)
		_ = cmd.Process.Kill()
		<-over
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = nil
	return p.err
}

// stop ends the process in good order.
func (p *program) stop() {
	if err := p.end(syscall.SIGTERM); err != nil {
		p.t.Errorf("%s ended with %v", p.name, err)
	}
}

// text is all that was said so far.
func (p *program) text() string {
	b, err := os.ReadFile(p.log.Name())
	if err != nil {
		p.t.Error(err)
	}
	return string(b)
}

// command runs a binary to its end and gives what it prints.
func command(t testing.TB, dir, path string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0") // as make build does
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", filepath.Base(path), args, err, problems.String())
	}
	return strings.TrimSpace(string(out))
}

// binaries builds the three programs, without the race detector.
func binaries(t testing.TB) (dir string) {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go to build the programs with")
	}
	dir = t.TempDir()
	for name, source := range map[string]string{
		"bambuddy-hub": "./hub", "bambuddy-agent": "./agent", "bambuddy-simulator": "./shared/simprinter/bambuddy-simulator",
	} {
		command(t, "../..", "go", "build", "-trimpath", "-o", filepath.Join(dir, name), source)
	}
	return dir
}

// freePorts gives addresses of the loopback where nobody listens.
func freePorts(t testing.TB, n int) (out []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }() // all at the end, so that none is given twice
		out = append(out, l.Addr().String())
	}
	return out
}

// s3Server is versitygw over a folder whose folders are its buckets.
func s3Server(t testing.TB, dir string) (server *program, endpoint string) {
	t.Helper()
	out, err := exec.Command("go", "tool", "-modfile=../tools/go.mod", "-n", "versitygw").Output()
	if err != nil {
		t.Skipf("the S3 server versitygw cannot be built: %v", err)
	}
	address, data := freePorts(t, 1)[0], filepath.Join(dir, "s3")
	if err := os.MkdirAll(filepath.Join(data, s3Bucket), 0o700); err != nil {
		t.Fatal(err)
	}
	p := newProgram(t, dir, "s3", strings.TrimSpace(string(out)), "--port", address, "--quiet", "posix", data)
	p.env = []string{"ROOT_ACCESS_KEY=" + s3Key, "ROOT_SECRET_KEY=" + s3Secret}
	p.start()
	return p, "http://" + address
}

const s3Bucket, s3Key, s3Secret = "archive", "testkey", "testsecret"

// until asks again and again in real time.
func until(t testing.TB, what string, most time.Duration, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(most); !holds(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, most)
		}
	}
}

// pause waits in real time and tells whether that was not ended.
func pause(end <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-end:
		return false
	}
}

// keepLogs copies the logs of a test that failed to where they stay.
func keepLogs(t testing.TB, programs []*program, more map[string][]byte) {
	t.Helper()
	dir, err := os.MkdirTemp("", "bambuddy-killed-")
	if err != nil {
		t.Error(err)
		return
	}
	for _, p := range programs {
		more[p.name+".log"] = []byte(p.text())
	}
	for name, data := range more {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Error(err)
		}
	}
	t.Logf("the logs are in %s", dir)
}

// complaints are the lines of a log that no fault of these tests excuses.
func complaints(log string) (out []string) {
	for line := range strings.Lines(log) {
		if slices.ContainsFunc([]string{"panic:", "records of an agent are missing", "is not understood and passed over", "cannot be read, it is looked at anew", "DATA RACE"},
			func(bad string) bool { return strings.Contains(line, bad) }) {
			out = append(out, fmt.Sprintf("%.300s", line))
		}
	}
	return out
}
