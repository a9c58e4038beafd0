package app

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// tap is an answer that does not end by itself, and all that has come of it.
type tap struct {
	w     *world
	what  string
	stop  context.CancelFunc
	ended chan struct{} // closed when the other side ends it

	mu   sync.Mutex
	got  bytes.Buffer
	more chan struct{} // closed and replaced when more came
}

// open begins to read; it is stopped with the test.
func (w *world) open(header []string, path string) *tap {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+"/api/v1"+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := w.http.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	if res.StatusCode != 200 {
		b, _ := io.ReadAll(res.Body)
		w.t.Fatalf("%s: %d %s", path, res.StatusCode, b)
	}
	p := &tap{w: w, what: path, stop: cancel, ended: make(chan struct{}), more: make(chan struct{})}
	w.parts.Go(func() {
		defer close(p.ended)
		defer func() { _ = res.Body.Close() }()
		buf := make([]byte, 32<<10)
		for {
			n, err := res.Body.Read(buf)
			p.mu.Lock()
			p.got.Write(buf[:n])
			close(p.more)
			p.more = make(chan struct{})
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	w.t.Cleanup(cancel)
	return p
}

func (p *tap) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.got.String()
}

// await waits until all of the words have come, in whatever order.
func (p *tap) await(words ...string) {
	p.w.t.Helper()
	late := time.NewTimer(30 * time.Second)
	defer late.Stop()
	for {
		p.mu.Lock()
		text, more := p.got.String(), p.more
		p.mu.Unlock()
		lacks := ""
		for _, word := range words {
			if !strings.Contains(text, word) {
				lacks = word
			}
		}
		if lacks == "" {
			return
		}
		select {
		case <-more:
		case <-p.ended:
			p.w.t.Fatalf("%s ended before %q", p.what, lacks)
		case <-late.C:
			p.w.t.Fatalf("%s: no %q in %.2000s", p.what, lacks, text)
		}
	}
}

// alive fails when it has ended.
func (p *tap) alive() {
	p.w.t.Helper()
	select {
	case <-p.ended:
		p.w.t.Errorf("%s has ended", p.what)
	default:
	}
}

// dies checks that it ends within a second of now, in the time of a bubble.
func (p *tap) dies(why string) {
	p.w.t.Helper()
	late := time.NewTimer(time.Second)
	defer late.Stop()
	select {
	case <-p.ended:
	case <-late.C:
		p.w.t.Errorf("%s: %s is still open after a second", why, p.what)
		p.stop()
	}
}
