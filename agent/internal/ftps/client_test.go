package ftps

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/ftpserver"
)

// Everything works with every kind of server, and nothing waits for an end that
// the server does not announce.
func TestEveryCharacter(t *testing.T) {
	for model, k := range map[string]ftpserver.Character{
		"X1C": ftpserver.VSFTPD(), "P1S": ftpserver.P1(), "A1": ftpserver.A1(), "A1MINI": ftpserver.A1(), "H2D": ftpserver.Neutral(),
	} {
		t.Run(model, func(t *testing.T) {
			bubble(t, model, k, func(_ *testing.T, r *rig) {
				begun := time.Now()
				everything(r)
				r.took("all", begun, 0, 10*time.Second)
				for _, l := range r.client.lanes.open {
					t.Errorf("something was remembered: %+v", l)
				}
			})
		})
	}
}

func everything(r *rig) {
	r.t.Helper()
	ctx, c := r.t.Context(), r.client
	content := noise(300_000)
	name := "/cache/Clämshell Parts – Box 3.gcode.3mf"
	r.want("upload", r.upload(name, content), "")
	r.want("upload of nothing", r.upload("/nothing", nil), "")
	r.holds(name, content)
	r.holds("/nothing", nil)
	for _, offset := range []int64{1, 299_999, 300_000} {
		got, err := r.download(name, offset)
		if err != nil || !bytes.Equal(got, content[offset:]) {
			r.t.Errorf("from %d: %d bytes, %v", offset, len(got), err)
		}
	}
	if n, err := c.Size(ctx, r.serial, name); err != nil || n != 300_000 {
		r.t.Errorf("size: %d, %v", n, err)
	}
	root, err := c.List(ctx, r.serial, "/")
	if err != nil || len(root) != 2 {
		r.t.Errorf("root: %v, %v", root, err)
	}
	cache, err := c.List(ctx, r.serial, "/cache")
	if err != nil || len(cache) != 1 || "/cache/"+cache[0].Name != name || cache[0].Dir || cache[0].Size != 300_000 || cache[0].Modified.IsZero() {
		r.t.Errorf("cache: %v, %v", cache, err)
	}
	h, err := c.Probe(ctx, r.target(), true)
	if err != nil || !h.Writable || h.WriteError != "" || !h.Encrypted || !h.Resumed || h.Entries != 2 {
		r.t.Errorf("probe: %+v, %v", h, err)
	}
	r.want("delete", c.Delete(ctx, r.serial, name), "")
	r.want("delete again", c.Delete(ctx, r.serial, name), farm.FileUnavailable)
	r.want("size of nothing", second(c.Size(ctx, r.serial, name)), farm.FileUnavailable)
	r.want("download of nothing", second(r.download(name, 0)), farm.FileUnavailable)
	r.want("list of nothing", second(c.List(ctx, r.serial, "/nowhere")), farm.FileUnavailable)
	r.want("stranger", c.Delete(ctx, "01P00A000000009", name), farm.NotFound)
}

func TestFetch(t *testing.T) {
	bubble(t, "X1C", ftpserver.VSFTPD(), func(t *testing.T, r *rig) {
		dir := t.TempDir()
		file := filepath.Join(dir, "job.3mf")
		if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		content := noise(100_000)
		if err := r.files.Put("/job.3mf", content); err != nil {
			t.Fatal(err)
		}
		r.quirk(ftpserver.Quirks{DropAfter: 50_000})
		r.want("cut", r.client.Fetch(t.Context(), r.serial, "/job.3mf", file, nil), farm.PrinterNotConnected)
		if got, _ := os.ReadFile(file); string(got) != "old" {
			t.Errorf("after a failure the file holds %d bytes", len(got))
		}
		r.quirk(ftpserver.Quirks{})
		var last, total int64
		r.want("fetch", r.client.Fetch(t.Context(), r.serial, "/job.3mf", file, func(d, n int64) { last, total = d, n }), "")
		if got, _ := os.ReadFile(file); !bytes.Equal(got, content) || last != 100_000 || total != last {
			t.Errorf("fetched %d bytes, progress %d of %d", len(got), last, total)
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("left over: %v", left)
		}
	})
}

// A sink and a source that fail are told apart from a printer that does, and the
// printer does not take a part for the whole.
func TestOurOwnSideFails(t *testing.T) {
	bubble(t, "X1C", ftpserver.VSFTPD(), func(t *testing.T, r *rig) {
		broken := errors.New("disk full")
		if err := r.files.Put("/a", noise(200_000)); err != nil {
			t.Fatal(err)
		}
		_, err := r.client.Download(t.Context(), r.serial, "/a", 0, failing{broken}, nil)
		if !errors.Is(err, broken) {
			t.Errorf("download: %v", err)
		}
		if err := r.client.Upload(t.Context(), r.serial, "/b", failing{broken}, 10, nil); !errors.Is(err, broken) {
			t.Errorf("upload: %v", err)
		}
		if err := r.client.Upload(t.Context(), r.serial, "/b", strings.NewReader("short"), 10, nil); err == nil || !strings.Contains(err.Error(), "5 bytes instead of 10") {
			t.Errorf("short upload: %v", err)
		}
		r.want("next", r.upload("/c", []byte("x")), "")
	})
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
func (f failing) Read([]byte) (int, error)  { return 0, f.err }

// Operations on one printer come one after the other, in the order of the calls.
func TestOneAtATime(t *testing.T) {
	bubble(t, "P1S", ftpserver.P1(), func(t *testing.T, r *rig) {
		r.quirk(ftpserver.Quirks{Rate: 10_000})
		var wg sync.WaitGroup
		var order []string
		for _, name := range []string{"/1", "/2", "/3"} {
			wg.Go(func() {
				done := func(done, total int64) {
					if done == total {
						order = append(order, name) // without a lock: the turn is one
					}
				}
				r.want(name, r.client.Upload(t.Context(), r.serial, name, bytes.NewReader(noise(100_000)), 100_000, done), "")
			})
			synctest.Wait()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := r.client.List(ctx, r.serial, "/")
		r.want("no patience", err, farm.PrinterBusy)
		wg.Wait()
		if strings.Join(order, "") != "/1/2/3" {
			t.Errorf("order %v", order)
		}
		if len(r.client.lanes.open) != 0 {
			t.Errorf("lanes left: %v", r.client.lanes.open)
		}
	})
}

// Cancelling ends an operation at once, wherever it stands.
func TestCancel(t *testing.T) {
	for what, q := range map[string]ftpserver.Quirks{
		"mute": {Mute: true}, "slow": {Rate: 1000}, "late": {LateReply: time.Hour}, "endless": {EndlessLists: true, Rate: 10},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, "X1C", ftpserver.VSFTPD(), func(t *testing.T, r *rig) {
				r.quirk(q)
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				begun := time.Now()
				var err error
				if q.EndlessLists {
					_, err = r.client.List(ctx, r.serial, "/")
				} else {
					err = r.client.Upload(ctx, r.serial, "/a", bytes.NewReader(noise(100_000)), 100_000, nil)
				}
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("cancelled: %v", err)
				}
				r.took("cancelling", begun, 3*time.Second, 3*time.Second)
			})
		})
	}
}

func TestCannotGetIn(t *testing.T) {
	bubble(t, "X1C", ftpserver.VSFTPD(), func(t *testing.T, r *rig) {
		ctx := t.Context()
		r.code = "87654321"
		_, err := r.client.List(ctx, r.serial, "/")
		r.want("wrong code", err, farm.PrinterNotConnected)
		if !strings.Contains(err.Error(), "access code") {
			t.Error(err)
		}
		r.code = "1234\r\nDELE /a"
		r.want("a code that is a command", second(r.client.List(ctx, r.serial, "/")), farm.PrinterNotConnected)
		r.code = code
		other := r.target()
		other.TLS = template("00M00A000000009")
		_, err = r.client.Probe(ctx, other, true)
		r.want("another printer", err, farm.PrinterNotConnected)
		if !strings.Contains(err.Error(), "not this printer") {
			t.Error(err)
		}
		other = r.target()
		other.Address = "printer:991"
		_, err = r.client.Probe(ctx, other, true)
		r.want("nobody there", err, farm.PrinterNotConnected)
		r.net.Cut("printer")
		begun := time.Now()
		r.want("cable out", second(r.client.List(ctx, r.serial, "/")), farm.PrinterNotConnected)
		r.took("giving up", begun, connectWait, connectWait)
		r.net.Heal("printer")
	})
}
