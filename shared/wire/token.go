package wire

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"

	"bambuddy/shared/farm"
)

// Token is an enrolment token: one string to paste into an agent. It holds the
// hub's URL, the one-time secret and, for a hub with its own certificate, the
// SHA-256 fingerprint of it.
type Token struct {
	URL         string `json:"u"`
	Secret      string `json:"s"`
	Fingerprint string `json:"f,omitempty"` // hex, of the DER certificate
}

const tokenPrefix = "bbt_"

// Encode makes the pasteable string.
func (t Token) Encode() farm.Secret {
	b, _ := json.Marshal(t) // strings always marshal
	return farm.Secret(tokenPrefix + base64.RawURLEncoding.EncodeToString(b))
}

// ParseToken reads a pasted token, with white space around it or line breaks in
// it, as terminals and mails leave them.
func ParseToken(s string) (Token, error) {
	bad := farm.Errorf(farm.Invalid, "this is not an enrolment token: it begins with %s and is made by the hub (Settings > Agents, or `bambuddy-hub enrolment create`)", tokenPrefix)
	s = strings.Join(strings.Fields(s), "")
	raw, ok := strings.CutPrefix(s, tokenPrefix)
	if !ok {
		return Token{}, bad
	}
	b, err := base64.RawURLEncoding.DecodeString(raw)
	if err != nil {
		return Token{}, bad
	}
	var t Token
	if json.Unmarshal(b, &t) != nil || t.Secret == "" {
		return Token{}, bad
	}
	u, err := url.Parse(t.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return Token{}, farm.Errorf(farm.Invalid, "the token names no usable hub address (%q)", t.URL)
	}
	return t, nil
}
