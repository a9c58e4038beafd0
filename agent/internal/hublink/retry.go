package hublink

import (
	"errors"
	"time"

	"bambuddy/shared/backoff"
	"bambuddy/shared/farm"
	"bambuddy/shared/tunnel"
)

// Waits after a no of the hub that a person has to resolve, and after its restart.
const (
	duplicateWait = time.Minute
	revokedWait   = 10 * time.Minute
	restartWait   = 10 * time.Second // at most
	longestWait   = time.Hour        // that a Retry-After can ask for
)

// pauseAfter is how long to stay away after a session that ended, or never began.
func (l *Link) pauseAfter(err error, lasted time.Duration) time.Duration {
	var no *tunnel.Refused
	var closed *tunnel.Closed
	switch {
	case errors.As(err, &no):
		asked := min(no.RetryAfter, longestWait)
		switch no.Code {
		case farm.DuplicateIdentity:
			return backoff.Spread(max(duplicateWait, asked))
		case farm.Revoked, farm.TooOld:
			return backoff.Spread(max(revokedWait, asked))
		}
		return max(l.wait.Next(), backoff.Spread(asked))
	case errors.As(err, &closed) && closed.Status == tunnel.StatusRestart:
		l.wait.Reset()
		return backoff.Within(restartWait)
	}
	return l.wait.NextAfter(lasted)
}

// problem is why there is no connection: a key that only changes with the kind of
// problem, and a sentence for people.
type problem struct {
	key      string
	code     farm.Code // of a refusal
	sentence string
}

func problemOf(err error) problem {
	var no *tunnel.Refused
	var closed *tunnel.Closed
	switch {
	case errors.As(err, &no):
		return problem{"refused " + string(no.Code), no.Code, no.Error()}
	case errors.Is(err, tunnel.ErrWrongHub), errors.Is(err, tunnel.ErrWrongCertificate), errors.Is(err, tunnel.ErrPlain):
		return problem{err.Error(), "", err.Error()}
	case errors.As(err, &closed) && closed.Status == tunnel.StatusRestart:
		return problem{"restart", "", "the hub restarts"}
	case errors.As(err, &closed):
		return problem{"closed", "", err.Error()}
	}
	return problem{"unreachable", "", err.Error()}
}
