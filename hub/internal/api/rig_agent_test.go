package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"

	"bambuddy/shared/farm"
	"bambuddy/shared/tunnel"
	"bambuddy/shared/wire"
)

// Call asks the handler, as an agent would be asked.
func (l *memLinks) Call(ctx context.Context, _ int64, _ wire.Capability, method, path string, in, out any) error {
	b, _ := json.Marshal(in) // tests' own values
	resp, err := l.ask(httptest.NewRequestWithContext(ctx, method, "http://agent"+path, bytes.NewReader(b)))
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if out == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

func (l *memLinks) Stream(ctx context.Context, _ int64, _ wire.Capability, path string) (*http.Response, error) {
	return l.ask(httptest.NewRequestWithContext(ctx, http.MethodGet, "http://agent"+path, nil))
}

// ask gives what the handler writes as it writes it, or the error it answers.
func (l *memLinks) ask(req *http.Request) (*http.Response, error) {
	l.asked = append(l.asked, req.Method+" "+req.URL.RequestURI())
	if l.err != nil {
		return nil, l.err
	}
	from, to := io.Pipe()
	w := &pipeAnswer{header: http.Header{}, to: to, begun: make(chan struct{})}
	go func() {
		l.agent.ServeHTTP(w, req)
		w.WriteHeader(http.StatusOK)
		_ = to.Close()
	}()
	<-w.begun
	resp := &http.Response{StatusCode: w.status, Header: w.header, Body: from}
	if w.status == http.StatusOK {
		return resp, nil
	}
	defer func() { _ = from.Close() }()
	err := tunnel.AnswerError(resp)
	if farm.Is(err, farm.NotFound) {
		err = farm.Wrap(farm.PrinterNotConnected, err, "the agent does not hold this printer yet")
	}
	return nil, err
}

// pipeAnswer is an answer that is read while it is written.
type pipeAnswer struct {
	header http.Header
	to     *io.PipeWriter
	status int
	begun  chan struct{}
}

func (w *pipeAnswer) Header() http.Header { return w.header }

func (w *pipeAnswer) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
		close(w.begun)
	}
}

func (w *pipeAnswer) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.to.Write(b)
}

// memAudit is the audit in memory.
type memAudit struct {
	mu    sync.Mutex // of rows: requests may be under way side by side
	rows  []farm.Audit
	asked []farm.AuditQuery
	check farm.AuditCheck
	err   error
}

func (m *memAudit) AppendAudit(_ context.Context, a farm.Audit) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		a.ID = int64(len(m.rows) + 1)
		m.rows = append(m.rows, a)
	}
	return m.err
}

func (m *memAudit) Audit(_ context.Context, q farm.AuditQuery) (out []farm.Audit, total int, err error) {
	m.asked = append(m.asked, q)
	offset := q.Offset
	for _, a := range slices.Backward(m.rows) {
		if q.Who != "" && a.Who != q.Who || q.Action != "" && a.Action != q.Action || q.Result == farm.AuditBegun && a.Status != 0 {
			continue
		}
		total++
		switch {
		case q.Before != 0 && a.ID >= q.Before:
		case offset > 0:
			offset--
		case len(out) < q.Limit:
			out = append(out, a)
		}
	}
	return out, total, m.err
}

func (m *memAudit) EachAudit(ctx context.Context, q farm.AuditQuery, fn func(farm.Audit) error) error {
	if q.Limit == 0 {
		q.Limit = len(m.rows)
	}
	rows, _, err := m.Audit(ctx, q)
	for _, a := range rows {
		if err == nil {
			err = fn(a)
		}
	}
	return err
}

func (m *memAudit) CheckAudit(context.Context) (farm.AuditCheck, error) { return m.check, m.err }
