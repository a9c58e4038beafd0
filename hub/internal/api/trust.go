package api

import (
	"context"
	"errors"
	"time"

	"bambuddy/hub/internal/auth"
	"bambuddy/shared/farm"
)

const (
	recheckEvery = 15 * time.Second
	trustFor     = 50 * time.Second // how long a key holds that cannot be checked
)

// errEnding ends a stream without fault of anybody.
var errEnding = errors.New("the hub is stopping")

// whileTrusted returns when an answer that goes on and on has to end: with its
// context, with the hub, or because its caller's key has ended or changed. It looks at the key now
// and then, when any key changes, and when this one is to end.
func (s *server) whileTrusted(ctx context.Context, caller auth.Principal) error {
	look := time.NewTicker(recheckEvery)
	defer look.Stop()
	ends := make(<-chan time.Time)
	if until := caller.Until(); !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		ends = timer.C
	}
	trusted := time.Now()
	for {
		changed := s.auth.Changed()
		err := s.auth.Recheck(ctx, caller)
		switch {
		case err == nil:
			trusted = time.Now()
		case farm.Is(err, farm.Unauthorized), time.Since(trusted) > trustFor:
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ending:
			return errEnding
		case <-look.C:
		case <-changed:
		case <-ends:
		}
	}
}
