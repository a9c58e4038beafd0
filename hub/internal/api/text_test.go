package api

import (
	"net/http"
	"testing"

	"bambuddy/shared/farm"
)

// What is no text, or holds what PostgreSQL does not take in one, gets no further than
// the door.
func TestWhatIsNoText(t *testing.T) {
	r := newRig(t)
	r.seed(idleReport)
	for _, query := range []string{"/audit?who=%00", "/audit?action=%ff", "/archives?tag=%c3%28", "/archives?search=a&status=%00"} {
		r.wantError(r.get(base+query), farm.Invalid, "text")
	}
	for _, body := range []string{`{"name":"a\u0000b","permissions":["read"]}`, "{\"name\":\"a\x00b\"}", `{"x\u0000":1}`, "{\"name\":\"\xff\"}"} {
		r.wantError(r.do(r.admin, http.MethodPost, base+"/api-keys", body), farm.Invalid, "body")
	}
	if a := r.get(base + "/audit?who=%C3%BC&x=%00"); a.status != http.StatusOK {
		t.Errorf("an umlaut: %d", a.status)
	}
}
