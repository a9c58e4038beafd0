package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"bambuddy/shared/simprinter"
)

// watched is a stderr that tells when a line was written.
type watched struct {
	mu    sync.Mutex
	text  bytes.Buffer
	lines chan struct{}
}

func (w *watched) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.text.Write(b)
	select {
	case w.lines <- struct{}{}:
	default:
	}
	return n, err
}

func (w *watched) until(t *testing.T, ctx context.Context, re string) []string {
	t.Helper()
	for {
		w.mu.Lock()
		m := regexp.MustCompile(re).FindStringSubmatch(w.text.String())
		w.mu.Unlock()
		if m != nil {
			return m
		}
		select {
		case <-w.lines:
		case <-ctx.Done():
			t.Fatalf("it ended without %s: %s", re, w.text.String())
		}
	}
}

// The program starts, writes its inventory, takes commands and ends when told.
func TestRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "inventory.json")
	ctx, stop := context.WithCancel(t.Context())
	ended, end := context.WithCancel(t.Context())
	log := &watched{lines: make(chan struct{}, 64)}
	over := make(chan error, 1)
	go func() {
		defer end()
		over <- run(ctx, []string{
			"--printers", "4", "--model", "A1,P1S", "--address", "127.0.0.1", "--base-port", "0", "--inventory", file,
			"--speed", "60", "--control", "127.0.0.1:0", "--real-limits", "--print", "--ssdp", "127.0.0.1:9",
		}, io.Discard, log)
	}()
	url := log.until(t, ended, `http://127\.0\.0\.1:\d+`)[0]
	log.until(t, ended, "printers listen")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var inventory []simprinter.InventoryEntry
	if err := json.Unmarshal(b, &inventory); err != nil {
		t.Fatal(err)
	}
	if len(inventory) != 4 || inventory[0].Model != "A1" || inventory[1].Model != "P1S" || inventory[3].MQTTPort == 0 || inventory[3].CameraPort == 0 {
		t.Errorf("%s", b)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file with access codes: %v %v", info.Mode(), err)
	}
	resp, err := http.Get(url + "/printers")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var states []simprinter.State
	if err := json.NewDecoder(resp.Body).Decode(&states); err != nil || len(states) != 4 {
		t.Errorf("%v %v", states, err)
	}
	stop()
	if err := <-over; err != nil {
		t.Error(err)
	}
}

// With their real ports the printers stand at addresses of their own.
func TestRealPorts(t *testing.T) {
	address := fmt.Sprintf("127.%d.%d.1", 64+os.Getpid()>>8&63, os.Getpid()&255) // nobody else's
	l, err := net.Listen("tcp", net.JoinHostPort(address, "990"))
	if err != nil {
		t.Skipf("the ports cannot be used here: %v", err)
	}
	_ = l.Close()
	file := filepath.Join(t.TempDir(), "inventory.json")
	ctx, stop := context.WithCancel(t.Context())
	ended, end := context.WithCancel(t.Context())
	log := &watched{lines: make(chan struct{}, 64)}
	over := make(chan error, 1)
	go func() {
		defer end()
		over <- run(ctx, []string{"--real-ports", "--spread", "--printers", "2", "--model", "P1S,X1C", "--address", address, "--inventory", file}, io.Discard, log)
	}()
	log.until(t, ended, "printers listen")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var inventory []simprinter.InventoryEntry
	if err := json.Unmarshal(b, &inventory); err != nil || len(inventory) != 2 {
		t.Fatalf("%v %s", err, b)
	}
	for i, camera := range []int{6000, 322} {
		e := inventory[i]
		if e.MQTTPort != 8883 || e.FTPSPort != 990 || e.CameraPort != camera || (e.IPAddress == address) != (i == 0) {
			t.Errorf("%+v", e)
		}
		for _, port := range []int{8883, 990, camera} {
			c, err := net.Dial("tcp", net.JoinHostPort(e.IPAddress, fmt.Sprint(port)))
			if err != nil {
				t.Fatal(err)
			}
			_ = c.Close()
		}
	}
	stop()
	if err := <-over; err != nil {
		t.Error(err)
	}
}

// A wrong command line is one line on stderr and exit code 2.
func TestWrongFlags(t *testing.T) {
	for _, args := range [][]string{
		{"--coffee"},
		{"--printers", "0"},
		{"--printers", "many"},
		{"--speed", "0"},
		{"--model", "Z9"},
		{"--base-port", "65530", "--printers", "20"},
		{"--base-port=-1"},
		{"--ssdp", "nowhere"},
		{"--detect", "3000", "--printers", "2"},
		{"--detect", "70000"},
		{"--spread", "--address", "printer"},
		{"--real-ports", "--printers", "2"},
		{"--real-ports", "--spread", "--printers", "2", "--base-port", "18883"},
		{"--log-level", "loud"},
		{"--control", "nowhere:99999999", "--address", "127.0.0.1", "--base-port", "0"},
		{"stray"},
	} {
		var out bytes.Buffer
		err := run(t.Context(), args, io.Discard, &out)
		var usage usageError
		if !errors.As(err, &usage) {
			t.Errorf("%v: %v", args, err)
		}
		if lines := strings.Count(plain(out.String()), "\n"); lines != 1 {
			t.Errorf("%v: %d lines: %s", args, lines, out.String())
		}
	}
}

// plain leaves out what the log says.
func plain(s string) string {
	var out strings.Builder
	for line := range strings.Lines(s) {
		if strings.HasPrefix(line, "bambuddy-simulator: ") {
			out.WriteString(line)
		}
	}
	return out.String()
}

func TestVersion(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--version"}, &out, io.Discard); err != nil || strings.TrimSpace(out.String()) == "" {
		t.Errorf("%q %v", out.String(), err)
	}
}

// An address that cannot be listened at is an error that names the printer.
func TestBusyPort(t *testing.T) {
	var out bytes.Buffer
	err := run(t.Context(), []string{"--address", "203.0.113.1", "--base-port", "0"}, io.Discard, &out)
	if err == nil || !strings.Contains(out.String(), "open printer") {
		t.Errorf("%v %s", err, out.String())
	}
}
