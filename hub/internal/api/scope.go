package api

import (
	"context"
	"time"

	"bambuddy/hub/internal/auth"
	"bambuddy/shared/farm"
)

// Sites, agents and tokens are what many printers share. A key that is limited to
// certain printers sees those of them that its printers use, and changes none.

// seesSite tells whether the caller may know of a site.
func (s *server) seesSite(who auth.Principal, siteID int64) bool {
	return who.SeesSite(siteID) && (who.AllPrinters() || s.printersBySite(who)[siteID] > 0)
}

// seesAgent tells whether the caller may know of an agent.
func (s *server) seesAgent(who auth.Principal, agentID, siteID int64) bool {
	return who.SeesSite(siteID) && (who.AllPrinters() || s.printersByAgent(who)[agentID] > 0)
}

// runsFarm refuses a caller who is limited to certain printers.
func runsFarm(ctx context.Context) error {
	if !auth.From(ctx).AllPrinters() {
		return farm.Errorf(farm.Forbidden, "this key is limited to certain printers and cannot change what others share with them")
	}
	return nil
}

// wholeFarm refuses a caller who is limited to certain printers or sites: what he
// asks for is of all of them.
func wholeFarm(ctx context.Context, what string) error {
	if who := auth.From(ctx); !who.AllPrinters() || who.Sites() != nil {
		return farm.Errorf(farm.Forbidden, "you are limited to certain sites or printers, %s is of all", what)
	}
	return nil
}

// lasting refuses a key that ends to make what would go on without it.
func lasting(ctx context.Context) error {
	if k, isKey := auth.From(ctx).Key(); isKey && !k.ExpiresAt.IsZero() {
		return farm.Errorf(farm.Forbidden, "this key ends on %s, and what you ask for would not end with it", k.ExpiresAt.UTC().Format(time.RFC3339))
	}
	return nil
}

// granted makes a handler one that changes who may what. Such changes wait for each
// other, or one that began earlier would write back what another has just taken away; and
// the caller is looked at anew when it is his turn.
func granted[I, O any](s *server, handle func(context.Context, *I) (*O, error)) func(context.Context, *I) (*O, error) {
	return func(ctx context.Context, in *I) (*O, error) {
		select {
		case s.grants <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		defer func() { <-s.grants }()
		if err := s.auth.Recheck(ctx, auth.From(ctx)); err != nil {
			return nil, err
		}
		return handle(ctx, in)
	}
}
