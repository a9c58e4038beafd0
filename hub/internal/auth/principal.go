// Package auth decides who calls the hub and what they may do: people with their
// sessions, API keys, the permissions and scopes they carry, and how often they may
// call.
//
// It is deny by default. A request without a valid key or session has no Principal;
// a database that does not answer is an error, never a guest.
package auth

import (
	"context"
	"slices"
	"strconv"
	"time"

	"bambuddy/shared/farm"
)

// Principal is who calls, and what they may do and see. Handlers ask it, never
// the key behind it. It is a value and safe to share.
type Principal struct {
	// key is what the caller carries: an API key narrowed to what its owner has, or
	// what the role of a person gives, with no id then.
	key      farm.APIKey
	user     farm.User    // the person, or the key's owner; zero: the hub's own key
	session  farm.Session // zero: not by a session
	defaults farm.Limits  // requests a minute without limits of its own
	link     bool         // by a media link
}

// person is somebody without a key.
func person(u farm.User, c Config) Principal {
	n := c.SessionLimit
	if n <= 0 {
		n = DefaultConfig.SessionLimit
	}
	return Principal{
		user: u, defaults: farm.Limits{Read: n, Write: n, Control: n},
		key: farm.APIKey{Name: u.Username, Permissions: u.Role.Permissions(), Sites: u.Sites},
	}
}

// narrowed is a key without what its owner does not have.
func narrowed(k farm.APIKey, owner farm.User) farm.APIKey {
	may := owner.Role.Permissions()
	k.Permissions = slices.DeleteFunc(slices.Clone(k.Permissions), func(p farm.Permission) bool { return !slices.Contains(may, p) })
	k.Sites = owner.Narrow(k.Sites)
	return k
}

// stands tells whether the time of the caller's key or session has not run out.
func (p Principal) stands(now time.Time) bool {
	return p.key.ExpiresAt.IsZero() || now.Before(p.key.ExpiresAt)
}

// Name is what a person calls the caller, for the log.
func (p Principal) Name() string { return p.key.Name }

// Kind is what sort of caller it is: "user", "key", or "link" for either's media link.
func (p Principal) Kind() string {
	switch {
	case p.link:
		return "link"
	case p.key.ID != 0:
		return "key"
	}
	return "user"
}

// User is the person who calls, or whose key does; false for a key of the hub itself.
func (p Principal) User() (farm.User, bool) { return p.user, p.user.ID != 0 }

// Key is the key that calls, narrowed to what its owner has; false for a person.
func (p Principal) Key() (farm.APIKey, bool) { return p.key, p.key.ID != 0 }

// SessionID is the session of the caller; 0: none, the request carries a key.
func (p Principal) SessionID() int64 { return p.session.ID }

// subject is whom the caller's requests are counted for.
func (p Principal) subject() string {
	if p.key.ID != 0 {
		return "k:" + strconv.FormatInt(p.key.ID, 10) + ":"
	}
	return "u:" + strconv.FormatInt(p.user.ID, 10) + ":"
}

// May tells whether the caller has a permission.
func (p Principal) May(need farm.Permission) bool { return p.key.May(need) }

// Sees tells whether a printer is within the caller's scope.
func (p Principal) Sees(printerID, siteID int64) bool { return p.key.Sees(printerID, siteID) }

// SeesSite tells whether a site is within the caller's scope.
func (p Principal) SeesSite(siteID int64) bool { return p.key.SeesSite(siteID) }

// SeesPrint tells whether an archive is within the caller's scope. An upload, and a
// print whose printer was removed, is seen by who is not limited to certain printers.
func (p Principal) SeesPrint(one farm.Print) bool {
	if one.PrinterID == 0 {
		return p.AllPrinters() && p.SeesSite(one.SiteID)
	}
	return p.Sees(one.PrinterID, one.SiteID)
}

// PrintScope is the same as part of a query.
func (p Principal) PrintScope() farm.PrintScope {
	return farm.PrintScope{Printers: p.key.Printers, Sites: p.key.Sites}
}

// Sites lists the sites the caller is limited to; nil means all.
func (p Principal) Sites() []int64 { return p.key.Sites }

// Until is when the caller's key or session ends; zero means never.
func (p Principal) Until() time.Time { return p.key.ExpiresAt }

// AllPrinters tells that the caller is not limited to named printers.
func (p Principal) AllPrinters() bool { return p.key.Printers == nil }

// Exceeds names the first thing a key would carry beyond the caller's own
// ("permissions", "printers", "sites", "limits", "expiry"), or "" when it stays
// within. Nobody hands out, sees or changes more than they have. An
// administrator of everything who has no limits may set any: the settings let him too.
func (p Principal) Exceeds(k farm.APIKey) string {
	for _, perm := range k.Permissions {
		if !p.May(perm) {
			return "permissions"
		}
	}
	if !within(k.Printers, p.key.Printers) {
		return "printers"
	}
	if !within(k.Sites, p.key.Sites) {
		return "sites"
	}
	for _, c := range []Class{ReadClass, WriteClass, ControlClass} {
		hub := orDefault(p.defaults, DefaultLimits)
		if limitOf(p.key.Limits, c) == 0 && p.May(farm.Admin) && p.AllPrinters() && p.key.Sites == nil {
			continue
		}
		if limitOf(orDefault(k.Limits, hub), c) > limitOf(orDefault(p.key.Limits, hub), c) {
			return "limits"
		}
	}
	// A person's session ends, a person does not.
	if end := p.key.ExpiresAt; p.key.ID != 0 && !end.IsZero() && (k.ExpiresAt.IsZero() || k.ExpiresAt.After(end)) {
		return "expiry"
	}
	return ""
}

// MayManage tells whether somebody is within what the caller has: nobody sees or
// changes a person, or makes one, who has more.
func (p Principal) MayManage(u farm.User) bool {
	if p.key.Sites != nil && u.Sites != nil && len(u.Sites) == 0 {
		return false // of no site now, of any later: that is for who has all of them
	}
	return p.Exceeds(farm.APIKey{
		Permissions: u.Role.Permissions(), Sites: u.Sites, Printers: p.key.Printers, Limits: p.key.Limits, ExpiresAt: p.key.ExpiresAt,
	}) == "" && p.AllPrinters()
}

// within compares allow-lists, where nil means everything.
func within(list, limit []int64) bool {
	if limit == nil {
		return true
	}
	if list == nil {
		return false
	}
	allowed := make(map[int64]bool, len(limit))
	for _, id := range limit {
		allowed[id] = true
	}
	for _, id := range list {
		if !allowed[id] {
			return false
		}
	}
	return true
}

type contextKey struct{}

// With puts the caller into a request's context.
func With(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

// From gives the caller of a request. Without one it gives a Principal that may
// do nothing and sees nothing.
func From(ctx context.Context) Principal {
	if p, ok := ctx.Value(contextKey{}).(Principal); ok {
		return p
	}
	return Principal{key: farm.APIKey{Printers: []int64{}, Sites: []int64{}}}
}
