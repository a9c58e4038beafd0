package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// Every message of every released version is read for ever. The files are never
// changed, only joined by new ones (name.v2.json …); one that no longer decodes, or
// loses a value on the way, means that the wire has broken, not the test.
func TestStoredMessages(t *testing.T) {
	kinds := map[string]func() any{
		"hello":         func() any { return new(Hello) },
		"config":        func() any { return new(Config) },
		"config_result": func() any { return new(ConfigResult) },
		"state_whole":   func() any { return new(StateFrame) },
		"state_patch":   func() any { return new(StateFrame) },
		"state_removed": func() any { return new(StateFrame) },
		"state_beat":    func() any { return new(StateFrame) },
		"command":       func() any { return new(Command) },
		"command_result": func() any {
			return new(CommandResult)
		},
		"diagnostics":      func() any { return new(Diagnostics) },
		"enrol_request":    func() any { return new(EnrolRequest) },
		"enrol_result":     func() any { return new(EnrolResult) },
		"file_list":        func() any { return new(FileList) },
		"discover_request": func() any { return new(DiscoverRequest) },
		"discover_result":  func() any { return new(DiscoverResult) },
		"probe_request":    func() any { return new(ProbeRequest) },
		"report":           func() any { return new(Report) },
		"outbox_page":      func() any { return new(OutboxPage) },
		"outbox_ack":       func() any { return new(OutboxAck) },
		"error":            func() any { return new(Error) },
	}
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		kind, _, _ := strings.Cut(filepath.Base(file), ".")
		seen[kind] = true
		t.Run(filepath.Base(file), func(t *testing.T) {
			if kinds[kind] == nil {
				t.Fatal("no message of this kind")
			}
			stored, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			message := kinds[kind]()
			d := json.NewDecoder(bytes.NewReader(stored))
			d.DisallowUnknownFields() // a field that was once sent may never leave the message
			if err := d.Decode(message); err != nil {
				t.Fatal(err)
			}
			again, err := json.Marshal(message)
			if err != nil {
				t.Fatal(err)
			}
			var want, got any
			if err := json.Unmarshal(stored, &want); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(again, &got); err != nil {
				t.Fatal(err)
			}
			for _, lost := range missing("", want, got) {
				t.Error(lost)
			}
		})
	}
	for kind := range kinds {
		if !seen[kind] {
			t.Errorf("no stored message of the kind %s", kind)
		}
	}
}

// missing lists what of want is not in got. What got has beyond is growth.
func missing(at string, want, got any) []string {
	switch w := want.(type) {
	case map[string]any:
		g, _ := got.(map[string]any)
		var out []string
		for k, v := range w {
			out = append(out, missing(at+"."+k, v, g[k])...)
		}
		return out
	case []any:
		g, _ := got.([]any)
		if len(g) != len(w) {
			return []string{fmt.Sprintf("%s: %d entries, want %d", at, len(g), len(w))}
		}
		var out []string
		for i := range w {
			out = append(out, missing(fmt.Sprintf("%s[%d]", at, i), w[i], g[i])...)
		}
		return out
	}
	if !reflect.DeepEqual(want, got) {
		return []string{fmt.Sprintf("%s: %v, want %v", at, got, want)}
	}
	return nil
}

// The stored whole state has every section filled, so that the test above covers
// every field of the first release.
func TestStoredStateIsComplete(t *testing.T) {
	b, err := os.ReadFile("testdata/state_whole.v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var f StateFrame
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	sections := reflect.ValueOf(f.Patch)
	for i := range sections.NumField() {
		if sections.Field(i).IsNil() {
			t.Errorf("the section %s is not in the stored state", sections.Type().Field(i).Name)
		}
	}
	if f.Patch.Job.Progress.Or(0) != 45 || f.Patch.Temps.Chamber.Or(0) != 38 || f.Patch.Temps.Nozzle2.Known {
		t.Errorf("read as %+v %+v", f.Patch.Job, f.Patch.Temps)
	}
}

func TestUnknownFieldsAreIgnored(t *testing.T) {
	var c Command
	if err := json.Unmarshal([]byte(`{"id":"1","kind":"dance","colour":"blue","valid_ms":5}`), &c); err != nil || c.Kind != "dance" {
		t.Errorf("%+v, %v", c, err)
	}
}
