package ftps

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// BenchmarkAgainstCurl moves the same file with this client and with curl, to
// and from the same vsftpd, in turns, and reports the share of curl's speed.
// Ours includes the question for the size before each transfer.
func BenchmarkAgainstCurl(b *testing.B) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		b.Skip("curl is not installed")
	}
	const size = 256 << 20
	v := startVsftpd(b)
	c := v.client()
	ctx := b.Context()
	local := filepath.Join(b.TempDir(), "local")
	if err := os.WriteFile(local, bytes.Repeat([]byte("0123456789abcdef"), size/16), 0o600); err != nil {
		b.Fatal(err)
	}
	run := func(args ...string) func() error {
		args = append([]string{"-sS", "-k", "--tls-max", "1.2", "-u", "anonymous:" + vsftpdCode}, args...)
		return func() error { return exec.Command(curl, args...).Run() }
	}
	ours, theirs := "/card/ours", "ftps://"+v.addr+"/card/curls"
	upload := func() error {
		f, err := os.Open(local)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		return c.Upload(ctx, x1Serial, ours, f, size, nil)
	}
	download := func() error {
		f, err := os.Create(local + ".back")
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		_, err = c.Download(ctx, x1Serial, ours, 0, f, nil)
		return err
	}
	for _, w := range []struct {
		name       string
		curl, mine func() error
	}{
		{"upload", run("-T", local, theirs), upload},
		{"download", run("-o", local+".back", theirs), download},
	} {
		b.Run(w.name, func(b *testing.B) {
			var curls, mines []time.Duration
			for b.Loop() {
				curls = append(curls, clocked(b, w.curl))
				mines = append(mines, clocked(b, w.mine))
			}
			curl, mine := median(curls), median(mines)
			b.ReportMetric(size/1e6/curl.Seconds(), "curl-MB/s")
			b.ReportMetric(size/1e6/mine.Seconds(), "ours-MB/s")
			b.ReportMetric(100*curl.Seconds()/mine.Seconds(), "%-of-curl")
		})
	}
}

func clocked(b *testing.B, do func() error) time.Duration {
	begun := time.Now()
	if err := do(); err != nil {
		b.Fatal(err)
	}
	return time.Since(begun)
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// Memory does not grow with the file.
func TestVsftpdConstantMemory(t *testing.T) {
	v := startVsftpd(t)
	c := v.client()
	const size = 64 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := c.Upload(t.Context(), x1Serial, "/card/big", zeroes{}, size, nil); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Download(t.Context(), x1Serial, "/card/big", 0, io.Discard, nil); err != nil || n != size {
		t.Fatalf("%d bytes, %v", n, err)
	}
	runtime.ReadMemStats(&after)
	if made := after.TotalAlloc - before.TotalAlloc; made > 16<<20 {
		t.Errorf("moving 2 × %d MiB allocated %d KiB", size>>20, made>>10)
	}
	if entries, err := c.List(t.Context(), x1Serial, "/card"); err != nil || len(entries) != 1 || !strings.HasPrefix(entries[0].Name, "big") {
		t.Errorf("%v, %v", entries, err)
	}
}
