package capture

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"bambuddy/agent/internal/outbox"
	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// A journal that cannot be written delays captures and loses none.
func TestBrokenJournal(t *testing.T) {
	bubble(t, 0, func(r *rig) {
		model := sliced3MF(t, "a", 50, 1)
		r.put("/cache/x.3mf", model)
		r.start(runA, cloudPrint("x", 1))
		r.set(func() { r.spoil = errors.New("disk full") })
		r.after(time.Hour)
		r.pending(runA, wire.RoleModel)
		if r.lists > 250 {
			t.Errorf("%d listings in an hour", r.lists)
		}
		r.set(func() { r.spoil = nil })
		r.after(2 * time.Minute)
		r.got(runA, wire.RoleModel, model)
		r.got(runA, wire.RoleThumbnail, picture(1))
		r.idle()
	})
}

// While the printer fetches the job itself, looks without a result do not count.
func TestLongPrepare(t *testing.T) {
	bubble(t, 0, func(r *rig) {
		model := sliced3MF(t, "a", 50, 1)
		r.start(runA, cloudPrint("x", 1))
		r.set(func() { r.status.Job.GcodeState = "PREPARE" })
		r.after(20 * time.Minute)
		r.set(func() { r.status.Job.GcodeState = "RUNNING" })
		r.after(10 * time.Second)
		r.put("/cache/x.3mf", model)
		r.after(40 * time.Second)
		r.got(runA, wire.RoleModel, model)
	})
}

// crowd is many printers that count what happens on them.
type crowd struct {
	mu       sync.Mutex
	on       map[string]int
	peak     int
	last     map[string]time.Time
	mistakes []string
	endless  bool
	model    []byte
}

func (c *crowd) enter(serial string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on[serial]++
	c.peak = max(c.peak, len(c.on))
	if c.on[serial] > 1 {
		c.mistakes = append(c.mistakes, serial+": two operations at once")
	}
	if rest := time.Since(c.last[serial]); rest < breath {
		c.mistakes = append(c.mistakes, fmt.Sprintf("%s: an operation %v after the one before", serial, rest))
	}
}

func (c *crowd) leave(serial string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.on[serial]--; c.on[serial] == 0 {
		delete(c.on, serial)
	}
	c.last[serial] = time.Now()
}

func (c *crowd) List(_ context.Context, serial, path string) (wire.FileList, error) {
	c.enter(serial)
	defer c.leave(serial)
	time.Sleep(500 * time.Millisecond)
	switch {
	case c.endless && path == "/":
		return wire.FileList{}, farm.Errorf(farm.Unavailable, "the printer's listing is too long")
	case path != "/":
		return wire.FileList{}, nil
	}
	return wire.FileList{Entries: []wire.FileEntry{{Name: "x.gcode.3mf", Size: int64(len(c.model))}}}, nil
}

func (c *crowd) Download(_ context.Context, serial, path string, size func(int64), to io.Writer) error {
	c.enter(serial)
	defer c.leave(serial)
	time.Sleep(2 * time.Second)
	if path != "/x.gcode.3mf" {
		return farm.Errorf(farm.FileUnavailable, "no such file")
	}
	size(int64(len(c.model)))
	_, err := to.Write(c.model)
	return err
}

// crowded runs captures of n printers for a while, each with a print.
func crowded(r *rig, c *crowd, n int, d time.Duration) (stored int) {
	r.t.Helper()
	c.on, c.last = map[string]int{}, map[string]time.Time{}
	r.stop()
	captures := New(Options{
		Outbox: r.outbox, Files: c, Photos: r, Workers: 3, Log: r.capture.o.Log,
		Live: func(string) (bambu.Status, bool) { return bambu.Status{}, true },
	})
	ctx, cancel := context.WithCancel(r.ctx)
	over := make(chan error, 1)
	go func() { over <- captures.Run(ctx) }()
	r.stop = func() {
		cancel()
		if err := <-over; err != nil {
			r.t.Error(err)
		}
	}
	for k := range n {
		rec := wire.OutboxRecord{Kind: wire.PrintStarted, Print: &wire.PrintRecord{RunID: fmt.Sprint("run-", k), Name: "x", Plate: bambu.Some(1)}}
		who := fmt.Sprint("printer-", k)
		if _, err := r.outbox.Commit(r.ctx, outbox.Change{Serial: who, Records: []wire.OutboxRecord{rec}, Tasks: Tasks(who, rec)}); err != nil {
			r.t.Fatal(err)
		}
	}
	captures.Wake()
	r.after(d)
	page, err := r.outbox.Page(r.ctx, r.outbox.Epoch(), 0, 500)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, rec := range page.Records {
		if rec.Kind == wire.FileReady && rec.File.Role == wire.RoleModel {
			stored++
		}
	}
	for _, m := range c.mistakes {
		r.t.Error(m)
	}
	return stored
}

// One operation per printer at a time, with a pause between, and few printers at once.
func TestModesty(t *testing.T) {
	bubble(t, 0, func(r *rig) {
		c := &crowd{model: sliced3MF(t, "a", 50, 1)}
		if n := crowded(r, c, 40, 10*time.Minute); n != 40 {
			t.Errorf("%d of 40 prints have their file", n)
		}
		if c.peak != 3 {
			t.Errorf("%d printers at once, want 3", c.peak)
		}
	})
}

// disk has one big file in its root.
type disk struct {
	path string
	size int64
}

func (d disk) List(_ context.Context, _, path string) (wire.FileList, error) {
	if path != "/" {
		return wire.FileList{}, nil
	}
	return wire.FileList{Entries: []wire.FileEntry{{Name: "x.gcode.3mf", Size: d.size}}}, nil
}

func (d disk) Download(_ context.Context, _, _ string, size func(int64), to io.Writer) error {
	f, err := os.Open(d.path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	size(d.size)
	_, err = io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{f}, make([]byte, 64<<10))
	return err
}

// A file of 200 MB takes no more memory than a small one.
func TestMemory(t *testing.T) {
	const size = 200 << 20
	path := filepath.Join(t.TempDir(), "big.3mf")
	bigModel(t, path, size)
	bubble(t, 1<<30, func(r *rig) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r.stop()
		r.runWith(disk{path, info.Size()})
		r.start(runA, wire.PrintRecord{Name: "x", File: "x.gcode.3mf", Plate: bambu.Some(1), Timelapse: bambu.Some(false)})
		r.after(20 * time.Second)
		runtime.ReadMemStats(&after)
		if f := r.of(runA, wire.RoleModel); f == nil || f.Size != info.Size() {
			t.Fatalf("not captured: %+v\n%s", f, &r.log)
		}
		used := after.TotalAlloc - before.TotalAlloc
		t.Logf("%d MB captured with %.1f MB allocated in all", info.Size()>>20, float64(used)/(1<<20))
		if used > 16<<20 {
			t.Errorf("%d bytes allocated", used)
		}
	})
}

// bigModel writes a sliced 3MF whose G-code does not shrink.
func bigModel(t *testing.T, path string, size int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z := zip.NewWriter(f)
	for name, text := range map[string]string{
		"3D/3dmodel.model":           `<?xml version="1.0"?><model unit="millimeter" xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02"><resources/><build/></model>`,
		"Metadata/slice_info.config": `<?xml version="1.0"?><config><plate><metadata key="index" value="1"/></plate></config>`,
		"Metadata/plate_1.png":       string(picture(1)),
	} {
		w, err := z.Create(name)
		if err == nil {
			_, err = io.WriteString(w, text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	w, err := z.CreateHeader(&zip.FileHeader{Name: "Metadata/plate_1.gcode", Method: zip.Store})
	if err != nil {
		t.Fatal(err)
	}
	block := bytes.Repeat([]byte("G1 X1 Y1\n"), 100_000)
	_, err = io.WriteString(w, "; HEADER_BLOCK_START\n; total layer number: 50\n; HEADER_BLOCK_END\n")
	for n := int64(0); n < size && err == nil; n += int64(len(block)) {
		_, err = w.Write(block)
	}
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
}

// In a folder that cannot be listed the names are tried.
func TestEndlessFolder(t *testing.T) {
	bubble(t, 0, func(r *rig) {
		c := &crowd{model: sliced3MF(t, "a", 50, 1), endless: true}
		if n := crowded(r, c, 1, 5*time.Minute); n != 1 {
			t.Errorf("%d files, want 1\n%s", n, &r.log)
		}
	})
}
