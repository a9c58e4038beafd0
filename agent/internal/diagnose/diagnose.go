package diagnose

import (
	"context"
	"crypto/tls"
	"net"
	"strconv"
	"sync"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/wire"
)

// Time limits.
const (
	wholeTime   = 45 * time.Second // for one printer
	dialTime    = 5 * time.Second  // for one port
	tlsTime     = 10 * time.Second // for dialling and the handshake
	loginTime   = 20 * time.Second // for a session of our own
	filesTime   = 30 * time.Second
	pictureTime = 20 * time.Second
)

// Target is a printer and how to get in.
type Target struct {
	Config wire.PrinterConfig
	Model  bambu.Model // zero when unknown
	// TLS is how to speak TLS with it: its VerifyConnection decides whether this is
	// the printer. It is cloned before use.
	TLS *tls.Config
	// Touch allows the examination to leave a trace: to write a small file on the
	// printer's storage and delete it again.
	Touch bool
}

// Session is what a session with the printer knows of it.
type Session struct {
	Connection wire.Connection
	LastReport time.Time // zero: not told
	// OtherCode: it logged in with another access code than the one to be examined.
	OtherCode bool
	Status    bambu.Status
	// Partial tells that it was asked for at second hand: what Status does not say,
	// the session may know.
	Partial bool
}

// Files is what a login at the printer's file server found.
type Files struct {
	Banner     string
	Entries    int // in the root
	Encrypted  bool
	Tried      bool   // whether something can be written
	Writable   bool   // a small file could be written
	WriteError string // why not, a sentence
}

// Options are what a Diagnoser gets from outside. The functions may be nil: then
// what they would find out is reported as not looked at. They are called
// concurrently, end soon after their context, and their errors are sentences
// without secrets.
type Options struct {
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// FFmpeg is where it is, "" when it is missing.
	FFmpeg string
	// Login opens a session for a moment and tells what it saw. It is asked only for
	// a printer that has no session, after its certificate was found right.
	Login func(ctx context.Context, t Target) (Session, error)
	// Files logs in at the file server.
	Files func(ctx context.Context, t Target) (Files, error)
	// Picture takes one picture, or the beginning of the video.
	Picture func(ctx context.Context, t Target) error
}

// Diagnoser examines printers. Make it with New; it may be used concurrently.
type Diagnoser struct{ o Options }

// New makes a Diagnoser.
func New(o Options) *Diagnoser {
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	return &Diagnoser{o}
}

// Printer examines one printer, within a minute and earlier when ctx ends.
// running is what the session with it knows, nil when none is kept: beside one
// that is kept no other is opened.
func (d *Diagnoser) Printer(ctx context.Context, t Target, running *Session) wire.Report {
	ctx, cancel := context.WithTimeout(ctx, wholeTime)
	defer cancel()
	f := findings{target: t, session: running, ffmpeg: d.o.FFmpeg}
	var parts sync.WaitGroup
	parts.Go(func() { d.examineMQTT(ctx, &f) })
	parts.Go(func() { d.examineFiles(ctx, &f) })
	parts.Go(func() { d.examineCamera(ctx, &f) })
	parts.Wait()
	return wire.Report{
		Serial: t.Config.Serial, Name: t.Config.Name, Address: t.Config.Address,
		AtMS: time.Now().UnixMilli(), Checks: f.checks(),
	}
}

// findings are what was seen of a printer. Each part fills in its own fields.
type findings struct {
	target Target
	ffmpeg string

	mqtt     port
	identity identity
	session  *Session // the running one's or of a login of our own; nil: none
	login    error    // why a login of our own came to nothing

	filesPort port
	files     *Files // nil: not looked at, or filesErr
	filesErr  error

	cameraPort port
	picture    bool // one was taken
	pictureErr error
}

func (d *Diagnoser) examineMQTT(ctx context.Context, f *findings) {
	conn, p := d.dial(ctx, address(f.target, f.target.Config.MQTTPort))
	f.mqtt = p
	if conn == nil {
		return
	}
	f.identity = examineTLS(ctx, conn, f.target)
	if f.session != nil || f.identity.err != nil || d.o.Login == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	s, err := d.o.Login(ctx, f.target)
	if err != nil {
		f.login = err
		return
	}
	f.session = &s
}

// examineFiles knocks at the port only when the login did not get through it: few
// servers on a printer bear more than one client.
func (d *Diagnoser) examineFiles(ctx context.Context, f *findings) {
	at := address(f.target, f.target.Config.FTPSPort)
	if d.o.Files != nil {
		limited, cancel := context.WithTimeout(ctx, filesTime)
		defer cancel()
		files, err := d.o.Files(limited, f.target)
		if err == nil {
			f.files, f.filesPort = &files, port{at, open}
			return
		}
		f.filesErr = err
	}
	f.filesPort = d.knock(ctx, at)
}

func (d *Diagnoser) examineCamera(ctx context.Context, f *findings) {
	number := cameraPort(f.target)
	if number == 0 {
		return
	}
	at := address(f.target, number)
	if d.o.Picture != nil {
		limited, cancel := context.WithTimeout(ctx, pictureTime)
		defer cancel()
		if f.pictureErr = d.o.Picture(limited, f.target); f.pictureErr == nil {
			f.picture, f.cameraPort = true, port{at, open}
			return
		}
	}
	f.cameraPort = d.knock(ctx, at)
}

func cameraPort(t Target) int {
	if t.Config.CameraPort != 0 {
		return t.Config.CameraPort
	}
	return t.Model.Camera.Port()
}

func address(t Target, port int) string {
	return net.JoinHostPort(t.Config.Address, strconv.Itoa(port))
}
