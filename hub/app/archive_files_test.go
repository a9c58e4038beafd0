package app

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"

	"bambuddy/shared/farm"
)

func csvOf(t *testing.T, body []byte) [][]string {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(body)).ReadAll()
	if err != nil || len(rows) == 0 {
		t.Fatalf("no CSV: %v: %.200s", err, body)
	}
	return rows
}

func TestDownloads(t *testing.T) {
	r := runArchives(t, nil)
	r.seed(benchy(), with(benchy(), func(p *farm.Print) { p.FileStatus, p.FileError = farm.FileMissing, "it is on internal storage" }))
	model := model3MF("Benchy", 1000)
	sha := r.store(1, farm.RoleModel, "größe \"1\".3mf", "application/x", model)
	r.store(1, farm.RoleThumbnail, "", "image/jpeg", []byte("thumb"))
	r.store(1, farm.RoleFinish, "", "image/jpeg", []byte("finish"))
	r.store(1, farm.RoleTimelapse, "", "video/x-msvideo", []byte("film"))

	a := r.get("/archives/1/3mf").want(200)
	_, params, err := mime.ParseMediaType(a.header.Get("Content-Disposition"))
	switch h := a.header; {
	case !bytes.Equal(a.body, model) || h.Get("ETag") != `"`+sha+`"` || h.Get("Content-Type") != "application/octet-stream" || h.Get("X-Content-Type-Options") != "nosniff":
		t.Errorf("%d bytes, %v", len(a.body), h)
	case h.Get("Content-Length") != fmt.Sprint(len(model)) || h.Get("Accept-Ranges") != "bytes" || err != nil || params["filename"] != "größe _1_.3mf":
		t.Errorf("%v, %v", h, params)
	}
	if a := r.get("/archives/1/3mf/"); a.status != 200 {
		t.Errorf("with a slash: %d", a.status)
	}
	etag, last := a.header.Get("ETag"), a.header.Get("Last-Modified")
	for _, c := range []struct {
		header []string
		status int
		body   []byte
		ranged string
	}{
		{[]string{"Range", "bytes=10-19"}, 206, model[10:20], fmt.Sprintf("bytes 10-19/%d", len(model))},
		{[]string{"Range", "bytes=-5"}, 206, model[len(model)-5:], fmt.Sprintf("bytes %d-%d/%d", len(model)-5, len(model)-1, len(model))},
		{[]string{"Range", "bytes=100-"}, 206, model[100:], fmt.Sprintf("bytes 100-%d/%d", len(model)-1, len(model))},
		{[]string{"Range", "bytes=100-99999999"}, 206, model[100:], fmt.Sprintf("bytes 100-%d/%d", len(model)-1, len(model))},
		{[]string{"Range", "bytes=10-19", "If-Range", etag}, 206, model[10:20], fmt.Sprintf("bytes 10-19/%d", len(model))},
		{[]string{"Range", "bytes=10-19", "If-Range", `"other"`}, 200, model, ""},
		{[]string{"If-None-Match", etag}, 304, nil, ""},
		{[]string{"If-None-Match", `"other", W/` + etag}, 304, nil, ""},
		{[]string{"If-None-Match", `"other"`}, 200, model, ""},
		{[]string{"If-Match", `"other"`}, 412, nil, ""},
		{[]string{"If-Modified-Since", last}, 304, nil, ""},
	} {
		a := r.get("/archives/1/3mf", c.header...)
		if a.status != c.status || c.status != 412 && !bytes.Equal(a.body, c.body) || a.header.Get("Content-Range") != c.ranged {
			t.Errorf("%q: %d, %d bytes, %q", c.header, a.status, len(a.body), a.header.Get("Content-Range"))
		}
	}
	two := r.get("/archives/1/3mf", "Range", "bytes=0-1,5-6").want(206)
	if !strings.HasPrefix(two.header.Get("Content-Type"), "multipart/byteranges") || !bytes.Contains(two.body, model[:2]) {
		t.Errorf("two ranges: %v %q", two.header, two.body)
	}
	for _, bad := range []string{fmt.Sprintf("bytes=%d-", len(model)), "bytes=9-3", "bytes=x"} {
		a := r.get("/archives/1/3mf", "Range", bad)
		a.refused(farm.BadRange, fmt.Sprint(len(model)))
		if strings.HasPrefix(bad, "bytes=9-3") || bad == "bytes=x" {
			continue
		}
		if a.header.Get("Content-Range") != fmt.Sprintf("bytes */%d", len(model)) || a.header.Get("Content-Disposition") != "" {
			t.Errorf("%s: %v", bad, a.header)
		}
	}
	head := r.ask("HEAD", "/archives/1/3mf", nil).want(200)
	if len(head.body) != 0 || head.header.Get("Content-Length") != fmt.Sprint(len(model)) || head.header.Get("ETag") != etag {
		t.Errorf("HEAD: %v", head.header)
	}
	for path, want := range map[string][2]string{"thumbnail": {"image/jpeg", "thumb"}, "photos/1": {"image/jpeg", "finish"}, "timelapse": {"video/x-msvideo", "film"}} {
		if a := r.get("/archives/1/" + path).want(200); a.header.Get("Content-Type") != want[0] || string(a.body) != want[1] || a.header.Get("ETag") == "" {
			t.Errorf("%s: %v %q", path, a.header, a.body)
		}
	}
	r.get("/archives/2/3mf").refused(farm.FileUnavailable, "3MF")
	r.get("/archives/2/thumbnail").refused(farm.FileUnavailable, "thumbnail")
	r.get("/archives/2/timelapse").refused(farm.FileUnavailable, "timelapse")
	r.get("/archives/2/photos/1").refused(farm.FileUnavailable, "photo")
	r.get("/archives/2/plates").refused(farm.FileUnavailable, "3MF")
	r.get("/archives/1/photos/2").refused(farm.FileUnavailable, "photo 2")
	for _, n := range []string{"0", "x", "-1"} {
		if a := r.get("/archives/1/photos/" + n); a.status != 404 && a.status != 400 {
			t.Errorf("photo %s: %d", n, a.status)
		}
	}
	r.get("/archives/9/3mf").refused(farm.NotFound, "archive 9")
	r.detail(sha)
	r.trouble(model)
}

// detail checks what an archive says of its files.
func (r *archives) detail(sha string) {
	r.t.Helper()
	var is struct {
		SHA256    string   `json:"sha256"`
		Status    string   `json:"file_status"`
		Thumbnail *string  `json:"thumbnail_url"`
		Photos    []string `json:"photo_urls"`
		Timelapse *string  `json:"timelapse_url"`
		Files     []struct {
			Role, Status string
			Bytes, Size  int64
		}
	}
	r.get("/archives/1").want(200).into(&is)
	if is.SHA256 != sha || is.Status != "stored" || *is.Thumbnail != "/api/v1/archives/1/thumbnail" || !slices.Equal(is.Photos, []string{"/api/v1/archives/1/photos/1"}) || *is.Timelapse != "/api/v1/archives/1/timelapse" {
		r.t.Errorf("%+v", is)
	}
	for _, f := range is.Files {
		if f.Role != farm.RoleRecord && (f.Status != "stored" || f.Bytes != f.Size || f.Size == 0) {
			r.t.Errorf("%+v", f)
		}
	}
	var plates []struct {
		Index     int
		Sliced    bool
		Duration  int64   `json:"estimated_duration"`
		Weight    float64 `json:"filament_used"`
		Filaments []struct {
			Slot         int
			Type, Colour string
		}
		Objects []struct {
			ID   int
			Name string
		}
	}
	r.get("/archives/1/plates/").want(200).into(&plates)
	if len(plates) != 1 || plates[0].Index != 1 || !plates[0].Sliced || plates[0].Duration != 3600 || plates[0].Weight != 20 || plates[0].Filaments[0].Type != "PETG" || plates[0].Objects[0].Name != "Cube" {
		r.t.Errorf("%+v", plates)
	}
}

// trouble is what downloads say when the object store does not do what it should.
func (r *archives) trouble(model []byte) {
	r.t.Helper()
	r.objects.Break(func(op, _ string) error {
		if op == "get" {
			return farm.Errorf(farm.Unavailable, "the object store is away")
		}
		return nil
	})
	r.get("/archives/1/3mf").refused(farm.Unavailable, "object store")
	r.get("/archives/1/plates").refused(farm.Unavailable, "object store")
	r.objects.Break(nil)
	r.objects.Cut(100)
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.url+"/api/v1/archives/1/3mf", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("X-API-Key", r.key)
	if res, err := http.DefaultClient.Do(req); err == nil {
		got, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err == nil || len(got) >= len(model) { // half an answer must not look whole
			r.t.Errorf("a body that was cut: %d bytes, %v", len(got), err)
		}
	}
	r.objects.Cut(-1)
	f, err := r.db.PrintFiles(r.t.Context(), 1)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.objects.Delete(r.t.Context(), f[0].Key); err != nil {
		r.t.Fatal(err)
	}
	r.get("/archives/1/3mf").refused(farm.FileUnavailable, "lost")
	r.get("/archives/1/plates").refused(farm.FileUnavailable, "lost")
}

func TestUploads(t *testing.T) {
	r := runArchives(t, nil)
	model := model3MF("Gehäuse", 100)
	r.ask("POST", "/projects", []byte(`{"name":"Voron"}`)).want(201)
	var is struct {
		ID                     int64
		Name, Filename, Status string
		PrinterID              *int64 `json:"printer_id"`
		ProjectID              *int64 `json:"project_id"`
		FileStatus             string `json:"file_status"`
		FileSize               int64  `json:"file_size"`
		Source                 string
		Duplicate              *int64   `json:"duplicate_of"`
		Thumbnail              *string  `json:"thumbnail_url"`
		FilamentUsed           *float64 `json:"filament_used"`
	}
	for i, path := range []string{"?project_id=1", "/?project_id=1"} {
		r.upload(r.key, path, "case.3mf", model).want(201).into(&is)
		if is.Name != "Gehäuse" || is.Filename != "case.3mf" || is.Status != "uploaded" || is.PrinterID != nil || *is.ProjectID != 1 || is.FileStatus != "stored" ||
			is.FileSize != int64(len(model)) || is.Source != "upload" || (is.Duplicate != nil) != (i > 0) || is.Thumbnail == nil || is.FilamentUsed != nil {
			t.Errorf("%+v", is)
		}
		if a := r.get(fmt.Sprintf("/archives/%d/3mf", is.ID)).want(200); !bytes.Equal(a.body, model) {
			t.Error("other bytes are given out")
		}
	}
	if a := r.get("/archives/1/thumbnail").want(200); a.header.Get("Content-Type") != "image/jpeg" || http.DetectContentType(a.body) != "image/jpeg" {
		t.Errorf("the thumbnail: %v", a.header)
	}
	r.upload(r.key, "?project_id=9", "x.3mf", model).refused(farm.NotFound, "project")
	r.upload(r.key, "", "x.3mf", nil).refused(farm.Invalid, "empty")
	r.upload(r.key, "", "x.3mf", []byte("hello, world")).refused(farm.Invalid, "file")
	r.upload(r.key, "", "x.3mf", hostile()).refused(farm.Invalid, "file")
	r.upload(r.key, "", "x.3mf", make([]byte, 4<<20+1)).refused(farm.TooLarge, "4194304")
	body, kind := form("model", "x.3mf", model)
	r.ask("POST", "/archives", body, "Content-Type", kind).refused(farm.Invalid, "file")
	r.ask("POST", "/archives", []byte("{}"), "Content-Type", "application/json").refused(farm.UnsupportedType, "multipart")
	r.ask("POST", "/archives", model).refused(farm.UnsupportedType, "multipart")
	r.ask("POST", "/archives", model, "Content-Type", "multipart/form-data").refused(farm.UnsupportedType, "multipart")
	r.ask("POST", "/archives", []byte("nonsense"), "Content-Type", "multipart/form-data; boundary=x").refused(farm.Invalid, "file")
	body, kind = form("file", "", model)
	r.ask("POST", "/archives", body, "Content-Type", kind).refused(farm.Invalid, "name")
	body, kind = form("file", "x.3mf", model)
	r.ask("POST", "/archives", body[:len(body)/2], "Content-Type", kind).refused(farm.Invalid, "broke off")
	if ids := r.get("/archives").ids(); len(ids) != 2 {
		t.Errorf("what was refused is there: %v", ids)
	}
}

// hostile is a 3MF that leads out of its folder.
func hostile() []byte {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range []string{"[Content_Types].xml", "3D/3dmodel.model", "../../etc/passwd"} {
		w, _ := z.Create(name) // in memory
		_, _ = io.WriteString(w, "<model/>")
	}
	_ = z.Close()
	return out.Bytes()
}

// A sender that goes away in the middle leaves nothing.
func TestAnUploadThatBreaksOff(t *testing.T) {
	r := runArchives(t, nil)
	body, kind := form("file", "x.3mf", model3MF("", 100_000))
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /api/v1/archives HTTP/1.1\r\nHost: hub\r\nX-API-Key: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", r.key, kind, len(body))
	if _, err := conn.Write(body[:50_000]); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil { // the answer can still be read
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != 400 {
		t.Errorf("%v, %v", res, err)
	} else {
		_ = res.Body.Close()
	}
	_ = conn.Close()
	if ids := r.get("/archives").ids(); len(ids) != 0 {
		t.Errorf("%v", ids)
	}
}

func TestExports(t *testing.T) {
	r := runArchives(t, nil)
	var all []farm.Print
	for i := range 700 { // more than a page, and than the store reads at once
		all = append(all, with(benchy(), func(p *farm.Print) {
			p.CreatedAt = p.CreatedAt.Add(-time.Duration(i) * time.Minute)
			if i%2 == 1 {
				p.Status, p.Name = farm.StatusFailed, "=1+1"
			}
		}))
	}
	r.seed(all...)
	a := r.get("/archives/export").want(200)
	rows := csvOf(t, a.body)
	if got := strings.Join(rows[0][:10], ","); got != "id,name,filename,printer_id,printer_name,created_at,duration,status,filament_used,filament_type" {
		t.Errorf("titles %s", got)
	}
	if got := strings.Join(rows[1][:10], ","); got != "1,Benchy,benchy.3mf,1,Workshop X1C,2024-01-15T14:30:00Z,8100,success,45.2,PLA" {
		t.Errorf("the first row: %s", got)
	}
	kind, params, err := mime.ParseMediaType(a.header.Get("Content-Disposition"))
	if len(rows) != 701 || rows[2][1] != "'=1+1" || a.header.Get("Content-Type") != "application/octet-stream" || err != nil || kind != "attachment" ||
		!strings.HasSuffix(params["filename"], ".csv") || a.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%d rows, %q, %v", len(rows), rows[2][:2], a.header)
	}
	if n := len(csvOf(t, r.get("/archives/export/?status=failed&format=csv").want(200).body)) - 1; n != 350 {
		t.Errorf("filtered: %d rows", n)
	}
	if n := len(csvOf(t, r.get("/archives/export?limit=5").want(200).body)) - 1; n != 5 {
		t.Errorf("with a limit: %d rows", n)
	}
	book, err := excelize.OpenReader(bytes.NewReader(r.get("/archives/export?format=xlsx").want(200).body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = book.Close() }()
	sheet, err := book.GetRows("Archives", excelize.Options{RawCellValue: true})
	if err != nil || len(sheet) != 701 || !slices.Equal(sheet[1][:10], rows[1][:10]) || !slices.Equal(sheet[2][:10], rows[2][:10]) {
		t.Errorf("%d rows of a spreadsheet, %v", len(sheet), err)
	}
	r.get("/archives/export?format=pdf").refused(farm.Invalid, "format")
	r.get("/archives/export?status=done").refused(farm.Invalid, "status")
	r.get("/archives/export?limit=0").refused(farm.Invalid, "limit")
	if head := r.ask("HEAD", "/archives/export", nil).want(200); len(head.body) != 0 {
		t.Errorf("HEAD has a body of %d bytes", len(head.body))
	}
}

// A file that says it is a page or a drawing is saved and not shown, whatever route it
// comes by, and its name does no harm in the header.
func TestFilesThatAreNoPictures(t *testing.T) {
	r := runArchives(t, nil)
	r.seed(benchy())
	page := []byte("<script>alert(1)</script>")
	r.store(1, farm.RoleThumbnail, "", "image/svg+xml", page)
	r.store(1, farm.RoleFinish, "", "text/html; charset=utf-8", page)
	r.store(1, farm.RoleTimelapse, "", "application/xhtml+xml", page)
	r.store(1, farm.RoleModel, "a\r\nX-Evil: 1\u202egpj.3mf", "text/html", page)
	for _, path := range []string{"/archives/1/thumbnail", "/archives/1/photos/1", "/archives/1/timelapse", "/archives/1/3mf"} {
		h := r.get(path).want(200).header
		kind, params, err := mime.ParseMediaType(h.Get("Content-Disposition"))
		if err != nil || kind != "attachment" || h.Get("Content-Type") != "application/octet-stream" || h.Get("X-Content-Type-Options") != "nosniff" ||
			!strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") || h.Get("X-Evil") != "" || strings.ContainsAny(params["filename"], "\r\n\u202e") {
			t.Errorf("%s: %v", path, h)
		}
	}
}
