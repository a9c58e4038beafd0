package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"bambuddy/shared/backoff"
	"bambuddy/shared/farm"
)

// How long is waited between the tries of a delivery: a random time below a limit that
// doubles with each.
const (
	firstWait = 5 * time.Second
	maxWait   = 30 * time.Minute
	leastWait = time.Second
)

// askedWait bounds what an endpoint may ask for by Retry-After.
const askedWait = time.Hour

// Sign is the X-Bambuddy-Signature of a body that is sent at a moment.
func Sign(secret farm.Secret, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret.Reveal()))
	mac.Write([]byte(t + "."))
	mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// verdict is what an answer means for a delivery.
type verdict int

const (
	again verdict = iota // no fault of the delivery's: try again
	taken
	refused // it would be no different next time
)

// judge tells what a status means; 0 is no answer.
func judge(status int) verdict {
	switch {
	case status >= 200 && status <= 299:
		return taken
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests:
		return again
	case status >= 400 && status <= 499:
		return refused
	}
	return again
}

// limit is the longest wait after so many tries.
func limit(tries int64) time.Duration {
	if tries >= 20 {
		return maxWait
	}
	return min(maxWait, firstWait<<max(0, tries-1))
}

// jittered is a random wait below a limit.
func jittered(limit time.Duration) time.Duration {
	return max(leastWait, backoff.Within(limit))
}

// decide tells what becomes of a delivery after a try, and when it is tried next. The
// last try is at the end of the time it is tried for.
func decide(now time.Time, v farm.Delivery, status int, asked time.Duration, retryFor time.Duration) (farm.DeliveryState, time.Time) {
	switch judge(status) {
	case taken:
		return farm.DeliveryDelivered, time.Time{}
	case refused:
		return farm.DeliveryDead, time.Time{}
	}
	end := v.Since.Add(retryFor)
	if !now.Before(end) {
		return farm.DeliveryDead, time.Time{}
	}
	next := jittered(limit(v.Tries))
	if asked > 0 {
		next = max(next, backoff.Spread(min(asked, askedWait)))
	}
	at := now.Add(next)
	if at.After(end) {
		at = end
	}
	return farm.DeliveryPending, at
}

// asks is how long an answer asks to wait, in seconds or as a date; 0: it does not.
func asks(status int, header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if header == "" || status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
		return 0
	}
	if n, err := strconv.ParseUint(header, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return 0
	}
	return max(0, at.Sub(now))
}

// choose picks which heads are tried now, the longest due first, and tells when the
// next one of the others is due.
func choose(heads []farm.DeliveryHead, now time.Time, free int) (due []int64, next time.Time) {
	var ready []farm.DeliveryHead
	for _, h := range heads {
		switch {
		case !h.NextAt.After(now):
			ready = append(ready, h)
		case next.IsZero() || h.NextAt.Before(next):
			next = h.NextAt
		}
	}
	sortHeads(ready)
	for _, h := range ready[:min(free, len(ready))] {
		due = append(due, h.ID)
	}
	return due, next
}
