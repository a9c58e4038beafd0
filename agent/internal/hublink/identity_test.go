package hublink

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"bambuddy/shared/farm"
)

func TestIdentityIsKept(t *testing.T) {
	dir := t.TempDir()
	if _, err := LoadIdentity(dir); !farm.Is(err, farm.NotFound) {
		t.Errorf("without one: %v", err)
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Identity{HubURL: "https://hub", Fingerprint: "ab", HubID: "h", AgentID: "a", Site: "Workshop", Name: "pi", Key: key}
	if err := SaveIdentity(dir, want); err != nil {
		t.Fatal(err)
	}
	got, err := LoadIdentity(dir)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, %v", got, err)
	}
	info, err := os.Stat(filepath.Join(dir, identityFile))
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v", info.Mode())
	}
}

func TestDamagedIdentityIsNotGuessedAt(t *testing.T) {
	for name, content := range map[string]string{
		"empty":     "",
		"half":      `{"version":1,"hub_url":"https://hub",`,
		"no key":    `{"version":1,"hub_url":"https://hub","hub_id":"h","agent_id":"a"}`,
		"short key": `{"version":1,"hub_url":"https://hub","hub_id":"h","agent_id":"a","key":"AAAA"}`,
		"newer":     `{"version":2}`,
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, identityFile)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LoadIdentity(dir)
		if err == nil || farm.Is(err, farm.NotFound) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestIdentityShowsNoKey(t *testing.T) {
	key := ed25519.NewKeyFromSeed([]byte("0123456789abcdef0123456789abcdef"))
	id := Identity{HubURL: "https://hub", AgentID: "a", Key: key}
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "identity", id)
	fmt.Fprintf(&out, "%v %+v %#v %s", id, id, id, id)
	if s := out.String(); strings.Contains(s, "48 49 50") || strings.Contains(s, "0x30, 0x31") || strings.Contains(s, "0123456789") {
		t.Errorf("the key shows: %s", s)
	}
}
