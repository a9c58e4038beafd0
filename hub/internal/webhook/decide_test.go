package webhook

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"bambuddy/shared/farm"
)

var noon = time.Date(2024, 1, 15, 12, 0, 0, 0, time.UTC)

func TestJudge(t *testing.T) {
	for status, want := range map[int]verdict{
		0: again, 200: taken, 201: taken, 204: taken, 299: taken, 300: again, 301: again, 302: again, 304: again, 308: again,
		400: refused, 401: refused, 403: refused, 404: refused, 405: refused, 408: again, 409: refused, 410: refused, 413: refused, 422: refused,
		425: again, 429: again, 451: refused, 499: refused, 500: again, 501: again, 502: again, 503: again, 504: again, 599: again, 999: again,
	} {
		if got := judge(status); got != want {
			t.Errorf("%d: %v, want %v", status, got, want)
		}
	}
}

// The signature of docs/webhooks.md, made with another program:
// printf '1705320000.{"event":"test"}' | openssl dgst -sha256 -hmac whsec_example
func TestSign(t *testing.T) {
	const want = "t=1705320000,v1=fba88ed23b8e957de390c3867a6dc8781fcd664b45255d8ac3e7804a2783c02c"
	if got := Sign("whsec_example", noon, []byte(`{"event":"test"}`)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestTheLimitDoublesUpToABound(t *testing.T) {
	for tries, want := range map[int64]time.Duration{
		0: 5 * time.Second, 1: 5 * time.Second, 2: 10 * time.Second, 3: 20 * time.Second, 9: 1280 * time.Second, 10: maxWait, 63: maxWait, 1 << 40: maxWait,
	} {
		if got := limit(tries); got != want {
			t.Errorf("after %d tries %s, want %s", tries, got, want)
		}
	}
	var least, most time.Duration = maxWait, 0
	for range 2000 {
		d := jittered(time.Minute)
		least, most = min(least, d), max(most, d)
	}
	if least < leastWait || least > 5*time.Second || most < 55*time.Second || most > time.Minute {
		t.Errorf("waits of %s to %s, want them all over from 1 s to 60 s", least, most)
	}
}

func TestDecide(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		name        string
		age         time.Duration // since it was put down
		tries       int64
		status      int
		asked       time.Duration
		state       farm.DeliveryState
		least, most time.Duration // of the wait
	}{
		{"taken", 0, 1, 204, 0, farm.DeliveryDelivered, 0, 0},
		{"taken late", 2 * day, 9, 200, 0, farm.DeliveryDelivered, 0, 0},
		{"refused", 0, 1, 404, 0, farm.DeliveryDead, 0, 0},
		{"refused whatever it asks", 0, 1, 400, time.Minute, farm.DeliveryDead, 0, 0},
		{"first failure", 0, 1, 500, 0, farm.DeliveryPending, time.Second, 5 * time.Second},
		{"no answer", 0, 4, 0, 0, farm.DeliveryPending, time.Second, 40 * time.Second},
		{"many failures", day / 2, 60, 503, 0, farm.DeliveryPending, time.Second, maxWait},
		{"asks for two minutes", 0, 1, 429, 2 * time.Minute, farm.DeliveryPending, 2 * time.Minute, 132 * time.Second},
		{"asks for a week", 0, 1, 503, 7 * day, farm.DeliveryPending, time.Hour, 66 * time.Minute},
		{"asks beyond the end", day - time.Minute, 9, 503, time.Hour, farm.DeliveryPending, time.Minute, time.Minute},
		{"the last try", day, 70, 500, 0, farm.DeliveryDead, 0, 0},
		{"the first try, too late", 3 * day, 1, 500, 0, farm.DeliveryDead, 0, 0},
	} {
		state, next := decide(noon, farm.Delivery{Since: noon.Add(-c.age), Tries: c.tries}, c.status, c.asked, day)
		if state != c.state {
			t.Errorf("%s: %s, want %s", c.name, state, c.state)
		}
		if wait := next.Sub(noon); state == farm.DeliveryPending && (wait < c.least || wait > c.most) {
			t.Errorf("%s: waits %s, want %s to %s", c.name, wait, c.least, c.most)
		}
	}
}

func TestAsks(t *testing.T) {
	for _, c := range []struct {
		status int
		header string
		want   time.Duration
	}{
		{429, "120", 2 * time.Minute},
		{503, " 7 ", 7 * time.Second},
		{503, noon.Add(time.Minute).Format(http.TimeFormat), time.Minute},
		{503, noon.Add(-time.Hour).Format(http.TimeFormat), 0},
		{503, "", 0},
		{503, "soon", 0},
		{503, "-5", 0},
		{503, "1e9", 0},
		{503, "99999999999999999999", 0},
		{500, "120", 0},
		{200, "120", 0},
	} {
		if got := asks(c.status, c.header, noon); got != c.want {
			t.Errorf("%d %q: %s, want %s", c.status, c.header, got, c.want)
		}
	}
}

func TestChoose(t *testing.T) {
	at := func(id int64, seconds int) farm.DeliveryHead {
		return farm.DeliveryHead{ID: id, NextAt: noon.Add(time.Duration(seconds) * time.Second)}
	}
	for _, c := range []struct {
		name  string
		heads []farm.DeliveryHead
		free  int
		due   []int64
		next  int // seconds, 0: none
	}{
		{"nothing", nil, 4, nil, 0},
		{"nothing due", []farm.DeliveryHead{at(1, 60), at(2, 30)}, 4, nil, 30},
		{"due now", []farm.DeliveryHead{at(1, 0), at(2, 5)}, 4, []int64{1}, 5},
		{"the longest due first, as far as there is room", []farm.DeliveryHead{at(1, -1), at(2, -9), at(3, -5), at(4, 9)}, 2, []int64{2, 3}, 9},
		{"of the same age the older", []farm.DeliveryHead{at(9, -1), at(3, -1)}, 1, []int64{3}, 0},
	} {
		due, next := choose(c.heads, noon, c.free)
		if !slices.Equal(due, c.due) || (c.next == 0) != next.IsZero() || c.next != 0 && !next.Equal(noon.Add(time.Duration(c.next)*time.Second)) {
			t.Errorf("%s: %v, then %v", c.name, due, next)
		}
	}
}

func TestBodyOfWhatIsNotKnown(t *testing.T) {
	for _, c := range []struct{ data, want string }{
		{`{"printer_name":"A \"B\" <C>","printer_id":1,"agent_id":7,"extra":{"x":1}}`, `{"event":"printer_online","timestamp":"2024-01-15T12:00:00Z","data":{"printer_id":1,"printer_name":"A \"B\" <C>"}}`},
		{`{}`, `{"event":"printer_online","timestamp":"2024-01-15T12:00:00Z","data":{"printer_id":null,"printer_name":null}}`},
	} {
		b, err := Body(farm.EventPrinterOnline, noon.Add(900*time.Millisecond), []byte(c.data))
		if err != nil || string(b) != c.want {
			t.Errorf("%s\n%v %s\nwant %s", c.data, err, b, c.want)
		}
	}
	if b, err := Body(farm.EventPrinterOnline, noon, []byte(`no`)); err == nil || len(b) == 0 {
		t.Errorf("%v %s", err, b)
	}
	for _, kind := range append([]string{farm.EventWebhookTest}, farm.WebhookEvents...) {
		if len(keysOf[kind]) == 0 {
			t.Errorf("nobody has said what %s holds", kind)
		}
	}
	if len(keysOf) != len(farm.WebhookEvents)+1 {
		t.Errorf("%d events are described, %d can be asked for", len(keysOf), len(farm.WebhookEvents))
	}
}
