package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
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

// MediaLink adds to a path what lets it be read until a moment as the caller. It ends
// with the session or the key's secret it was made by.
func (a *Auth) MediaLink(p Principal, path string, until time.Time) string {
	caller := fmt.Sprintf("s%d.%d", p.session.ID, p.user.ID)
	if p.key.ID != 0 {
		caller = fmt.Sprintf("k%d.%s", p.key.ID, secretMark(p.key))
	}
	expires := strconv.FormatInt(until.Unix(), 10)
	q := url.Values{linkExpires: {expires}, linkCaller: {caller}, linkSignature: {a.sign(path, expires, caller)}}
	return path + "?" + q.Encode()
}

// secretMark tells one secret of a key from the next, and nothing of either.
func secretMark(k farm.APIKey) string { return hex.EncodeToString(k.Hash[:8]) }

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
	p, err := a.ofLink(ctx, caller)
	p.link = true
	return p, err
}

// ofLink is the person or key a link was made by, as they are now. It is signed, so it
// is ours.
func (a *Auth) ofLink(ctx context.Context, caller string) (Principal, error) {
	number, of, _ := strings.Cut(caller[1:], ".")
	id, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return Principal{}, fmt.Errorf("read the caller of a signed link: %w", err)
	}
	if caller[0] == 'k' {
		k, err := a.store.Key(ctx, id)
		if err != nil {
			return Principal{}, closed(err, errWrongKey())
		}
		if secretMark(k) != of {
			return Principal{}, errWrongKey()
		}
		return a.ofKey(ctx, k)
	}
	userID, err := strconv.ParseInt(of, 10, 64)
	if err != nil {
		return Principal{}, fmt.Errorf("read the person of a signed link: %w", err)
	}
	one, err := a.store.Session(ctx, userID, id)
	if err != nil {
		return Principal{}, closed(err, errNoSession())
	}
	return a.signedIn(ctx, one)
}

func (a *Auth) sign(path, expires, caller string) string {
	mac := hmac.New(sha256.New, a.linkKey[:])
	_, _ = mac.Write([]byte(strings.Join([]string{path, expires, caller}, "\n"))) // a hash takes everything
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
