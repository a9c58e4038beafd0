package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"bambuddy/shared/farm"
)

// A media link lets an <img> or <video>, which cannot send a header, read one path
// for some minutes as the caller who asked for it. It is the path with these
// parameters; what the caller may see is looked at anew when it is used.
const (
	linkExpires   = "expires"
	linkCaller    = "caller"
	linkSignature = "signature"
)

// MediaLink adds to a path what lets it be read until a moment as the caller.
func (a *Auth) MediaLink(p Principal, path string, until time.Time) string {
	caller := fmt.Sprintf("u%d", p.user.ID)
	if p.key.ID != 0 {
		caller = fmt.Sprintf("k%d", p.key.ID)
	}
	expires := strconv.FormatInt(until.Unix(), 10)
	q := url.Values{linkExpires: {expires}, linkCaller: {caller}, linkSignature: {a.sign(path, expires, caller)}}
	return path + "?" + q.Encode()
}

// IsMediaLink tells whether a query claims to be one of a media link.
func IsMediaLink(q url.Values) bool { return q.Has(linkSignature) }

// FollowLink finds the caller a media link was made for; UNAUTHORIZED when it was not
// made here for this path, or its time is over.
func (a *Auth) FollowLink(ctx context.Context, path string, q url.Values) (Principal, error) {
	expires, caller := q.Get(linkExpires), q.Get(linkCaller)
	want := a.sign(path, expires, caller)
	if subtle.ConstantTimeCompare([]byte(want), []byte(q.Get(linkSignature))) != 1 {
		return Principal{}, farm.Errorf(farm.Unauthorized, "this link is not valid")
	}
	until, err := strconv.ParseInt(expires, 10, 64)
	if err != nil || time.Now().Unix() >= until {
		return Principal{}, farm.Errorf(farm.Unauthorized, "this link has expired: ask for another one")
	}
	kind, number := caller[:1], caller[1:] // it is signed, so it is ours
	id, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return Principal{}, fmt.Errorf("read the caller of a signed link: %w", err)
	}
	if kind == "k" {
		return a.ofLink(ctx, 0, id)
	}
	return a.ofLink(ctx, id, 0)
}

// ofLink is the person or key a link was made for, as they are now.
func (a *Auth) ofLink(ctx context.Context, userID, keyID int64) (p Principal, err error) {
	if keyID != 0 {
		k, err := a.store.Key(ctx, keyID)
		if err != nil {
			return Principal{}, closed(err, errWrongKey())
		}
		p, err = a.ofKey(ctx, k)
		if err != nil {
			return Principal{}, err
		}
	} else {
		u, err := a.store.User(ctx, userID)
		if err != nil {
			return Principal{}, closed(err, errNoSession())
		}
		if u.Disabled {
			return Principal{}, errNoSession()
		}
		p = person(u, a.config())
	}
	p.link = true
	return p, nil
}

func (a *Auth) sign(path, expires, caller string) string {
	mac := hmac.New(sha256.New, a.linkKey[:])
	_, _ = mac.Write([]byte(strings.Join([]string{path, expires, caller}, "\n"))) // a hash takes everything
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
