package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	agentapp "bambuddy/agent/app"
	hubapp "bambuddy/hub/app"
	"bambuddy/shared/farm"
	"bambuddy/shared/simprinter"
)

// live is a farm over real sockets in this process, for measuring time.
type live struct {
	url, key string
	farm     *simprinter.Farm
}

func startLive(b *testing.B, specs []simprinter.Spec) *live {
	b.Helper()
	quiet := slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 3)
	parts := 0
	run := func(part func(context.Context) error) {
		parts++
		go func() { done <- part(ctx) }()
	}
	b.Cleanup(func() {
		cancel()
		for range parts {
			if err := <-done; err != nil {
				b.Error(err)
			}
		}
	})
	farmOfPrinters, err := simprinter.NewFarm(specs, simprinter.Options{})
	if err != nil {
		b.Fatal(err)
	}
	run(farmOfPrinters.Run)
	<-farmOfPrinters.Ready()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	v := &live{url: "http://" + l.Addr().String(), farm: farmOfPrinters}
	hubDir, agentDir := b.TempDir(), b.TempDir()
	run(func(ctx context.Context) error {
		return hubapp.Run(ctx, hubapp.Options{DataDir: hubDir, Listener: l, Log: quiet, Limits: farm.Limits{Read: 1 << 20, Write: 1 << 20, Control: 1 << 20}})
	})
	waitFor(b, "the hub", func() bool { _, err := get(v.url+"/health", ""); return err == nil })
	admin, err := hubapp.OpenAdmin(ctx, hubDir, "")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	key, err := admin.NewKey(ctx, "bench", farm.Permissions, farm.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	v.key = key.Reveal()
	token, _, err := admin.NewEnrolment(ctx, "Default", v.url)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := agentapp.Enroll(ctx, agentapp.EnrollOptions{DataDir: agentDir, Token: token}); err != nil {
		b.Fatal(err)
	}
	run(func(ctx context.Context) error {
		return agentapp.Run(ctx, agentapp.Options{DataDir: agentDir, Log: quiet})
	})
	register(b, v.url, v.key, farmOfPrinters.Inventory())
	return v
}

func register(b *testing.B, url, key string, inventory []simprinter.InventoryEntry) {
	b.Helper()
	for _, e := range inventory {
		body, err := json.Marshal(e)
		if err != nil {
			b.Fatal(err)
		}
		req, err := http.NewRequest(http.MethodPost, url+"/api/v1/printers", bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("X-API-Key", key)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusCreated {
			b.Fatalf("register %s: %s %s", e.SerialNumber, res.Status, text)
		}
	}
}

func get(url, key string) ([]byte, error) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-API-Key", key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	return io.ReadAll(res.Body)
}

// waitFor asks again and again in real time.
func waitFor(b *testing.B, what string, holds func() bool) {
	b.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !holds(); <-tick.C {
		if time.Now().After(end) {
			b.Fatalf("%s did not get ready", what)
		}
	}
}

// BenchmarkReportToStream measures from the moment a printer publishes a report
// to the moment a reader of /events has it, with 20 other printers reporting.
func BenchmarkReportToStream(b *testing.B) {
	specs, err := simprinter.Specs(21, []string{"X1C", "A1", "P1S"}, "127.0.0.1", 0)
	if err != nil {
		b.Fatal(err)
	}
	v := startLive(b, specs)
	req, err := http.NewRequest(http.MethodGet, v.url+"/api/v1/events", nil)
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("X-API-Key", v.key)
	waitFor(b, "every printer", func() bool {
		text, err := get(v.url+"/api/v1/printers", v.key)
		return err == nil && strings.Count(string(text), `"connected":true`) == len(specs)
	})
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	seen := make(chan string, 1024)
	go func() {
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, 4<<20)
		for lines.Scan() {
			if _, after, ok := strings.Cut(lines.Text(), `"file":"mark-`); ok {
				mark, _, _ := strings.Cut(after, ".3mf")
				seen <- mark
			}
		}
	}()
	printer := v.farm.Printers()[1] // an A1: small frames
	var took []time.Duration
	overtaken := 0
	for i := 0; b.Loop(); i++ {
		report := fmt.Appendf(nil, `{"t":0,"report":{"print":{"command":"push_status","msg":1,"gcode_file":"mark-%d.3mf"}}}`, i)
		var start time.Time
		// A reader may have a report before the printer is done with playing it.
		waitFor(b, "the printer", func() bool {
			start = time.Now()
			return printer.Replay(report) == nil
		})
		if shown(seen, strconv.Itoa(i)) {
			took = append(took, time.Since(start))
		} else {
			overtaken++
		}
	}
	if len(took) == 0 || overtaken > len(took)/100+1 {
		b.Fatalf("%d of %d reports were not seen", overtaken, overtaken+len(took))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// shown waits for a mark. The printer's own report may follow it so closely that
// the stream, where the newest wins, never shows it.
func shown(seen <-chan string, want string) bool {
	late := time.NewTimer(time.Second)
	defer late.Stop()
	for {
		select {
		case mark := <-seen:
			if mark == want {
				return true
			}
		case <-late.C:
			return false
		}
	}
}

// BenchmarkAgentProcess measures the memory and the processor time of a real
// agent process with simulated printers in another process, all of them changing
// every second (X1C, pretty frames of 11 KB) or every other (P1S, A1).
func BenchmarkAgentProcess(b *testing.B) {
	for _, printers := range []int{20, 100, 500} {
		b.Run(fmt.Sprint(printers), func(b *testing.B) {
			for b.Loop() {
				measureAgent(b, printers)
			}
		})
	}
}

func measureAgent(b *testing.B, printers int) {
	dir := b.TempDir()
	start := func(args ...string) *exec.Cmd {
		c := exec.Command(filepath.Join(dir, args[0]), args[1:]...)
		if err := c.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			_ = c.Process.Signal(syscall.SIGTERM)
			_ = c.Wait()
		})
		return c
	}
	output := func(args ...string) string {
		out, err := exec.Command(filepath.Join(dir, args[0]), args[1:]...).Output()
		if err != nil {
			b.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	for name, pkg := range map[string]string{"hub": "./hub", "agent": "./agent", "sim": "./shared/simprinter/bambuddy-simulator"} {
		c := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, name), pkg)
		c.Dir, c.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
		if out, err := c.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	inventory := filepath.Join(dir, "printers.json")
	start("sim", "--printers", strconv.Itoa(printers), "--model", "X1C,P1S,A1", "--address", "127.0.0.1", "--base-port", "0", "--inventory", inventory)
	start("hub", "serve", "--data", filepath.Join(dir, "h"), "--listen", address, "--limit-write", "100000", "--limit-read", "100000")
	url := "http://" + address
	waitFor(b, "the hub", func() bool { _, err := get(url+"/health", ""); return err == nil })
	key := output("hub", "apikey", "create", "--data", filepath.Join(dir, "h"), "--name", "bench", "--permissions", "read,admin")
	output("agent", "enroll", "--data", filepath.Join(dir, "a"), "--token", output("hub", "enrolment", "create", "--data", filepath.Join(dir, "h")))
	agent := start("agent", "run", "--data", filepath.Join(dir, "a"))
	var entries []simprinter.InventoryEntry
	waitFor(b, "the printers", func() bool {
		text, err := os.ReadFile(inventory)
		return err == nil && json.Unmarshal(text, &entries) == nil
	})
	register(b, url, key, entries)
	waitFor(b, "every session", func() bool {
		text, err := get(url+"/api/v1/printers", key)
		return err == nil && strings.Count(string(text), `"connected":true`) == printers
	})
	const span = 20 * time.Second
	settle := time.NewTimer(10 * time.Second)
	<-settle.C
	before := cpuTime(b, agent.Process.Pid)
	settle.Reset(span)
	<-settle.C
	used := cpuTime(b, agent.Process.Pid) - before
	b.ReportMetric(float64(residentKB(b, agent.Process.Pid))/1024, "MB-RSS")
	b.ReportMetric(used.Seconds()/span.Seconds()*100, "%core")
	b.ReportMetric(used.Seconds()/span.Seconds()*100/float64(printers)*20, "%core/20")
}

// cpuTime is what a process has used so far.
func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Skip("needs Linux's /proc")
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var ticks int
	for _, f := range fields[11:13] { // user and system time, in hundredths of a second
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func residentKB(b *testing.B, pid int) (kb int) {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Skip("needs Linux's /proc")
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	if _, err := fmt.Sscanf(after, "%d", &kb); err != nil {
		b.Fatal(err)
	}
	return kb
}
