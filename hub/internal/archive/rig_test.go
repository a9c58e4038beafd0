package archive

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/hub/internal/blob"
	"bambuddy/hub/internal/events"
	"bambuddy/hub/internal/store"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// sites is agents whose captured files are in memory.
type sites struct {
	mu       sync.Mutex
	files    map[string][]byte
	asked    []string // hash@offset
	released []string // hash ref
	answer   func(ctx context.Context, sha string, offset int64) (*http.Response, error)
	release  error
}

func (s *sites) File(ctx context.Context, _ int64, sha string, offset int64) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, fmt.Sprintf("%s@%d", sha, offset))
	if s.answer != nil {
		if resp, err := s.answer(ctx, sha, offset); resp != nil || err != nil {
			return resp, err
		}
	}
	data, ok := s.files[sha]
	if !ok {
		return nil, farm.Errorf(farm.FileUnavailable, "there is no such file")
	}
	return part(ctx, data, offset), nil
}

// part answers with a file from an offset on.
func part(ctx context.Context, data []byte, offset int64) *http.Response {
	status := http.StatusOK
	if offset > 0 {
		status = http.StatusPartialContent
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(&until{ctx, bytes.NewReader(data[offset:])})}
}

// until is a body that ends with its request, as those of the network do.
type until struct {
	ctx context.Context
	r   io.Reader
}

func (u *until) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}

func (s *sites) Release(_ context.Context, _ int64, sha, ref string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.release != nil {
		return s.release
	}
	s.released = append(s.released, sha+" "+ref)
	return nil
}

func (s *sites) set(change func(*sites)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// told tells what agents were asked for, and what they were told to let go.
func (s *sites) told() (asked, released []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked), slices.Clone(s.released)
}

// rig is an archive over a real database, in a bubble.
type rig struct {
	t       testing.TB
	db      *store.DB
	objects *blob.Memory
	sites   *sites
	archive *Archive
	log     *bytes.Buffer
	dir     string
	runs    int

	stop context.CancelFunc
	done chan struct{}
}

func inBubble(t *testing.T, change func(*Options), test func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, change)
		defer func() { _ = r.db.Close() }()
		test(r)
		r.end()
	})
}

// newRig makes the parts; the archive does not run yet. Who calls it closes db.
func newRig(t testing.TB, change func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, objects: blob.NewMemory(), sites: &sites{files: map[string][]byte{}}, log: &bytes.Buffer{}, dir: t.TempDir()}
	news := events.New()
	var err error
	if r.db, err = store.Open(t.Context(), store.Config{Dir: r.dir, Wake: news.Wake}); err != nil {
		t.Fatal(err)
	}
	news.Read(r.db)
	o := Options{
		Store: r.db, Objects: r.objects, Events: news, Agents: r.sites, Dir: filepath.Join(r.dir, "staging"),
		Log: slog.New(slog.NewTextHandler(r.log, nil)),
	}
	if change != nil {
		change(&o)
	}
	if r.archive, err = New(o); err != nil {
		t.Fatal(err)
	}
	return r
}

// begin lets the archive live.
func (r *rig) begin() {
	ctx, cancel := context.WithCancel(r.t.Context())
	r.stop, r.done = cancel, make(chan struct{})
	go func() {
		defer close(r.done)
		_ = r.archive.Run(ctx)
	}()
}

func (r *rig) end() {
	if r.stop != nil {
		r.stop()
		<-r.done
		r.stop = nil
	}
}

// print adds one that has ended, as package prints would, with the pulls it wants.
func (r *rig) print(change func(*farm.Print), pulls ...farm.Pull) farm.Print {
	r.t.Helper()
	r.runs++
	now := time.Now().UTC()
	p := farm.Print{
		Kind: farm.KindPrint, Status: farm.StatusSuccess, RunID: fmt.Sprintf("run-%d", r.runs), Source: farm.SourceSlicer, PrinterID: 1, PrinterName: "One",
		Serial: "P1", SiteID: 1, AgentID: 1, Name: "part", Filename: "part.3mf", CreatedAt: now, StartedAt: now, FinishedAt: now, UpdatedAt: now,
		FileStatus: farm.FilePending, Progress: 100, Filaments: []farm.PrintFilament{}, Tags: []string{},
	}
	if change != nil {
		change(&p)
	}
	err := r.db.ApplyPrints(r.t.Context(), 1, "e", func(t *store.PrintTx) error {
		if err := t.Insert(&p); err != nil {
			return err
		}
		p.Dir = farm.PrintDir(p)
		if err := t.Save(p); err != nil {
			return err
		}
		if err := t.Link(p.RunID, p.ID, 1); err != nil {
			return err
		}
		for _, pull := range pulls {
			pull.PrintID, pull.RunID, pull.AgentID, pull.NextAt = p.ID, p.RunID, p.AgentID, now
			if err := t.AddPull(pull); err != nil {
				return err
			}
		}
		t.Tell(farm.Event{Kind: farm.EventPrintComplete, At: now, PrinterID: p.PrinterID, SiteID: p.SiteID, Data: fmt.Appendf(nil, `{"archive_id":%d}`, p.ID)})
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.archive.Wake()
	return p
}

// captured puts a file into the agent's hands and gives the pull that wants it.
func (r *rig) captured(role, name string, data []byte) farm.Pull {
	sum := sha256.Sum256(data)
	p := farm.Pull{Role: role, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(data)), Name: name}
	r.sites.set(func(s *sites) { s.files[p.SHA256] = data })
	return p
}

// is reads a print again.
func (r *rig) is(id int64) farm.Print {
	r.t.Helper()
	p, err := r.db.Print(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// file reads a stored file of a print.
func (r *rig) file(id int64, role string) (farm.PrintFile, []byte) {
	r.t.Helper()
	f, err := r.archive.File(r.t.Context(), id, role)
	if err != nil {
		r.t.Fatalf("the %s of archive %d: %v", role, id, err)
	}
	body, err := r.archive.Open(r.t.Context(), f, 0, -1)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = body.Close() }()
	data, err := io.ReadAll(body)
	if err != nil {
		r.t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	if f.SHA256 != hex.EncodeToString(sum[:]) || f.Size != int64(len(data)) {
		r.t.Errorf("the %s of archive %d is not what its row says", role, id)
	}
	return f, data
}

// pulls gives those that are left, due or not.
func (r *rig) pulls() []farm.Pull {
	r.t.Helper()
	left, err := r.db.DuePulls(r.t.Context(), time.Now().Add(100*24*time.Hour), 1000)
	if err != nil {
		r.t.Fatal(err)
	}
	return left
}

// keys lists what is in the object store.
func (r *rig) keys(prefix string) (out []string) {
	r.t.Helper()
	err := r.objects.List(r.t.Context(), prefix, "", func(i blob.Info) error { out = append(out, i.Key); return nil })
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// picture is a PNG, half of it transparent.
func picture(side int) []byte {
	img := image.NewNRGBA(image.Rect(0, 0, side, side))
	for x := range side {
		for y := range side / 2 {
			img.Set(x, y, color.NRGBA{R: 200, G: 40, B: 40, A: 255})
		}
	}
	var out bytes.Buffer
	_ = png.Encode(&out, img) // into memory
	return out.Bytes()
}

// sliced is a 3MF of one sliced plate, with as much filling as is wanted.
func sliced(title string, filling int) []byte {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	add := func(name, text string) {
		w, _ := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store}) // into memory
		_, _ = io.WriteString(w, text)
	}
	add("[Content_Types].xml", "<Types/>")
	add("3D/3dmodel.model", `<?xml version="1.0"?><model><metadata name="Title">`+title+`</metadata><resources/><build/></model>`)
	add("Metadata/slice_info.config", `<config><plate><metadata key="index" value="1"/><metadata key="prediction" value="3600"/>
		<metadata key="weight" value="20"/><filament id="1" type="PETG" color="#FF0000" used_m="6" used_g="20"/></plate></config>`)
	add("Metadata/project_settings.config", `{"layer_height":"0.2","nozzle_diameter":["0.4"],"curr_bed_type":"Cool Plate"}`)
	add("Metadata/plate_1.gcode", "; HEADER_BLOCK_START\n; total layer number: 100\n; HEADER_BLOCK_END\n"+strings.Repeat("G1 X1\n", filling/6))
	add("Metadata/plate_1.png", string(picture(64)))
	_ = z.Close()
	return out.Bytes()
}

func refs(p farm.Print, pulls ...farm.Pull) (out []string) {
	for _, one := range pulls {
		out = append(out, one.SHA256+" "+wire.RunRef(p.RunID))
	}
	slices.Sort(out)
	return out
}
