package capture

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/agent/internal/ftps"
	"bambuddy/agent/internal/outbox"
	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/ftpserver"
	"bambuddy/shared/memnet"
	"bambuddy/shared/wire"
)

const (
	code   = "12345678"
	serial = "00M00A000000001"
	runA   = "01930000-0000-7000-8000-00000000000a"
	runB   = "01930000-0000-7000-8000-00000000000b"
)

// rig is an agent's outbox and captures beside one printer, whose files are served by
// a real server and fetched by the real client, on a network in memory, in a bubble.
type rig struct {
	t       *testing.T
	ctx     context.Context
	dir     string
	outbox  *outbox.Outbox
	capture *Capture
	card    *ftpserver.Memory
	quirks  atomic.Pointer[ftpserver.Quirks]
	client  *ftps.Client
	log     bytes.Buffer
	stop    func()

	mu      sync.Mutex
	status  bambu.Status
	offline bool
	photo   func() ([]byte, error)
	lists   int
	spoil   error // what writing to the journal gives
	seq     int64
}

var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := rsaKey()
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: serial},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// bubble runs a test beside a printer. quota bounds the agent's
// store in bytes, 0: plenty.
func bubble(t *testing.T, quota int64, test func(r *rig)) {
	t.Helper()
	if _, err := rsaKey(); err != nil { // slow, and of no interest to the bubble
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		r := &rig{t: t, ctx: ctx, dir: t.TempDir(), card: ftpserver.NewMemory(64<<20, "/cache", "/timelapse")}
		r.quirks.Store(&ftpserver.Quirks{})
		r.photo = func() ([]byte, error) { return nil, farm.Errorf(farm.Unsupported, "no camera in this test") }
		net := memnet.New()
		l, err := net.Listen("printer:990")
		if err != nil {
			t.Fatal(err)
		}
		server := ftpserver.New(ftpserver.Options{
			TLS:   &tls.Config{MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate(t)}},
			Login: func(_, password string) bool { return password == code }, Storage: r.card,
			Character: ftpserver.VSFTPD(), Listen: net.Listen, Quirks: func() ftpserver.Quirks { return *r.quirks.Load() },
		})
		r.client = ftps.New(ftps.Options{
			Target: func(string) (ftps.Target, error) {
				return ftps.Target{Serial: serial, Address: "printer:990", AccessCode: code, TLS: clientTLS()}, nil
			},
			Dial: net.Dialer("agent"), Log: slog.New(slog.DiscardHandler),
		})
		over := make(chan error, 1)
		go func() { over <- server.Serve(ctx, l) }()
		defer func() {
			cancel()
			if err := <-over; err != nil {
				t.Error(err)
			}
		}()
		r.open(quota)
		defer r.close()
		test(r)
	})
}

func clientTLS() *tls.Config {
	return &tls.Config{
		ServerName: serial, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			if cs.PeerCertificates[0].Subject.CommonName != serial {
				return errors.New("not the printer")
			}
			return nil
		},
	}
}

// open starts the agent's part, as a process does.
func (r *rig) open(quota int64) {
	r.t.Helper()
	var err error
	r.outbox, err = outbox.Open(r.ctx, outbox.Options{Dir: r.dir, ProcessID: "p", Quota: quota, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		r.t.Fatal(err)
	}
	r.run()
}

func (r *rig) run() { r.runWith(r) }

func (r *rig) runWith(files Files) {
	r.capture = New(Options{
		Outbox: r.journal(), Files: files, Photos: r, Workers: 2, Fence: func(string) int64 { return 7 },
		Live: func(string) (bambu.Status, bool) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.status, !r.offline
		},
		Log: slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	ctx, cancel := context.WithCancel(r.ctx)
	over := make(chan error, 1)
	go func() { over <- r.capture.Run(ctx) }()
	r.stop = func() {
		cancel()
		if err := <-over; err != nil {
			r.t.Error(err)
		}
	}
}

func (r *rig) close() {
	r.stop()
	if err := r.outbox.Close(); err != nil {
		r.t.Error(err)
	}
	if strings.Contains(r.log.String(), code) {
		r.t.Error("the log shows the access code")
	}
}

// flaky is a journal that can fail.
type flaky struct {
	*outbox.Outbox
	r *rig
}

func (r *rig) journal() Outbox { return flaky{r.outbox, r} }

func (f flaky) broken() error {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	return f.r.spoil
}

func (f flaky) SaveTask(ctx context.Context, t outbox.Task) error {
	if err := f.broken(); err != nil {
		return err
	}
	return f.Outbox.SaveTask(ctx, t)
}

func (f flaky) Commit(ctx context.Context, c outbox.Change) (int64, error) {
	if err := f.broken(); err != nil {
		return 0, err
	}
	return f.Outbox.Commit(ctx, c)
}

func (r *rig) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

// List and Download are as agent/app puts them together.
func (r *rig) List(ctx context.Context, serial, path string) (wire.FileList, error) {
	r.set(func() { r.lists++ })
	entries, err := r.client.List(ctx, serial, path)
	list := wire.FileList{Path: path}
	for _, e := range entries {
		list.Entries = append(list.Entries, wire.FileEntry{Name: e.Name, Dir: e.Dir, Size: e.Size, ModifiedMS: e.Modified.UnixMilli()})
	}
	return list, err
}

func (r *rig) Download(ctx context.Context, serial, path string, size func(int64), to io.Writer) error {
	_, err := r.client.Download(ctx, serial, path, 0, to, nil)
	return err
}

func (r *rig) Snapshot(context.Context, string) ([]byte, error) {
	r.mu.Lock()
	take := r.photo
	r.mu.Unlock()
	return take()
}

// tell journals what happened to a print, as the recorder does.
func (r *rig) tell(kind wire.RecordKind, run string, p wire.PrintRecord, change func(*wire.OutboxRecord)) {
	r.t.Helper()
	r.seq++
	p.RunID, p.Seq = run, r.seq
	rec := wire.OutboxRecord{Kind: kind, Print: &p}
	if change != nil {
		change(&rec)
	}
	_, err := r.outbox.Commit(r.ctx, outbox.Change{Serial: serial, Records: []wire.OutboxRecord{rec}, Tasks: Tasks(serial, rec)})
	if err != nil {
		r.t.Fatal(err)
	}
	r.capture.Wake()
}

func (r *rig) start(run string, p wire.PrintRecord) {
	r.t.Helper()
	r.set(func() {
		r.status.Job = bambu.Job{GcodeState: "RUNNING", Name: p.Name, File: p.File, SubtaskID: p.SubtaskID, Plate: p.Plate, TotalLayers: p.TotalLayers}
	})
	r.tell(wire.PrintStarted, run, p, nil)
}

func (r *rig) finish(run string, p wire.PrintRecord) {
	r.t.Helper()
	r.set(func() { r.status.Job.GcodeState = "FINISH" })
	p.Outcome = wire.Success
	r.tell(wire.PrintFinished, run, p, nil)
}

func (r *rig) put(path string, data []byte) {
	r.t.Helper()
	if err := r.card.Put(path, data); err != nil {
		r.t.Fatal(err)
	}
}

// after lets time pass.
func (r *rig) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// told gives what was told of a run's files so far, in order.
func (r *rig) told(run string) (out []wire.FileRecord) {
	r.t.Helper()
	page, err := r.outbox.Page(r.ctx, r.outbox.Epoch(), 0, 500)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, rec := range page.Records {
		if f := rec.File; f != nil && f.RunID == run {
			if (rec.Kind == wire.FileReady) != (f.SHA256 != "") || (rec.Kind == wire.FileUnavailable) != (f.Reason != "") || rec.Serial != serial || rec.Fence != 7 {
				r.t.Errorf("not a sound record: %s %+v", rec.Kind, f)
			}
			out = append(out, *f)
		}
	}
	return out
}

// of gives the one record of a role; nil when there is none yet.
func (r *rig) of(run string, role wire.FileRole) *wire.FileRecord {
	r.t.Helper()
	var got *wire.FileRecord
	for _, f := range r.told(run) {
		if f.Role == role {
			if got != nil {
				r.t.Errorf("%s was told twice: %+v, %+v", role, got, f)
			}
			got = &f
		}
	}
	return got
}

// got fails unless the file of a role is in the store with this content.
func (r *rig) got(run string, role wire.FileRole, want []byte) {
	r.t.Helper()
	f := r.of(run, role)
	if f == nil || f.SHA256 == "" {
		r.t.Fatalf("%s: %+v, want a file\n%s", role, f, &r.log)
	}
	sum := sha256.Sum256(want)
	if f.SHA256 != hex.EncodeToString(sum[:]) || f.Size != int64(len(want)) {
		r.t.Errorf("%s: %+v is not the file of %d bytes", role, f, len(want))
	}
	file, _, err := r.outbox.OpenFile(r.ctx, f.SHA256)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if have, err := io.ReadAll(file); err != nil || !bytes.Equal(have, want) {
		r.t.Errorf("%s: the store gives something else: %v", role, err)
	}
}

// lacks fails unless a role was given up for a reason with these words.
func (r *rig) lacks(run string, role wire.FileRole, words string) {
	r.t.Helper()
	if f := r.of(run, role); f == nil || f.Reason == "" || !strings.Contains(f.Reason, words) {
		r.t.Errorf("%s: %+v, want a reason with %q\n%s", role, f, words, &r.log)
	}
}

// pending fails if anything was told of a role.
func (r *rig) pending(run string, role wire.FileRole) {
	r.t.Helper()
	if f := r.of(run, role); f != nil {
		r.t.Errorf("%s: told already: %+v\n%s", role, f, &r.log)
	}
}

// idle fails if tasks are left.
func (r *rig) idle() {
	r.t.Helper()
	if tasks, err := r.outbox.OpenTasks(r.ctx, serial); err != nil || len(tasks) > 0 {
		r.t.Errorf("left over: %v, %v", tasks, err)
	}
}

// sliced3MF is a small sliced archive.
func sliced3MF(t *testing.T, note string, layers int, plates ...int) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	add := func(name, text string) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate})
		if err == nil {
			_, err = io.WriteString(w, text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	add("[Content_Types].xml", `<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>`)
	add("3D/3dmodel.model", `<?xml version="1.0"?><model unit="millimeter" xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02"><metadata name="Title">`+note+`</metadata><resources/><build/></model>`)
	info := ""
	for _, n := range plates {
		info += fmt.Sprintf(`<plate><metadata key="index" value="%d"/><metadata key="prediction" value="600"/><metadata key="weight" value="1.5"/></plate>`, n)
		add(fmt.Sprintf("Metadata/plate_%d.gcode", n), fmt.Sprintf("; HEADER_BLOCK_START\n; total layer number: %d\n; HEADER_BLOCK_END\n; %s\nG28\n", layers, note))
		add(fmt.Sprintf("Metadata/plate_%d.png", n), string(picture(n)))
	}
	add("Metadata/slice_info.config", `<?xml version="1.0"?><config>`+info+`</config>`)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func picture(plate int) []byte {
	return fmt.Appendf([]byte("\x89PNG\r\n\x1a\n"), "picture of plate %d", plate)
}
