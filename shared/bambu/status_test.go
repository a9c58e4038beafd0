package bambu

import (
	"encoding/json"
	"testing"
)

func encode(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestOpt(t *testing.T) {
	var unknown Opt[int]
	if encode(t, unknown) != "null" || encode(t, Some(0)) != "0" || encode(t, Some(1.5)) != "1.5" || encode(t, Some(false)) != "false" {
		t.Error("encoding")
	}
	for _, text := range []string{"null", "7"} {
		o := Some(3)
		if err := json.Unmarshal([]byte(text), &o); err != nil || encode(t, o) != text {
			t.Errorf("%s became %v, %v", text, o, err)
		}
	}
	var o Opt[int]
	if err := json.Unmarshal([]byte(`"x"`), &o); err == nil {
		t.Error("a string is no number")
	}
	if unknown.Ptr() != nil || *Some(4).Ptr() != 4 || unknown.Or(9) != 9 || Some(4).Or(9) != 4 {
		t.Error("Ptr or Or")
	}
}

// statuses are pictures that differ in every section.
func statuses(t *testing.T) []Status {
	t.Helper()
	out := []Status{{}}
	for _, frames := range [][]string{
		{"a1-version.json", "a1-full.json"}, {"p1s-full.json"}, {"x1c-version.json", "x1c-full.json"}, {"h2d-version.json", "h2d-full.json"}, {"p2s-full.json"},
	} {
		var s State
		for _, f := range frames {
			apply(t, &s, fixture(t, f))
		}
		out = append(out, s.Status())
	}
	return out
}

// TestPatch: a patch, also after its way over the wire, leads from any status to
// any other.
func TestPatch(t *testing.T) {
	all := statuses(t)
	for i, from := range all {
		for j, to := range all {
			p := to.Since(from)
			if p.Empty() != (i == j) {
				t.Errorf("%d to %d: empty = %v", i, j, p.Empty())
			}
			var wire Patch
			if err := json.Unmarshal([]byte(encode(t, p)), &wire); err != nil {
				t.Fatal(err)
			}
			for _, got := range []Status{from.With(p), from.With(wire), from.With(to.Whole())} {
				if encode(t, got) != encode(t, to) || !to.Since(got).Empty() {
					t.Errorf("%d to %d:\n got %s\nwant %s", i, j, encode(t, got), encode(t, to))
				}
			}
		}
	}
}

// TestPatchIsSmall: what did not change does not travel.
func TestPatchIsSmall(t *testing.T) {
	var s State
	apply(t, &s, fixture(t, "a1-full.json"))
	tests := []struct {
		frame string
		want  []string // the sections of the patch
	}{
		{delta(`"wifi_signal":"-61dBm"`), []string{"signal"}},
		{delta(`"wifi_signal":"-61dBm"`), nil},
		{delta(`"wifi_signal":"-90dBm"`), []string{"machine", "signal"}},
		{delta(`"nozzle_temper":221.5`), []string{"temps"}},
		{delta(`"mc_percent":39`), []string{"job"}},
		{delta(`"s_obj":[12,40,41]`), []string{"job"}},
		{delta(`"print_error":83918908`), []string{"faults"}},
		{delta(`"hms":[{"attr":83887616,"code":131184}]`), []string{"faults"}},
		{delta(`"lights_report":[{"node":"chamber_light","mode":"off"}]`), []string{"lights"}},
		{delta(`"ams":{"tray_now":"0"}`), []string{"filament"}},
		{delta(`"home_flag":391`), nil}, // an axis was homed
		{delta(`"fan_gear":0`), []string{"fans"}},
		{delta(`"mc_print_sub_stage":1,"ams":{"version":99}`), nil},
	}
	before := s.Status()
	for _, tt := range tests {
		a := apply(t, &s, tt.frame)
		var sections map[string]any
		p := s.Status().Since(before)
		if err := json.Unmarshal([]byte(encode(t, p)), &sections); err != nil {
			t.Fatal(err)
		}
		if a.Changed == p.Empty() {
			t.Errorf("%s: changed = %v with patch %s", tt.frame, a.Changed, encode(t, p))
		}
		for _, name := range tt.want {
			if _, ok := sections[name]; !ok {
				t.Errorf("%s: no %s in the patch", tt.frame, name)
			}
		}
		if len(sections) != len(tt.want) {
			t.Errorf("%s: patch %s, want %v", tt.frame, encode(t, p), tt.want)
		}
		before = s.Status()
	}
}
