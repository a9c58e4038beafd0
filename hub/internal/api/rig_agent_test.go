package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"

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
	rows []farm.Audit
	err  error
}

func (m *memAudit) AppendAudit(_ context.Context, a farm.Audit) error {
	if m.err == nil {
		a.ID = int64(len(m.rows) + 1)
		m.rows = append(m.rows, a)
	}
	return m.err
}

func (m *memAudit) CountAudit(context.Context) (int, error) { return len(m.rows), m.err }

func (m *memAudit) AuditBefore(_ context.Context, before int64, limit, offset int) (out []farm.Audit, err error) {
	for _, a := range slices.Backward(m.rows) {
		switch {
		case before != 0 && a.ID >= before:
		case offset > 0:
			offset--
		case len(out) < limit:
			out = append(out, a)
		}
	}
	return out, m.err
}
