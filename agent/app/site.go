package app

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"bambuddy/agent/internal/camera"
	"bambuddy/agent/internal/diagnose"
	"bambuddy/agent/internal/discover"
	"bambuddy/agent/internal/fleet"
	"bambuddy/agent/internal/ftps"
	"bambuddy/agent/internal/hublink"
	"bambuddy/agent/internal/printer"
	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// site is what the agent does at its LAN beside the printers' sessions: their
// files and cameras, who is there, and a close look.
type site struct {
	fleet    *fleet.Fleet
	files    *ftps.Client
	cameras  *camera.Relay
	discover *discover.Discoverer
	diagnose *diagnose.Diagnoser
}

func newSite(o Options, printers *fleet.Fleet) *site {
	s := &site{fleet: printers}
	if o.FFmpeg == "" {
		o.Log.Warn("ffmpeg is not installed: the cameras of X1, P2, H2 and X2 give no pictures, only video")
	}
	s.files = ftps.New(ftps.Options{Target: s.fileServer, Dial: o.dial(), Log: o.Log.With("part", "files")})
	s.cameras = camera.New(camera.Options{
		Target: s.camera, Dial: o.dial(), FFmpeg: o.FFmpeg, LiveViewOff: s.liveViewOff, Log: o.Log.With("part", "cameras"),
	})
	s.discover = discover.New(discover.Options{
		Dial: o.dial(), ListenPacket: o.Announcements, Moved: printers.NoteAddress, Log: o.Log.With("part", "discover"),
	})
	x := examiner{dial: o.dial(), pins: noPins{}}
	s.diagnose = diagnose.New(diagnose.Options{
		Dial: o.dial(), FFmpeg: o.FFmpeg, Login: x.login,
		Files: func(ctx context.Context, t diagnose.Target) (diagnose.Files, error) { return x.files(ctx, s.files, t) },
		Picture: func(ctx context.Context, t diagnose.Target) error {
			return s.picture(ctx, x, t)
		},
	})
	return s
}

// link is the site as the hub's link serves it.
func (s *site) link() hublink.Site {
	return hublink.Site{Files: linkedFiles{s.files}, Cameras: linkedCameras{s.cameras}, Finder: s, Prober: s}
}

// fileServer gives the way to a printer's files.
func (s *site) fileServer(serial string) (ftps.Target, error) {
	a, err := s.fleet.Access(serial)
	return ftps.Target{
		Serial: serial, Address: address(a.Config.Address, a.Config.FTPSPort), AccessCode: a.Config.AccessCode, Model: a.Model, TLS: a.TLS,
	}, err
}

// camera gives the way to a printer's camera.
func (s *site) camera(serial string) (camera.Target, error) {
	a, err := s.fleet.Access(serial)
	if err != nil {
		return camera.Target{}, err
	}
	return cameraTarget(diagnose.Target{Config: a.Config, Model: a.Model, TLS: a.TLS}), nil
}

// liveViewOff tells whether a printer reports that its LAN live view is off.
func (s *site) liveViewOff(serial string) bool {
	snap, err := s.fleet.Snapshot(serial)
	if err != nil || snap.Status.Machine.Firmware == "" || snap.Status.Machine.CameraURL != "" {
		return false
	}
	a, err := s.fleet.Access(serial)
	return err == nil && a.Model.Camera == bambu.CameraRTSP // no other tells of its camera
}

func address(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// live is what a printer reports now, and whether it does.
func (s *site) live(serial string) (bambu.Status, bool) {
	snap, err := s.fleet.Snapshot(serial)
	return snap.Status, err == nil && snap.Connection.State == wire.Online
}

// fence is the assignment under which a printer is held, 0 when it is not.
func (s *site) fence(serial string) int64 {
	a, err := s.fleet.Access(serial)
	if err != nil {
		return 0
	}
	return a.Config.Fence
}

// maxScanned is what a scan can look through while a caller waits: addresses where
// nobody answers take 2 s for 64.
const maxScanned = 1024

// Discover listens a while, scans what it is told to, and gives all that was seen.
func (s *site) Discover(ctx context.Context, r wire.DiscoverRequest) (wire.DiscoverResult, error) {
	var ranges []netip.Prefix
	addresses := 0
	for _, text := range r.Ranges {
		p, err := discover.ParseRange(text)
		if err != nil {
			return wire.DiscoverResult{}, farm.Errorf(farm.Invalid, "ranges: %s", err)
		}
		ranges = append(ranges, p)
		if !p.Addr().Is4() {
			return wire.DiscoverResult{}, farm.Errorf(farm.Invalid, "ranges: %s is not a range of IPv4 addresses", text)
		}
		if addresses += 1 << (32 - p.Bits()); addresses > maxScanned {
			return wire.DiscoverResult{}, farm.Errorf(farm.Invalid, "ranges: at most %d addresses at a time", maxScanned)
		}
	}
	listened := time.NewTimer(time.Duration(r.ListenMS) * time.Millisecond)
	defer listened.Stop()
	if len(ranges) > 0 {
		_, err := s.discover.Scan(ctx, ranges, nil)
		if farm.Is(err, farm.Invalid) {
			err = farm.Errorf(farm.Invalid, "ranges: %s", err)
		}
		if err != nil {
			return wire.DiscoverResult{}, err
		}
	}
	select {
	case <-listened.C:
	case <-ctx.Done():
		return wire.DiscoverResult{}, ctx.Err()
	}
	return wire.DiscoverResult{Found: s.discover.Seen()}, nil
}

// Probe looks closely at a printer, with what the request names in the place of
// what is configured.
func (s *site) Probe(ctx context.Context, r wire.ProbeRequest) (wire.Report, error) {
	a, err := s.fleet.Access(r.Serial)
	if farm.Is(err, farm.NotFound) && r.Address != "" && r.AccessCode != "" {
		c := wire.PrinterConfig{
			Serial: r.Serial, Name: r.Serial, Model: r.Model, Address: r.Address, AccessCode: r.AccessCode, CameraPort: r.CameraPort,
			MQTTPort: cmp.Or(r.MQTTPort, farm.DefaultMQTTPort), FTPSPort: cmp.Or(r.FTPSPort, farm.DefaultFTPSPort),
		}
		t := diagnose.Target{Config: c, Model: modelOf(c), TLS: printer.TLSConfig(c, noPins{}), Touch: !r.LookOnly}
		if err := nearby(ctx, c.Address); err != nil {
			return wire.Report{}, err
		}
		return s.diagnose.Printer(ctx, t, nil), nil
	}
	if err != nil {
		return wire.Report{}, err
	}
	c := a.Config
	c.Address, c.AccessCode = cmp.Or(r.Address, c.Address), cmp.Or(r.AccessCode, c.AccessCode)
	c.MQTTPort, c.FTPSPort, c.CameraPort = cmp.Or(r.MQTTPort, c.MQTTPort), cmp.Or(r.FTPSPort, c.FTPSPort), cmp.Or(r.CameraPort, c.CameraPort)
	if c.Address != a.Config.Address {
		if err := nearby(ctx, c.Address); err != nil {
			return wire.Report{}, err
		}
	}
	t := diagnose.Target{Config: c, Model: a.Model, TLS: a.TLS, Touch: !r.LookOnly}
	if c.AccessCode != a.Config.AccessCode { // another code is another beginning, see printer.Pins
		t.TLS = printer.TLSConfig(c, noPins{})
	}
	return s.diagnose.Printer(ctx, t, s.running(ctx, a.Config, c)), nil
}

// metadata is where clouds tell machines their secrets.
var metadata = netip.AddrFrom4([4]byte{169, 254, 169, 254})

// nearby refuses to try addresses beyond private networks: whoever may test a
// printer could otherwise see from here which ports of the world are open.
func nearby(ctx context.Context, host string) error {
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil // the examination will say that nobody has this name
	}
	for _, ip := range ips {
		ip = ip.Unmap()
		if ip == metadata || !ip.IsPrivate() && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() {
			return farm.Errorf(farm.Invalid, "ip_address: only addresses of private networks are tried")
		}
	}
	return nil
}

// running is what the session with a printer knows, where it says something about
// the way that is to be tried: always when it is online at that address, because no
// second session is opened beside one; a code that differs is then tried at the file
// server alone.
func (s *site) running(ctx context.Context, held, tried wire.PrinterConfig) *diagnose.Session {
	snap, err := s.fleet.Snapshot(held.Serial)
	if err != nil {
		return nil
	}
	there := sameHost(ctx, held.Address, tried.Address) && held.MQTTPort == tried.MQTTPort
	online := snap.Connection.State == wire.Online || snap.Connection.State == wire.Silent
	if !there || (!online && held.AccessCode != tried.AccessCode) {
		return nil
	}
	session := sessionOf(snap)
	session.OtherCode = held.AccessCode != tried.AccessCode
	return &session
}

// sameHost compares addresses as what they stand for: a name and its address are the
// same printer.
func sameHost(ctx context.Context, a, b string) bool {
	if strings.EqualFold(a, b) {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	first, err := net.DefaultResolver.LookupHost(ctx, a)
	if err != nil {
		return false
	}
	second, err := net.DefaultResolver.LookupHost(ctx, b)
	return err == nil && slices.ContainsFunc(first, func(ip string) bool { return slices.Contains(second, ip) })
}

// picture tries a camera: by the one session that all viewers share where it is the
// printer as it is held, else by one of its own for a moment.
func (s *site) picture(ctx context.Context, x examiner, t diagnose.Target) error {
	if a, err := s.fleet.Access(t.Config.Serial); err == nil && a.Config == t.Config {
		return x.picture(ctx, s.cameras, t)
	}
	one := camera.New(camera.Options{
		Target: func(string) (camera.Target, error) { return cameraTarget(t), nil }, Dial: x.dial, Log: slog.New(slog.DiscardHandler),
	})
	inside, stop := context.WithCancel(ctx)
	var life sync.WaitGroup
	life.Go(func() { _ = one.Run(inside) }) // it never fails
	defer life.Wait()
	defer stop()
	return x.picture(ctx, one, t)
}

// noPins remember no certificate: of a printer that is not held, or not yet.
type noPins struct{}

func (noPins) Pinned(string, farm.Secret) (string, bool) { return "", false }
func (noPins) Pin(string, farm.Secret, string) error     { return nil }

// linkedFiles are the files as the link wants them.
type linkedFiles struct{ *ftps.Client }

// maxListed bounds the answer of a listing, in bytes of JSON, below wire.MaxMessage.
const (
	maxListed = 900_000
	entrySize = 80 // without the name
)

func (l linkedFiles) List(ctx context.Context, serial, path string) (wire.FileList, error) {
	entries, err := l.Client.List(ctx, serial, path)
	if err != nil {
		return wire.FileList{}, err
	}
	slices.SortFunc(entries, func(a, b ftps.Entry) int {
		if a.Dir != b.Dir {
			if a.Dir {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	list := wire.FileList{Path: path, Entries: []wire.FileEntry{}}
	size := 0
	for _, e := range entries {
		if size += entrySize + 2*len(e.Name); size > maxListed {
			list.Truncated = true
			break
		}
		f := wire.FileEntry{Name: e.Name, Dir: e.Dir, Size: e.Size}
		if !e.Modified.IsZero() {
			f.ModifiedMS = e.Modified.UnixMilli()
		}
		list.Entries = append(list.Entries, f)
	}
	return list, nil
}

func (l linkedFiles) Download(ctx context.Context, serial, path string, size func(int64), to io.Writer) error {
	told := false
	_, err := l.Client.Download(ctx, serial, path, 0, to, func(_, total int64) {
		if !told {
			told = true
			size(total)
		}
	})
	return err
}

// linkedCameras are the cameras as the link wants them.
type linkedCameras struct{ *camera.Relay }

func (l linkedCameras) Watch(ctx context.Context, serial string, video bool, fps float64) (hublink.Viewer, error) {
	kind := camera.JPEG
	if video {
		kind = camera.H264
	}
	v, err := l.Relay.Watch(ctx, serial, kind, fps)
	if err != nil {
		return nil, err
	}
	return linkedViewer{v}, nil
}

type linkedViewer struct{ *camera.Viewer }

func (l linkedViewer) Next(ctx context.Context) ([]byte, time.Time, bool, error) {
	f, err := l.Viewer.Next(ctx)
	if errors.Is(err, io.EOF) {
		err = farm.Wrap(farm.Unavailable, err, "the stream was stopped")
	}
	return f.Data, f.At, f.Key, err
}
