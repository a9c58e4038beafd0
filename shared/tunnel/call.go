package tunnel

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// callPatience bounds a call whose context has no earlier end.
const callPatience = time.Minute

// Call makes one call of the agent API with a JSON body (in; nil: none) and reads
// a JSON answer (out; nil: ignored). The answer is read at once into bounded
// memory, so calls need no stream of their own: they are answered while all of the
// body streams stand still. At most MaxCalls are under way, more wait.
//
// An error answer of the agent is a *farm.Error with the agent's code. A lane that
// is lost before anything was sent is AGENT_OFFLINE. For a method that acts, a
// lane lost or a context ended after sending is OUTCOME_UNKNOWN; for one that only
// asks it is AGENT_OFFLINE or the context's error.
func (c *Client) Call(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	select {
	case c.calls <- struct{}{}:
		defer func() { <-c.calls }()
	case <-ctx.Done():
		return ended(ctx, method+" "+path)
	}
	req, err := newCall(ctx, method, path, in)
	if err != nil {
		return err
	}
	resp, err := c.send(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, wire.MaxMessage+1))
	switch {
	case err != nil:
		return lost(req, true, err)
	case len(body) > wire.MaxMessage:
		return unreadable(req, "is larger than a message may be")
	case resp.StatusCode >= 300:
		return agentError(resp.StatusCode, body)
	case out == nil:
		return nil
	case json.Unmarshal(body, out) != nil:
		return unreadable(req, "is not the JSON that was expected")
	}
	return nil
}

func newCall(ctx context.Context, method, path string, in any) (*http.Request, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encode the body of %s %s: %w", method, path, err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, body)
	if err != nil {
		return nil, fmt.Errorf("make the request %s %s: %w", method, path, err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// traced copies a request so that net/http has no means to send it again, and
// tells from the first byte on that it is being sent.
func traced(req *http.Request) (*http.Request, *atomic.Bool) {
	sent := new(atomic.Bool)
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		WroteHeaderField: func(string, []string) { sent.Store(true) },
	})
	out := req.Clone(ctx)
	out.URL.Scheme, out.URL.Host, out.Host = "http", "agent", "agent"
	out.GetBody = nil
	out.Header.Del("Idempotency-Key") // net/http reads these as a leave to send again
	out.Header.Del("X-Idempotency-Key")
	return out, sent
}

func agentError(status int, body []byte) error {
	var e wire.Error
	if json.Unmarshal(body, &e) != nil || e.Code == "" {
		return farm.Errorf(farm.Internal, "the agent answered %d without a reason", status)
	}
	return farm.Errorf(e.Code, "%s", clip(e.Detail, 500))
}

// AnswerError reads the error out of an answer that is none of what was asked for.
// The caller closes the body.
func AnswerError(resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, wire.MaxMessage))
	if err != nil {
		return farm.Wrap(farm.Unavailable, err, "the agent's answer broke off")
	}
	return agentError(resp.StatusCode, body)
}

func unreadable(req *http.Request, what string) error {
	code := farm.Internal
	if acts(req.Method) {
		code = farm.OutcomeUnknown
	}
	return farm.Errorf(code, "the agent's answer to %s %s %s", req.Method, req.URL.Path, what)
}
