package app

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"log/slog"
	"mime/multipart"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"bambuddy/hub/internal/secrets"
	"bambuddy/hub/internal/store"
	"bambuddy/shared/farm"
	"bambuddy/shared/memnet"
)

// archives is a whole hub on a loopback listener, with two sites, a printer at each,
// and objects in memory. Rows are seeded beside it.
type archives struct {
	t       *testing.T
	url     string
	network *memnet.Network // nil: a real loopback
	http    *http.Client
	key     string // may everything
	db      *store.DB
	admin   *Admin
	objects *MemoryObjects
	agent   *loadAgent // of the first site
	hubID   string
	second  farm.Site
	ctx     context.Context //nolint:containedctx // of the hub, for what lives beside it
	parts   *sync.WaitGroup
}

func runArchives(t *testing.T, change func(*Options)) *archives {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return runArchivesAt(t, l, nil, change)
}

// runArchivesInMemory is runArchives on a network in memory, for bubbles and for callers
// from many addresses.
func runArchivesInMemory(t *testing.T, change func(*Options)) *archives {
	t.Helper()
	network := memnet.New()
	l, err := network.Listen("127.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	return runArchivesAt(t, l, network, change)
}

// from is a client at an address of the network in memory.
func (r *archives) from(address string) *http.Client {
	transport := &http.Transport{DialContext: r.network.Dialer(address)}
	r.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func runArchivesAt(t *testing.T, l net.Listener, network *memnet.Network, change func(*Options)) *archives {
	t.Helper()
	dir := t.TempDir()
	r := &archives{t: t, objects: NewMemoryObjects(), parts: &sync.WaitGroup{}, network: network, http: http.DefaultClient}
	r.populate(dir)
	o := Options{
		DataDir: dir, Listener: l, Objects: r.objects, Log: slog.New(slog.DiscardHandler), MaxUpload: 4 << 20,
		Limits: farm.Limits{Read: 1e6, Write: 1e6, Control: 1e6},
	}
	if change != nil {
		change(&o)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r.ctx, r.url = ctx, "http://"+l.Addr().String()
	r.parts.Go(func() {
		if err := Run(ctx, o); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); r.parts.Wait() })
	if network != nil {
		r.http = r.from("127.0.0.1")
	}
	(&client{t: t}).await("the hub", func() bool {
		res, err := r.http.Get(r.url + "/health")
		if err != nil {
			return false
		}
		return res.Body.Close() == nil && res.StatusCode == 200
	})
	var err error
	if r.admin, err = OpenAdmin(t.Context(), dir, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.admin.Close() })
	r.db = r.admin.db
	key, err := r.admin.NewKey(t.Context(), "test", farm.Permissions, o.Limits)
	if err != nil {
		t.Fatal(err)
	}
	r.key = key.Reveal()
	return r
}

// populate makes what a hub has when it begins: two sites, an agent and a printer at
// the first, a printer at the second.
func (r *archives) populate(dir string) {
	r.t.Helper()
	ctx := r.t.Context()
	db, err := store.Open(ctx, store.Config{Dir: dir})
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	box, err := secrets.Open(ctx, secrets.Options{Dir: dir, Canary: db})
	if err != nil {
		r.t.Fatal(err)
	}
	if r.second, err = db.CreateSite(ctx, "Attic"); err != nil {
		r.t.Fatal(err)
	}
	r.agent = newLoadAgent(r.t, db, 0)
	r.hubID, _ = db.Hub()
	for i, p := range []farm.Printer{
		{Serial: "01P00A000000001", Name: "Workshop X1C", ModelGiven: "X1C", SiteID: 1, AgentID: r.agent.id}, {Serial: "01P00A000000002", Name: "Attic P1S", ModelGiven: "P1S", SiteID: r.second.ID},
	} {
		p.Address, p.MQTTPort, p.FTPSPort = fmt.Sprintf("192.0.2.%d", i+1), 8883, 990
		p, err := db.CreatePrinter(ctx, p, box.Seal("printer_secrets/access_code/"+p.Serial, "12345678"))
		if err != nil {
			r.t.Fatal(err)
		}
		if i == 0 {
			r.agent.serials, r.agent.fences = []string{p.Serial}, []int64{p.Fence}
		}
	}
}

// benchy is the archive of the reference's example.
func benchy() farm.Print {
	seconds, grams := int64(8100), 45.2
	at := time.Date(2024, 1, 15, 14, 30, 0, 0, time.UTC)
	return farm.Print{
		Kind: farm.KindPrint, Status: farm.StatusSuccess, Source: farm.SourceSlicer, PrinterID: 1, PrinterName: "Workshop X1C", Serial: "01P00A000000001",
		SiteID: 1, AgentID: 1, Name: "Benchy", Filename: "benchy.3mf", CreatedAt: at, StartedAt: at, FinishedAt: at.Add(8100 * time.Second), UpdatedAt: at,
		Duration: &seconds, FilamentUsed: &grams, FilamentType: "PLA", FileStatus: farm.FilePending, Filaments: []farm.PrintFilament{}, Tags: []string{},
	}
}

// seed adds prints, as an agent's outbox does.
func (r *archives) seed(prints ...farm.Print) (ids []int64) {
	r.t.Helper()
	err := r.db.ApplyPrints(r.t.Context(), 1, "seed", func(t *store.PrintTx) error {
		ids = nil
		for _, p := range prints {
			if err := t.Insert(&p); err != nil {
				return err
			}
			p.Dir = farm.PrintDir(p)
			if err := t.Save(p); err != nil {
				return err
			}
			ids = append(ids, p.ID)
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return ids
}

// with changes a copy of a print.
func with(p farm.Print, change func(*farm.Print)) farm.Print {
	change(&p)
	return p
}

// store puts a file of a print where it belongs.
func (r *archives) store(id int64, role, name, media string, data []byte) string {
	r.t.Helper()
	ctx := r.t.Context()
	p, err := r.db.Print(ctx, id)
	if err != nil {
		r.t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	f := farm.StoredFile{
		PrintID: id, Role: role, Path: p.Dir + "/" + farm.FileName(role, name), Name: name, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(data)),
		MediaType: media,
	}
	f.Key = "test/" + f.SHA256
	if err := r.db.Intend(ctx, f.Key, time.Now().Add(time.Hour)); err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.objects.Put(ctx, f.Key, bytes.NewReader(data), f.Size, putOptions{}); err != nil {
		r.t.Fatal(err)
	}
	if err := r.db.StoreFile(ctx, f); err != nil {
		r.t.Fatal(err)
	}
	return f.SHA256
}

// scoped is a key that is limited.
func (r *archives) scoped(permissions []string, printers, sites []int64) string {
	r.t.Helper()
	in := map[string]any{"name": "scoped", "permissions": permissions}
	if printers != nil {
		in["printer_ids"] = printers
	}
	if sites != nil {
		in["site_ids"] = sites
	}
	body, err := json.Marshal(in)
	if err != nil {
		r.t.Fatal(err)
	}
	a := r.ask("POST", "/api-keys", body)
	a.want(201)
	var made struct{ Key string }
	a.into(&made)
	if made.Key == "" {
		r.t.Fatalf("no key: %s", a.body)
	}
	return made.Key
}

// reply is an answer.
type reply struct {
	t      *testing.T
	what   string
	status int
	header http.Header
	body   []byte
}

// as asks with a key; headers come in pairs.
func (r *archives) as(key, method, path string, body []byte, header ...string) reply {
	r.t.Helper()
	var in io.Reader
	if body != nil {
		in = bytes.NewReader(body)
	}
	return r.send(key, method, path, in, header...)
}

func (r *archives) send(key, method, path string, body io.Reader, header ...string) reply {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+"/api/v1"+path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("X-API-Key", key)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := r.http.Do(req)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = res.Body.Close() }()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	return reply{r.t, method + " " + path, res.StatusCode, res.Header, got}
}

func (r *archives) ask(method, path string, body []byte, header ...string) reply {
	r.t.Helper()
	return r.as(r.key, method, path, body, header...)
}

func (r *archives) get(path string, header ...string) reply {
	r.t.Helper()
	return r.ask("GET", path, nil, header...)
}

func (a reply) want(status int) reply {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: %d %.300s, want %d", a.what, a.status, a.body, status)
	}
	return a
}

func (a reply) into(v any) {
	a.t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		a.t.Fatalf("%s: %v: %.300s", a.what, err, a.body)
	}
}

// refused checks the whole form of an error.
func (a reply) refused(code farm.Code, mentions string) {
	a.t.Helper()
	var e map[string]string
	a.into(&e)
	if a.status != code.Status() || e["code"] != string(code) || len(e) != 2 || !strings.Contains(e["detail"], mentions) || e["detail"] == "" || a.header.Get("Content-Type") != "application/json" {
		a.t.Errorf("%s: %d %s (%s), want %s, %q", a.what, a.status, a.body, a.header.Get("Content-Type"), code, mentions)
	}
}

// ids are those of a list of archives.
func (a reply) ids() (out []int64) {
	a.t.Helper()
	var page struct {
		Archives []struct{ ID int64 }
	}
	a.want(200).into(&page)
	for _, one := range page.Archives {
		out = append(out, one.ID)
	}
	return out
}

// model3MF is a 3MF of one sliced plate with a picture.
func model3MF(title string, filling int) []byte {
	var out, pic bytes.Buffer
	_ = png.Encode(&pic, image.NewGray(image.Rect(0, 0, 16, 16))) // all of this is in memory
	z := zip.NewWriter(&out)
	for _, part := range [][2]string{
		{"[Content_Types].xml", "<Types/>"},
		{"3D/3dmodel.model", `<?xml version="1.0"?><model><metadata name="Title">` + title + `</metadata><resources/><build/></model>`},
		{"Metadata/slice_info.config", `<config><plate><metadata key="index" value="1"/><metadata key="prediction" value="3600"/><metadata key="weight" value="20"/>
			<object identify_id="69" name="Cube" skipped="false"/><filament id="1" type="PETG" color="#FF0000" used_m="6" used_g="20"/></plate></config>`},
		{"Metadata/plate_1.gcode", "; HEADER_BLOCK_START\n; total layer number: 100\n; HEADER_BLOCK_END\n" + strings.Repeat("G1 X1\n", filling/6)},
		{"Metadata/plate_1.png", pic.String()},
	} {
		w, _ := z.CreateHeader(&zip.FileHeader{Name: part[0], Method: zip.Store})
		_, _ = io.WriteString(w, part[1])
	}
	_ = z.Close()
	return out.Bytes()
}

// form is a multipart form with a file.
func form(field, name string, data []byte) (body []byte, contentType string) {
	var out bytes.Buffer
	w := multipart.NewWriter(&out)
	_ = w.WriteField("comment", "before the file") // in memory
	part, _ := w.CreateFormFile(field, name)
	_, _ = part.Write(data)
	_ = w.Close()
	return out.Bytes(), w.FormDataContentType()
}

// upload sends a 3MF.
func (r *archives) upload(key, query, name string, data []byte) reply {
	r.t.Helper()
	body, kind := form("file", name, data)
	return r.as(key, "POST", "/archives"+query, body, "Content-Type", kind)
}
