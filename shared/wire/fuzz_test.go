package wire

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// Whatever an agent sends as a state, reading it does not panic, and what was read
// can be sent on and read again as the same.
func FuzzStateFrame(f *testing.F) {
	files, err := filepath.Glob("testdata/state_*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var first, second StateFrame
		if json.Unmarshal(b, &first) != nil {
			return
		}
		line, err := json.Marshal(first)
		if err != nil {
			t.Fatalf("cannot be sent on: %v", err)
		}
		if err := json.Unmarshal(line, &second); err != nil {
			t.Fatalf("%s cannot be read again: %v", line, err)
		}
		again, err := json.Marshal(second)
		if err != nil || !reflect.DeepEqual(line, again) {
			t.Errorf("%s became %s (%v)", line, again, err)
		}
	})
}
