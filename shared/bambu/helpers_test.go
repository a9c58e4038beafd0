package bambu

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// apply merges payloads and stops the test at one that is refused.
func apply(t testing.TB, s *State, payloads ...string) (last Applied) {
	t.Helper()
	for _, p := range payloads {
		a, err := s.Apply([]byte(p))
		if err != nil {
			t.Fatalf("apply %.200s: %v", p, err)
		}
		last = a
	}
	return last
}

// fixture is a frame of testdata.
func fixture(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// expect compares a status with a JSON text that names only what matters: an
// object needs the keys named, a list all its members in order.
func expect(t *testing.T, s Status, want string) {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, diff := range differences("status", tree(t, string(b)), tree(t, want)) {
		t.Error(diff)
	}
}

func tree(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

func differences(at string, got, want any) (out []string) {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			break
		}
		for k, v := range w {
			member, there := g[k]
			if !there {
				out = append(out, fmt.Sprintf("%s has no %s", at, k))
				continue
			}
			out = append(out, differences(at+"."+k, member, v)...)
		}
		return out
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			break
		}
		for i := range w {
			out = append(out, differences(fmt.Sprintf("%s[%d]", at, i), g[i], w[i])...)
		}
		return out
	}
	if !reflect.DeepEqual(got, want) {
		out = append(out, fmt.Sprintf("%s = %v, want %v", at, got, want))
	}
	return out
}
