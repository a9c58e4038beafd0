package camera

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bambuddy/shared/bambu"
)

// Sizes of the figures: a P1S or A1 sends pictures of this size this often.
const (
	cameras     = 10
	viewers     = 10
	pictureSize = 80 << 10
	pictureRate = 2 // a second
	measured    = 10 * time.Second
)

// camerasEnv tells the test's own binary to be the cameras, so that their work
// is not counted.
const camerasEnv = "BAMBUDDY_TEST_CAMERAS"

// TestCamerasProcess is the cameras of BenchmarkTenCameras.
func TestCamerasProcess(t *testing.T) {
	if os.Getenv(camerasEnv) == "" {
		t.Skip("nothing to test: BenchmarkTenCameras runs this in a process of its own, to leave its cost out of the figure")
	}
	data := make([]byte, pictureSize)
	_, _ = rand.Read(data)
	copy(data, []byte{0xff, 0xd8, 0xff, 0xe0})
	copy(data[len(data)-2:], []byte{0xff, 0xd9})
	l, err := tls.Listen("tcp", "127.0.0.1:0", serverTLS(t, serial))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(os.Stderr, "at", l.Addr())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer func() { _ = c.Close() }()
				_, _ = io.ReadFull(c, make([]byte, loginSize))
				for err := error(nil); err == nil; <-time.After(time.Second / pictureRate) {
					_, err = c.Write(pack(len(data), data))
				}
			})
		}
	})
	_, _ = io.Copy(io.Discard, os.Stdin) // until the benchmark ends
	_ = l.Close()
	all.Wait()
}

// BenchmarkTenCameras measures what ten viewers at each of ten cameras cost the
// agent: `go test -run xxx -bench TenCameras -benchtime 1x`.
func BenchmarkTenCameras(b *testing.B) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		b.Skip("no /proc:", err)
	}
	addr, stop := camerasProcess(b)
	defer stop()
	target := targetAt(bambu.CameraJPEG, addr)
	for b.Loop() {
		h := New(Options{
			Target: func(string) (Target, error) { return target, nil },
			Dial:   (&net.Dialer{}).DialContext, Log: slog.New(slog.DiscardHandler),
		})
		ctx, cancel := context.WithCancel(b.Context())
		var parts sync.WaitGroup
		parts.Go(func() { _ = h.Run(ctx) })
		var frames atomic.Int64
		for i := range cameras * viewers {
			v, err := h.Watch(ctx, fmt.Sprintf("%s%d", serial, i%cameras), JPEG, 0)
			if err != nil {
				b.Fatal(err)
			}
			parts.Go(func() {
				defer v.Close()
				for {
					if _, err := v.Next(ctx); err != nil {
						return
					}
					frames.Add(1)
				}
			})
		}
		<-time.After(2 * time.Second) // all are connected
		before, begun := cpu(b), frames.Load()
		<-time.After(measured)
		b.ReportMetric(100*(cpu(b)-before).Seconds()/measured.Seconds(), "%-of-a-core")
		b.ReportMetric(float64(frames.Load()-begun)/measured.Seconds(), "pictures/s")
		b.ReportMetric(memory(b), "MB-RSS")
		cancel()
		parts.Wait()
	}
}

func camerasProcess(b *testing.B) (addr string, stop func()) {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestCamerasProcess$")
	cmd.Env = append(os.Environ(), camerasEnv+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StderrPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimPrefix(strings.TrimSpace(line), "at "), func() {
		_ = in.Close()
		_ = cmd.Wait()
	}
}

// cpu is the processor time this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')'):]))
	const ticks = 100 // a second
	total := 0
	for _, f := range fields[12:14] { // utime and stime: fields 14 and 15 of all
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		total += n
	}
	return time.Duration(total) * time.Second / ticks
}

// memory is the resident memory of this process in MB.
func memory(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", "self", "status"))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		b.Fatal(err)
	}
	return float64(n) / 1024
}
