// Command webhooks checks the signature of a webhook: go run main.go "$SIGNATURE" < body
// The secret is in WEBHOOK_SECRET. It ends with 0 when it is genuine, with 1 when not.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// verify takes the header X-Bambuddy-Signature, and the request's body as it came.
func verify(secret, signature string, body []byte, now time.Time) bool {
	t, v1, _ := strings.Cut(strings.TrimPrefix(signature, "t="), ",v1=")
	sent, err := strconv.ParseInt(t, 10, 64)
	if err != nil || now.Sub(time.Unix(sent, 0)).Abs() > 5*time.Minute {
		return false
	}
	got, err := hex.DecodeString(v1)
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(t + "."))
	mac.Write(body)
	return hmac.Equal(mac.Sum(nil), got)
}

func main() {
	body, err := io.ReadAll(os.Stdin)
	if err != nil || len(os.Args) != 2 || !verify(os.Getenv("WEBHOOK_SECRET"), os.Args[1], body, time.Now()) {
		os.Exit(1)
	}
}
