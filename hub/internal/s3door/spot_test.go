package s3door

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// spot is where clients run, and how they reach the door from there.
type spot struct {
	endpoint string   // host:port
	inside   []string // what a command has to be preceded by
}

// command is a program at the spot, which ends with the test.
func (p spot) command(t *testing.T, env []string, name string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	line := append(slices.Clone(p.inside), append([]string{path}, args...)...)
	cmd := exec.CommandContext(t.Context(), line[0], line[1:]...)
	cmd.Env, cmd.Dir = append(plainEnviron(), env...), t.TempDir()
	return cmd
}

// plainEnviron is the environment without what other S3 stores and proxies are
// reached by from here.
func plainEnviron() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(strings.ToUpper(v), "=")
		return strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "RCLONE_") || strings.HasSuffix(name, "_PROXY")
	})
}

// filesIn counts the files below a folder.
func filesIn(t *testing.T, dir string) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// run runs a program that is to go well, and gives its output.
func (p spot) run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := p.command(t, env, name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, &stderr)
	}
	return string(out)
}

// refused runs a program that is to fail for the given reason.
func (p spot) refused(t *testing.T, env []string, reason, name string, args ...string) {
	t.Helper()
	out, err := p.command(t, env, name, args...).CombinedOutput()
	var ended *exec.ExitError
	if !errors.As(err, &ended) || !strings.Contains(string(out), reason) {
		t.Errorf("%s %v: %v, want a refusal that says %s\n%s", name, args, err, reason, out)
	}
}

func loopback(t *testing.T, r *rig) spot {
	return spot{endpoint: listen(t, r, "127.0.0.1:0")}
}

// listen serves the door at an address until the test is over.
func listen(t *testing.T, r *rig, address string) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server, done := r.door.Server(), make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// namespace is another machine, as far as the network goes: it shares a wire with
// this one and nothing else.
func namespace(t *testing.T, r *rig) spot {
	ip, err := exec.LookPath("ip")
	if err != nil {
		t.Skip("iproute2 is not installed")
	}
	n := os.Getpid()
	name, here, there := fmt.Sprintf("bambuddy-%d", n), fmt.Sprintf("bbh%d", n%1e6), fmt.Sprintf("bbn%d", n%1e6)
	net4 := fmt.Sprintf("198.18.%d.%d", n>>6&255, n&63<<2) // of the range for tests between networks
	base := strings.TrimSuffix(net4, fmt.Sprint(n&63<<2))
	address := func(i int) string { return fmt.Sprint(base, n&63<<2+i) }
	do := func(args ...string) error {
		out, err := exec.CommandContext(t.Context(), ip, args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
		}
		return nil
	}
	if err := do("netns", "add", name); err != nil {
		t.Skipf("no other network namespace can be made here: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		if out, err := exec.CommandContext(ctx, ip, "netns", "delete", name).CombinedOutput(); err != nil {
			t.Errorf("delete the namespace: %v: %s", err, out)
		}
	})
	for _, args := range [][]string{
		{"link", "add", here, "type", "veth", "peer", "name", there, "netns", name},
		{"address", "add", address(1) + "/30", "dev", here},
		{"link", "set", here, "up"},
		{"-netns", name, "address", "add", address(2) + "/30", "dev", there},
		{"-netns", name, "link", "set", there, "up"},
	} {
		if err := do(args...); err != nil {
			t.Skipf("no wire to another network namespace can be laid here: %v", err)
		}
	}
	return spot{endpoint: listen(t, r, address(1)+":0"), inside: []string{ip, "netns", "exec", name}}
}
