// Package archive is the files and pictures of prints: it fetches what agents have
// captured, takes uploads, keeps each content once, reads what the slicer says of
// it, gives files out again, exports the list, and forgets what retention says. It
// never moves a print from state to state, that is package prints.
//
// An object is written under an intent that was committed before, and counts only
// when a row refers to it; so nothing that a row needs is ever deleted, and nothing
// that no row needs stays for ever. See DESIGN's "objects are deleted by intent".
package archive

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"bambuddy/hub/internal/blob"
	"bambuddy/shared/farm"
)

// Store is what the archive needs of the database.
type Store interface {
	Site(ctx context.Context, id int64) (farm.Site, error)
	Print(ctx context.Context, id int64) (farm.Print, error)
	PrintFiles(ctx context.Context, printID int64) ([]farm.PrintFile, error)
	Runs(ctx context.Context, printID int64) ([]string, error)
	Project(ctx context.Context, id int64) (farm.Project, error)
	EachPrint(ctx context.Context, q farm.PrintQuery, fn func(farm.Print) error) error
	// AddFile adds an uploaded file as an archive and gives it its id and folder. The
	// path of f is below that folder; its PrintID is not known yet.
	AddFile(ctx context.Context, p *farm.Print, f farm.StoredFile) error
	DeletePrint(ctx context.Context, id int64, purge bool) error

	// Object finds the object that holds a content; NOT_FOUND without.
	Object(ctx context.Context, sha256 string) (key string, size int64, err error)
	// StoreFile notes that a file of a print is stored, with what it tells of the print.
	StoreFile(ctx context.Context, f farm.StoredFile) error

	NewestFiles(ctx context.Context, limit int) ([]farm.PrintFile, error)
	// PullAgain wants a lost file once more, when there is an agent to ask.
	PullAgain(ctx context.Context, f farm.PrintFile) (wanted bool, err error)

	DuePulls(ctx context.Context, now time.Time, limit int) ([]farm.Pull, error)
	NextPull(ctx context.Context) (time.Time, error)
	PullFailed(ctx context.Context, id int64, next time.Time, reason string) error
	PullGone(ctx context.Context, id int64, reason string) error
	PullDone(ctx context.Context, id int64) error

	Intend(ctx context.Context, key string, due time.Time) error
	DueIntents(ctx context.Context, now time.Time, limit int) ([]string, error)
	ClaimIntent(ctx context.Context, key string, now time.Time) (bool, error)

	Cursor(ctx context.Context, name string) (int64, error)
	SetCursor(ctx context.Context, name string, id int64) error

	ExpiredPrints(ctx context.Context, before time.Time, limit int) ([]farm.Print, error)
	StoredBytes(ctx context.Context) (int64, error)
	OldestWithFiles(ctx context.Context, limit, skip int) ([]farm.Print, error)
	// Freed is how many bytes go with an archive.
	Freed(ctx context.Context, id int64) (int64, error)
}

// Events is the news of the event table.
type Events interface {
	Follow(ctx context.Context, after int64, fn func(farm.Event) error) error
}

// Agents is the way to the files that agents have captured.
type Agents interface {
	// File asks for a file from an offset on; the caller drains or closes the body.
	File(ctx context.Context, agentID int64, sha256 string, offset int64) (*http.Response, error)
	Release(ctx context.Context, agentID int64, sha256, ref string) error
}

// Retention is how long archives are kept; zero keeps them. Favourites and prints
// under way are always kept.
type Retention struct {
	Age   time.Duration // of the print
	Bytes int64         // of all objects together
}

// Options are the parts and settings of an Archive.
type Options struct {
	Store     Store
	Objects   blob.Store
	Events    Events
	Agents    Agents
	Dir       string // staging: files on their way into the object store
	Retention Retention
	MaxUpload int64              // bytes; 0: 1 GiB
	Prices    func() farm.Prices // what prints cost whose 3MF has come; nil: nothing
	// SweepAfter is how long no object is deleted after the start: a database that was
	// restored from a backup does not know what was stored since, until agents have told it.
	SweepAfter time.Duration
	Log        *slog.Logger
}

// Archive keeps the files of prints. Make it with New and let Run live once; all
// methods may be called concurrently.
type Archive struct {
	o     Options
	log   *slog.Logger
	began time.Time // of Run
	wake  chan struct{}
	keys  keyLocks

	onWay    onWay
	painting sync.Mutex // one picture at a time

	check   sync.Mutex
	checked time.Time // zero: never
	unwell  error     // as of then
}

// New makes an Archive and its staging folder.
func New(o Options) (*Archive, error) {
	if o.MaxUpload <= 0 {
		o.MaxUpload = 1 << 30
	}
	if o.Prices == nil {
		o.Prices = func() farm.Prices { return farm.Prices{} }
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the staging folder: %w", err)
	}
	return &Archive{o: o, log: o.Log, wake: make(chan struct{}, 1), keys: keyLocks{held: map[string]*keyLock{}}, onWay: onWay{open: map[onWayKey]Transfer{}, watchers: map[*Watcher]struct{}{}}}, nil
}

// Run fetches, sweeps and forgets until ctx ends.
func (a *Archive) Run(ctx context.Context) error {
	a.began = time.Now()
	a.clearStaging()
	var parts sync.WaitGroup
	parts.Go(func() { a.pullLoop(ctx) })
	parts.Go(func() { a.sweepLoop(ctx) })
	parts.Go(func() { a.recordLoop(ctx) })
	parts.Go(func() { a.missLoop(ctx) })
	parts.Wait()
	return nil
}

// Wake tells that there may be something to fetch.
func (a *Archive) Wake() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// checkLasts is how long an answer of Check holds: it writes an object and removes it,
// which some stores keep for ever.
const checkLasts = 30 * time.Second

// Check tells whether the object store works, as of the last half minute.
func (a *Archive) Check(ctx context.Context) error {
	a.check.Lock()
	defer a.check.Unlock()
	if a.checked.IsZero() || time.Since(a.checked) > checkLasts {
		err := a.o.Objects.Check(ctx)
		if ctx.Err() != nil {
			return err // nobody waited for the answer
		}
		a.checked, a.unwell = time.Now(), err
	}
	return a.unwell
}

// clearStaging removes uploads that a process before this one did not finish. Parts
// of pulls stay: they are gone on with.
func (a *Archive) clearStaging() {
	left, err := filepath.Glob(filepath.Join(a.o.Dir, "upload-*"))
	if err != nil {
		return
	}
	for _, path := range left {
		if err := os.Remove(path); err != nil {
			a.log.Warn("a leftover of an upload stays", "err", err)
		}
	}
}

// keyLocks makes those wait for each other who write and delete one object.
type keyLocks struct {
	mu   sync.Mutex
	held map[string]*keyLock
}

type keyLock struct {
	sync.Mutex
	users int
}

func (k *keyLocks) lock(key string) (unlock func()) {
	k.mu.Lock()
	l := k.held[key]
	if l == nil {
		l = &keyLock{}
		k.held[key] = l
	}
	l.users++
	k.mu.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		k.mu.Lock()
		defer k.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(k.held, key)
		}
	}
}
