package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"bambuddy/hub/internal/auth"
	"bambuddy/hub/internal/fleet"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// PrinterFile is one file or folder on a printer.
type PrinterFile struct {
	Name     string            `json:"name" example:"benchy.gcode.3mf"`
	Path     string            `json:"path" doc:"To be used in the other calls." example:"/benchy.gcode.3mf"`
	Type     string            `json:"type" enum:"file,directory"`
	Size     *int64            `json:"size" doc:"Bytes; null of a directory."`
	Modified nullable[instant] `json:"modified" doc:"As the printer says; its clock and time zone may be wrong. Null when it does not say."`
}

func (s *server) fileRoutes() {
	const tag = "Printer Files"
	gone := []farm.Code{farm.Invalid, farm.PrinterNotConnected, farm.AgentOffline, farm.FileUnavailable, farm.PrinterRefused, farm.Unavailable, farm.Unsupported}
	register(s, route{
		id: "list_printer_files", method: http.MethodGet, path: "/printers/{id}/files", tag: tag, summary: "List Files",
		about: "What lies in a folder on the printer's card or stick: folders first, each by name, some thousands at most. The printer is asked each time; it serves one transfer at a time, so this may wait for another one.",
		needs: farm.Read, limit: auth.ReadClass, errors: gone,
	}, s.listFiles)
	register(s, route{
		id: "download_printer_file", method: http.MethodGet, path: "/printers/{id}/files/download", tag: tag, summary: "Download File",
		about: "Printers are slow: expect 50 to 500 KB/s from a P1 or A1.", needs: farm.Read, limit: auth.ReadClass, errors: gone,
		responses: binary("application/octet-stream", "The file. A transfer that breaks off breaks the connection."),
	}, s.downloadFile)
	register(s, route{
		id: "delete_printer_file", method: http.MethodDelete, path: "/printers/{id}/files", tag: tag, summary: "Delete File",
		about: "Deletes one file from the printer's card or stick, for good.", needs: farm.Control, limit: auth.ControlClass,
		errors: append(gone, farm.OutcomeUnknown),
	}, s.deleteFile)
}

// fileTime is how long an agent may take for something small at a printer's storage,
// which may have to wait for a transfer under way.
const fileTime = 60 * time.Second

// fileListing is a list that may be cut.
type fileListing struct {
	Total     int  `header:"X-Total-Count" doc:"How many are listed."`
	Truncated bool `header:"X-Truncated" doc:"true: the folder holds more than is listed."`
	Body      []PrinterFile
}

type listFilesInput struct {
	ByID
	Path string `query:"path" default:"/" doc:"A folder." example:"/timelapse"`
}

func (s *server) listFiles(ctx context.Context, in *listFilesInput) (*fileListing, error) {
	call, err := s.fileCall(ctx, in.ID, in.Path)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, fileTime)
	defer cancel()
	var list wire.FileList
	if err := s.links.Call(ctx, call.agent, wire.CapFiles, http.MethodGet, call.url("files"), nil, &list); err != nil {
		return nil, err
	}
	return &fileListing{
		Total: len(list.Entries), Truncated: list.Truncated,
		Body: mapped(list.Entries, func(e wire.FileEntry) PrinterFile { return fileOf(call.path, e) }),
	}, nil
}

func fileOf(folder string, e wire.FileEntry) PrinterFile {
	f := PrinterFile{Name: e.Name, Path: path.Join(folder, e.Name), Type: "file", Size: &e.Size}
	if e.Dir {
		f.Type, f.Size = "directory", nil
	}
	if e.ModifiedMS > 0 {
		f.Modified = someTime(time.UnixMilli(e.ModifiedMS))
	}
	return f
}

type fileInput struct {
	ByID
	Path string `query:"path" required:"true" doc:"The file, with its folder." example:"/benchy.gcode.3mf"`
}

func (s *server) deleteFile(ctx context.Context, in *fileInput) (*body[Deleted], error) {
	call, err := s.fileCall(ctx, in.ID, in.Path)
	if err == nil {
		err = call.aFile()
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, fileTime)
	defer cancel()
	if err := s.links.Call(ctx, call.agent, wire.CapFiles, http.MethodDelete, call.url("files"), nil, nil); err != nil {
		return nil, err
	}
	return deleted(), nil
}

func (s *server) downloadFile(ctx context.Context, in *fileInput) (*huma.StreamResponse, error) {
	call, err := s.fileCall(ctx, in.ID, in.Path)
	if err == nil {
		err = call.aFile()
	}
	if err != nil {
		return nil, err
	}
	leave, err := s.downloads.enter(in.ID)
	if err != nil {
		return nil, err
	}
	resp, err := s.links.Stream(ctx, call.agent, wire.CapFiles, call.url("files/download")) //nolint:bodyclose // the answer's writer does it
	if err != nil {
		leave()
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer leave()
		defer func() { _ = resp.Body.Close() }()
		r, w := humachi.Unwrap(hc)
		h := w.Header()
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Content-Disposition", attachment(path.Base(call.path)))
		if size := resp.Header.Get("Content-Length"); size != "" {
			h.Set("Content-Length", size)
		}
		if r.Method == http.MethodHead {
			return
		}
		if err := s.pourWhileTrusted(ctx, w, resp.Body); err != nil {
			panic(http.ErrAbortHandler) //nolint:forbidigo // net/http's own way to tell a client that the answer is not whole
		}
	}}, nil
}

// pourWhileTrusted copies a transfer for as long as its caller's key stands.
func (s *server) pourWhileTrusted(ctx context.Context, w http.ResponseWriter, from io.ReadCloser) error {
	inside, whole := context.WithCancel(ctx)
	defer whole()
	var guard sync.WaitGroup
	guard.Go(func() {
		_ = s.whileTrusted(inside, auth.From(ctx)) // why does not matter
		if inside.Err() == nil {
			_ = from.Close() // what is being read ends with it
		}
	})
	err := pour(w, from)
	whole()
	guard.Wait()
	return err
}

// downloads counts who downloads from each printer: it serves one at a time, and
// each that waits keeps one of the few streams of its agent.
type downloads struct {
	mu   sync.Mutex
	open map[int64]int // by printer
}

const downloadsEach = 2

// enter takes a place, which leave gives back.
func (d *downloads) enter(printerID int64) (leave func(), err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open[printerID] >= downloadsEach {
		return nil, farm.Errorf(farm.PrinterBusy, "%d downloads from this printer are open already", downloadsEach)
	}
	d.open[printerID]++
	return sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.open[printerID]--; d.open[printerID] == 0 {
			delete(d.open, printerID)
		}
	}), nil
}

// pour copies a transfer to a client. One that takes nothing for a while is cut
// off: unread bytes of it would stand in the agent's lane.
func pour(w http.ResponseWriter, from io.Reader) error {
	rc := http.NewResponseController(w)
	defer func() { _ = rc.SetWriteDeadline(time.Time{}) }()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			_ = rc.SetWriteDeadline(time.Now().Add(writeTime)) // a writer without deadlines is a test's
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// fileCall is a call about a path on a printer.
type fileCall struct {
	agent        int64
	serial, path string
}

func (c fileCall) url(what string) string {
	return "/v1/printers/" + url.PathEscape(c.serial) + "/" + what + "?path=" + url.QueryEscape(c.path)
}

func (c fileCall) aFile() error {
	if c.path == "/" {
		return farm.Errorf(farm.Invalid, "path: expected a file, not the root")
	}
	return nil
}

// hasFiles tells why nobody can get at a printer's files: it is away, or says that
// there is no card. An empty list would read as if all of them had been deleted.
func hasFiles(v fleet.View) error {
	if err := reachable(v); err != nil {
		return err
	}
	if card := v.Status.Machine.Storage; card.Known && !card.Value {
		return farm.Errorf(farm.PrinterRefused, "printer %q says that no card or stick is in it", v.Printer.Name)
	}
	return nil
}

// fileCall checks who asks for which path of which printer. A path is brought into
// its one form; one that leads out of the root is refused.
func (s *server) fileCall(ctx context.Context, id int64, p string) (fileCall, error) {
	v, err := s.view(ctx, id)
	if err != nil {
		return fileCall{}, err
	}
	if len(p) > 1024 || strings.ContainsFunc(p, unicode.IsControl) || strings.Contains("/"+p+"/", "/../") {
		return fileCall{}, farm.Errorf(farm.Invalid, "path: expected the path of a file or folder on the printer")
	}
	return fileCall{agent: v.Printer.AgentID, serial: v.Printer.Serial, path: path.Clean("/" + p)}, hasFiles(v)
}
