package bambu

import (
	"bytes"
	"encoding/json"
	"testing"
)

// maxStatus bounds the JSON of a status: a line of the agent's state stream must
// hold it (wire.MaxStateLine).
const maxStatus = 256 << 10

// FuzzApply gives a state two payloads: it must not fall over, and its status
// must stay small, readable by the other side, and true to what was published.
func FuzzApply(f *testing.F) {
	// Short ones: the fuzzer spends its time in them, and together they open every section.
	for _, p := range []string{
		base,
		fixture(f, "a1-delta.json"),
		fixture(f, "a1-version.json"),
		`{"print":{"sequence_id":"1","result":"success"}}`,
		`{"print":{"ams":{"ams":[{"id":"128","info":"2E04","tray":[{"id":"0","state":9,"cols":["ff0000","00ff0080"]}]}],"tray_exist_bits":"ffffffffffffffffffff"}}}`,
		`{"print":{"nozzle_temper":"1e308","device":{"extruder":{"state":274,"info":[{"id":1,"snow":65535,"temp":16711934}]},"bed_temp":4587590,"ctc":{"info":{"temp":47}}}}}`,
		`{"print":{"device":{"airduct":{"parts":[{"id":16,"state":30}]},"nozzle":{"exist":3,"info":[{"id":1,"diameter":0.4,"type":"HS01"}]}},"vir_slot":[{"id":"255"}],"mapping":[258]}}`,
		`{"print":{"hms":[{"attr":1,"code":2}],"lights_report":[{"node":"a","mode":"on"}],"s_obj":[1],"3D":{"layer_num":1},"net":{"info":[{"ip":1}]},"fun":"1AFFF9CFF"}}`,
		`{"print":{"upgrade_state":{"new_version_state":1,"new_ver_list":[{"name":"ota","new_ver":"1"}]},"ipcam":{"rtsp_url":"rtsps://x"},"home_flag":-1,"vt_tray":{"id":"254"}}}`,
		"{\"print\":{ \"subtask_name\" : \"\xff\\ud800\\u0000\"}}\x00",
		`{"info":{"module":[{"name":"n3s/135","sn":1}]}}`,
	} {
		f.Add([]byte(base), []byte(p))
		f.Add([]byte(p), []byte(base))
	}
	f.Fuzz(func(t *testing.T, one, two []byte) {
		var s State
		_, err1 := s.Apply(one)
		first := s.Status()
		published := encode(t, first)
		a, err2 := s.Apply(two)
		second := s.Status()

		text := encode(t, second)
		if len(text) > maxStatus || len(published) > maxStatus {
			t.Errorf("status of %d bytes", len(text))
		}
		if encode(t, first) != published {
			t.Error("a published status changed")
		}
		var back Status
		if err := json.Unmarshal([]byte(text), &back); err != nil {
			t.Errorf("the other side cannot read it: %v", err)
		}
		if got := encode(t, first.With(second.Since(first))); got != text {
			t.Errorf("patch leads to %s, want %s", got, text)
		}
		if err2 == nil && !a.Changed && text != published {
			t.Error("the status changed and Apply said no")
		}
		for i, payload := range [][]byte{one, two} {
			trimmed := bytes.Trim(payload, "\x00 \t\r\n")
			if err := []error{err1, err2}[i]; err == nil && !json.Valid(trimmed) {
				t.Error("took what is not JSON")
			}
		}
	})
}
