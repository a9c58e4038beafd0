package wire

import (
	"fmt"
	"strings"
	"testing"

	"bambuddy/shared/farm"
)

// A token as released: it has to be read as long as its 15 minutes, and by agents
// that are older than the hub that made it.
const storedToken = "bbt_eyJ1IjoiaHR0cHM6Ly9odWIuZXhhbXBsZS5jb20iLCJzIjoic2VjcmV0IiwiZiI6ImFiY2QifQ"

func TestTokenRoundTrip(t *testing.T) {
	token := Token{URL: "https://hub.example.com", Secret: "secret", Fingerprint: "abcd"}
	if got := token.Encode().Reveal(); got != storedToken {
		t.Errorf("encoded as %s", got)
	}
	for _, pasted := range []string{storedToken, "  " + storedToken + "\n", storedToken[:20] + "\r\n  " + storedToken[20:]} {
		got, err := ParseToken(pasted)
		if err != nil || got != token {
			t.Errorf("%q reads as %+v, %v", pasted, got, err)
		}
	}
	if s := fmt.Sprint(token.Encode()); strings.Contains(s, "bbt_") {
		t.Errorf("a token prints as %s", s)
	}
}

func TestWhatIsNoToken(t *testing.T) {
	for name, s := range map[string]string{
		"nothing":       "",
		"an API key":    "bb_abcdefg",
		"not base64":    "bbt_!!!!",
		"not JSON":      "bbt_" + "bm90IGpzb24",
		"no secret":     Token{URL: "https://hub"}.Encode().Reveal(),
		"no address":    Token{Secret: "s"}.Encode().Reveal(),
		"odd address":   Token{URL: "ftp://hub", Secret: "s"}.Encode().Reveal(),
		"cut in half":   storedToken[:30],
		"relative path": Token{URL: "/hub", Secret: "s"}.Encode().Reveal(),
	} {
		if _, err := ParseToken(s); !farm.Is(err, farm.Invalid) {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), "secret\"") {
			t.Errorf("%s: the error tells the secret: %v", name, err)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(storedToken)
	f.Add("bbt_e30")
	f.Fuzz(func(t *testing.T, s string) {
		token, err := ParseToken(s)
		if err != nil {
			return
		}
		if again, err := ParseToken(token.Encode().Reveal()); err != nil || again != token {
			t.Errorf("%+v reads again as %+v, %v", token, again, err)
		}
	})
}
