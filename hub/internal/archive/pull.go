package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

const (
	// Transfers at a time, of all agents and of one: a lane has a dozen streams, which
	// cameras want too.
	pullWorkers  = 6
	pullsOfAgent = 2

	pullIdle  = time.Minute      // looks without being woken
	pullStall = time.Minute      // without a byte
	pullFirst = 5 * time.Second  // after a first failure
	pullMost  = 10 * time.Minute // after many
)

// pullLoop carries out what the table of pulls wants until ctx ends.
func (a *Archive) pullLoop(ctx context.Context) {
	var workers sync.WaitGroup
	defer workers.Wait()
	turns := newTurns()
	for {
		wait := a.dispatch(ctx, turns, &workers)
		timer := time.NewTimer(wait)
		select {
		case <-a.wake:
		case <-turns.freed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// dispatch begins the pulls that are due and tells how long there is nothing more.
func (a *Archive) dispatch(ctx context.Context, turns *turns, workers *sync.WaitGroup) time.Duration {
	turns.look()
	due, err := a.o.Store.DuePulls(ctx, time.Now(), 10*pullWorkers)
	if err != nil {
		if ctx.Err() == nil {
			a.log.Error("the files to fetch could not be read, will be tried again", "err", err)
		}
		return pullFirst
	}
	for _, p := range due {
		if !turns.take(p) {
			continue
		}
		workers.Go(func() {
			defer turns.give(p)
			a.pull(ctx, p)
		})
	}
	next, err := a.o.Store.NextPull(ctx)
	if err != nil || next.IsZero() {
		return pullIdle
	}
	return min(max(time.Until(next), time.Second), pullIdle)
}

// turns says who may transfer.
type turns struct {
	mu    sync.Mutex
	runs  map[int64]bool  // by pull
	ended map[int64]bool  // since the table was looked at: what it said of them is old
	shas  map[string]bool // one transfer of a content at a time
	agent map[int64]int
	freed chan struct{}
}

func newTurns() *turns {
	return &turns{runs: map[int64]bool{}, ended: map[int64]bool{}, shas: map[string]bool{}, agent: map[int64]int{}, freed: make(chan struct{}, 1)}
}

// look is before the table is read.
func (t *turns) look() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.ended)
}

func (t *turns) take(p farm.Pull) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.runs[p.ID] || t.ended[p.ID] || t.shas[p.SHA256] || len(t.runs) >= pullWorkers || t.agent[p.AgentID] >= pullsOfAgent {
		return false
	}
	t.runs[p.ID], t.shas[p.SHA256] = true, true
	t.agent[p.AgentID]++
	return true
}

func (t *turns) give(p farm.Pull) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.runs, p.ID)
	t.ended[p.ID] = true
	delete(t.shas, p.SHA256)
	t.agent[p.AgentID]--
	select {
	case t.freed <- struct{}{}:
	default:
	}
}

// pull brings one file home, or says why not and when to try again.
func (a *Archive) pull(ctx context.Context, p farm.Pull) {
	err := a.fetchAndStore(ctx, p)
	switch {
	case err == nil, ctx.Err() != nil:
		return
	default:
		if p.Error == "" {
			a.log.Warn("a file of a print is not here yet, will be tried again", "archive", p.PrintID, "role", p.Role, "err", err)
		}
		pause := min(pullFirst<<min(p.Tries, 10), pullMost)
		err = a.o.Store.PullFailed(ctx, p.ID, time.Now().Add(pause), detail(err))
	}
	if err != nil && ctx.Err() == nil {
		a.log.Error("the state of a transfer was not kept", "archive", p.PrintID, "err", err)
	}
}

// detail is what people see of an error.
func detail(err error) string {
	var e *farm.Error
	if errors.As(err, &e) {
		return e.Detail
	}
	return "it did not work; see the hub's log"
}

// fetchAndStore ends with the file stored, or given up, and the agent told that it
// need not keep it. The pull is done when both are: a restart in between finds the
// content stored and only tells the agent.
func (a *Archive) fetchAndStore(ctx context.Context, p farm.Pull) error {
	print, err := a.o.Store.Print(ctx, p.PrintID)
	if err != nil && !farm.Is(err, farm.NotFound) {
		return err
	}
	var lost error
	if err == nil { // else it was deleted meanwhile: nobody wants the file any more
		lost = a.bring(ctx, print, p)
		if lost != nil && !farm.Is(lost, farm.FileUnavailable) {
			return lost
		}
	}
	if err := os.Remove(a.part(p)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.log.Warn("a leftover of a transfer stays", "err", err)
	}
	if err := a.o.Agents.Release(ctx, p.AgentID, p.SHA256, wire.RunRef(p.RunID)); err != nil && !farm.Is(err, farm.FileUnavailable) {
		return fmt.Errorf("tell the agent that the file is safe: %w", err)
	}
	if lost != nil {
		a.log.Warn("a file of a print is lost", "archive", p.PrintID, "role", p.Role, "err", lost)
		return a.o.Store.PullGone(ctx, p.ID, detail(lost))
	}
	return a.o.Store.PullDone(ctx, p.ID)
}

// part is where a file grows while it is fetched.
func (a *Archive) part(p farm.Pull) string { return filepath.Join(a.o.Dir, "pull-"+p.SHA256) }

func (a *Archive) bring(ctx context.Context, print farm.Print, p farm.Pull) error {
	in := content{role: p.Role, sha256: p.SHA256, size: p.Size, name: p.Name}
	if stored, err := a.attachStored(ctx, print, in); stored || err != nil {
		return err
	}
	m := meter{archive: a, is: Transfer{PrintID: print.ID, PrinterID: print.PrinterID, SiteID: print.SiteID, Role: p.Role, Size: p.Size}}
	err := a.fetchAndIngest(ctx, print, p, in, &m)
	if farm.Is(err, farm.FileUnavailable) {
		if found, seek := a.found(ctx, print, in); found || seek != nil {
			err = seek
		}
	}
	m.end(err)
	return err
}

// found gives a print a model that lies in the object store though no row says so: a hub
// that was restored from a backup asks agents for files that they gave up long ago.
func (a *Archive) found(ctx context.Context, print farm.Print, in content) (bool, error) {
	if in.role != farm.RoleModel {
		return false, nil
	}
	key, err := a.keyFor(ctx, print, in)
	if err != nil {
		return false, err
	}
	unlock := a.keys.lock(key)
	defer unlock()
	if there, err := a.holds(ctx, key, in.size); !there || err != nil {
		return false, err
	}
	if err := a.o.Store.Intend(ctx, key, time.Now().Add(intentLasts)); err != nil { // nobody sweeps it now
		return false, err
	}
	body, _, err := a.o.Objects.Get(ctx, key, 0, -1)
	if err != nil {
		return false, err
	}
	h := sha256.New()
	_, err = io.Copy(h, body)
	if err = errors.Join(err, body.Close()); err != nil || hex.EncodeToString(h.Sum(nil)) != in.sha256 {
		return false, err
	}
	read := &objectReader{ctx: ctx, store: a.o.Objects, key: key, size: in.size}
	slice, err := a.sliceData(ctx, print, read, in.size)
	if err = errors.Join(err, read.failed); err != nil {
		return false, err
	}
	return true, a.note(ctx, print, in, key, slice)
}

// mostWrong is how often a file may arrive with other bytes than were announced.
const mostWrong = 5

func (a *Archive) fetchAndIngest(ctx context.Context, print farm.Print, p farm.Pull, in content, m *meter) error {
	file, err := os.OpenFile(a.part(p), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return farm.Wrap(farm.Unavailable, err, "the hub cannot write into its staging folder")
	}
	defer func() { _ = file.Close() }()
	if err := a.fetch(ctx, p, file, m); err != nil {
		return err
	}
	sum, _, err := hashOf(file)
	if err != nil {
		return err
	}
	if sum != p.SHA256 {
		if err := file.Truncate(0); err != nil {
			return err
		}
		if p.Tries >= mostWrong {
			return farm.Errorf(farm.FileUnavailable, "what the agent has is damaged: it is not what it captured")
		}
		return farm.Errorf(farm.Unavailable, "what arrived is not what the agent announced; it is fetched anew")
	}
	return a.ingest(ctx, print, in, file)
}

// fetch fills a staging file up to its size, from where an earlier try ended.
func (a *Archive) fetch(ctx context.Context, p farm.Pull, file *os.File, m *meter) error {
	at, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if at == p.Size {
		m.is.Bytes = at
		return nil
	}
	if at > p.Size {
		at = 0
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stalled := time.AfterFunc(pullStall, cancel)
	defer stalled.Stop()
	resp, err := a.o.Agents.File(ctx, p.AgentID, p.SHA256, at)
	if err != nil {
		return notGiven(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusPartialContent {
		at = 0
	}
	if err := file.Truncate(at); err != nil {
		return err
	}
	if _, err := file.Seek(at, io.SeekStart); err != nil {
		return err
	}
	m.is.Bytes = at
	to := writer(func(b []byte) (int, error) {
		stalled.Reset(pullStall)
		n, err := file.Write(b)
		m.moved(n)
		return n, err
	})
	got, err := io.Copy(to, io.LimitReader(resp.Body, p.Size-at+1))
	switch {
	case err != nil:
		return farm.Wrap(farm.Unavailable, err, "the transfer broke off after %d of %d bytes", at+got, p.Size)
	case at+got != p.Size:
		return farm.Errorf(farm.Unavailable, "the transfer ended after %d of %d bytes", at+got, p.Size)
	}
	return file.Sync()
}

// notGiven tells why an agent gave nothing.
func notGiven(err error) error {
	switch farm.CodeOf(err) {
	case farm.FileUnavailable:
		return farm.Wrap(farm.FileUnavailable, err, "the agent no longer has the file")
	case farm.Internal:
		return farm.Wrap(farm.Unavailable, err, "the agent did not answer")
	default:
		return err
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }
