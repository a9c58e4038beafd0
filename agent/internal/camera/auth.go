package camera

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"bambuddy/shared/farm"
)

// challenge is how an RTSP server wants to be shown the access code. The zero
// value is: not at all.
type challenge struct {
	scheme string // "", "Digest" or "Basic"
	realm  string
	nonce  string
	opaque string
	hash   string // "", "MD5" or "SHA-256": as the server wrote it
	qop    bool   // wants the form with a counter
	count  int
}

// renew takes the best challenge a 401 offers, Digest before Basic. It is false
// when there is none that can be met, or when it was met already.
func (c *challenge) renew(offers []string) bool {
	var best challenge
	for _, offer := range offers {
		if next, ok := parseChallenge(offer); ok && (best.scheme == "" || next.scheme == "Digest") {
			best = next
		}
	}
	if best.scheme == "" || best.scheme == c.scheme && best.nonce == c.nonce {
		return false
	}
	if c.scheme == best.scheme && !stale(offers) {
		return false // a new nonce, but the code was wrong
	}
	*c = best
	return true
}

func stale(offers []string) bool {
	for _, offer := range offers {
		if strings.EqualFold(fields(offer)["stale"], "true") {
			return true
		}
	}
	return false
}

func parseChallenge(offer string) (challenge, bool) {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(offer), " ")
	f := fields(rest)
	c := challenge{realm: f["realm"], nonce: f["nonce"], opaque: f["opaque"], hash: f["algorithm"]}
	for _, text := range []string{c.realm, c.nonce, c.opaque, c.hash} {
		if strings.ContainsAny(text, "\"\\\r\n") || len(text) > 512 {
			return c, false
		}
	}
	switch {
	case strings.EqualFold(scheme, "Basic"):
		return challenge{scheme: "Basic"}, true
	case !strings.EqualFold(scheme, "Digest") || c.nonce == "":
		return c, false
	case c.hash != "" && !strings.EqualFold(c.hash, "MD5") && !strings.EqualFold(c.hash, "SHA-256"):
		return c, false
	}
	c.scheme = "Digest"
	for q := range strings.SplitSeq(f["qop"], ",") {
		c.qop = c.qop || strings.TrimSpace(q) == "auth"
	}
	return c, true
}

// fields reads `name="value", other=value`.
func fields(text string) map[string]string {
	f := map[string]string{}
	for len(f) < 20 {
		name, rest, ok := strings.Cut(text, "=")
		if !ok {
			break
		}
		if i := strings.LastIndexAny(name, " ,"); i >= 0 {
			name = name[i+1:]
		}
		var value string
		if quoted, ok := strings.CutPrefix(rest, `"`); ok {
			value, text, _ = strings.Cut(quoted, `"`)
		} else {
			value, text, _ = strings.Cut(rest, ",")
		}
		f[strings.ToLower(name)] = strings.TrimSpace(value)
	}
	return f
}

// answer is the value of the Authorization header of a request.
func (c *challenge) answer(method, uri string, code farm.Secret) string {
	if c.scheme == "Basic" {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+code.Reveal()))
	}
	c.count++
	secret := c.sum(user + ":" + c.realm + ":" + code.Reveal())
	what := c.sum(method + ":" + uri)
	var b strings.Builder
	fmt.Fprintf(&b, `Digest username="%s", realm="%s", nonce="%s", uri="%s"`, user, c.realm, c.nonce, uri)
	if c.qop {
		nonce := clientNonce()
		count := fmt.Sprintf("%08x", c.count)
		response := c.sum(strings.Join([]string{secret, c.nonce, count, nonce, "auth", what}, ":"))
		fmt.Fprintf(&b, `, response="%s", qop=auth, nc=%s, cnonce="%s"`, response, count, nonce)
	} else {
		fmt.Fprintf(&b, `, response="%s"`, c.sum(secret+":"+c.nonce+":"+what))
	}
	if c.hash != "" {
		b.WriteString(", algorithm=" + c.hash)
	}
	if c.opaque != "" {
		fmt.Fprintf(&b, `, opaque="%s"`, c.opaque)
	}
	return b.String()
}

func (c *challenge) sum(text string) string {
	if strings.EqualFold(c.hash, "SHA-256") {
		s := sha256.Sum256([]byte(text))
		return hex.EncodeToString(s[:])
	}
	s := md5.Sum([]byte(text)) // what RTSP's Digest is made of; TLS protects it
	return hex.EncodeToString(s[:])
}

func clientNonce() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
