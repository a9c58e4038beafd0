package simcam

import (
	"crypto/md5" // what RTSP's Digest is made of
	"crypto/subtle"
	"encoding/hex"
	"regexp"
	"strings"
)

// realm is that of the server software in the printers.
const realm = "LIVE555 Streaming Media"

var credential = regexp.MustCompile(`(\w+)\s*=\s*"([^"]*)"`)

// digestFits tells whether an Authorization header proves that its sender knows the
// code. The proof covers the uri in the header: proxies may have changed the one
// of the request.
func digestFits(header, method, nonce, code string) bool {
	fields, ok := strings.CutPrefix(header, "Digest ")
	if !ok {
		return false
	}
	got := map[string]string{}
	for _, m := range credential.FindAllStringSubmatch(fields, -1) {
		got[strings.ToLower(m[1])] = m[2]
	}
	want := digest(digest(user+":"+realm+":"+code) + ":" + nonce + ":" + digest(method+":"+got["uri"]))
	return got["username"] == user && got["realm"] == realm && got["nonce"] == nonce &&
		subtle.ConstantTimeCompare([]byte(got["response"]), []byte(want)) == 1
}

func digest(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}
