package app

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"bambuddy/shared/farm"
)

// A sender that sends nothing for a minute is told so and cut off, wherever in the form
// that is; one that is only slow is not.
func TestSlowUploads(t *testing.T) {
	body, kind := form("file", "x.3mf", model3MF("", 1000))
	for name, c := range map[string]struct {
		sent  int
		pause time.Duration
		want  int
		code  farm.Code
	}{
		"before the file":    {10, 2 * time.Minute, 408, farm.RequestTimeout},
		"in the file":        {1000, 2 * time.Minute, 408, farm.RequestTimeout},
		"slow, but it comes": {1000, 50 * time.Second, 201, ""},
	} {
		t.Run(name, func(t *testing.T) {
			withHub(t, func(dial func() net.Conn, key, dir string) {
				conn := dial()
				fmt.Fprintf(conn, "POST /api/v1/archives HTTP/1.1\r\nHost: hub\r\nX-API-Key: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", key, kind, len(body))
				if _, err := conn.Write(body[:c.sent]); err != nil {
					t.Fatal(err)
				}
				time.Sleep(c.pause)
				_, _ = conn.Write(body[c.sent:]) // who was cut off cannot
				res, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				answer, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				var is struct{ Code farm.Code }
				if err != nil || res.StatusCode != c.want || json.Unmarshal(answer, &is) != nil || is.Code != c.code {
					t.Errorf("%d %s, %v", res.StatusCode, answer, err)
				}
				if left, err := os.ReadDir(filepath.Join(dir, "staging")); err != nil || len(left) != 0 {
					t.Errorf("staging holds %v, %v", left, err)
				}
			})
		})
	}
}

func adminKey(t *testing.T, dir string) string {
	t.Helper()
	admin, err := OpenAdmin(t.Context(), dir, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	key, err := admin.NewKey(t.Context(), "test", farm.Permissions, farm.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return key.Reveal()
}
