package bambu

import (
	"encoding/json"
	"testing"
	"time"
)

// TestModels has the codes, names and prefixes of the dossier.
func TestModels(t *testing.T) {
	tests := []struct {
		product, code, name, prefix string
	}{
		{"BL-P001", "X1C", "X1 Carbon", "00M"},
		{"3DPrinter-X1-Carbon", "X1C", "X1 Carbon", "00M"},
		{"BL-P002", "X1", "X1", "00W"},
		{"3DPrinter-X1", "X1", "X1", "00W"},
		{"C13", "X1E", "X1E", "03W"},
		{"C11", "P1P", "P1P", "01S"},
		{"C12", "P1S", "P1S", "01P"},
		{"N7", "P2S", "P2S", "22E"},
		{"N7-V2", "P2S", "P2S", "22E"},
		{"N1", "A1MINI", "A1 mini", "030"},
		{"N2S", "A1", "A1", "039"},
		{"N9", "A2L", "A2L", "26A"},
		{"N6", "X2D", "X2D", "20P"},
		{"N6-V2", "X2D", "X2D", "20P"},
		{"O1D", "H2D", "H2D", "094"},
		{"O1D-V2", "H2D", "H2D", "094"},
		{"O1E", "H2DPRO", "H2D Pro", "239"},
		{"O2D", "H2DPRO", "H2D Pro", "239"},
		{"O1S", "H2S", "H2S", "093"},
		{"O1C", "H2C", "H2C", "31B"},
		{"O1C2", "H2C", "H2C", "31B"},
		{"N8", "N8", "N8", "35F"},
	}
	seen := map[string]bool{}
	for _, tt := range tests {
		m, ok := ParseModel(tt.product)
		if !ok || m.Code != tt.code || m.Name != tt.name || m.Prefix != tt.prefix {
			t.Errorf("%s is %s %q %s", tt.product, m.Code, m.Name, m.Prefix)
		}
		seen[tt.code] = true
		for _, word := range []string{tt.code, tt.name, "Bambu Lab " + tt.name} {
			if m, _ := ParseModel(word); m.Code != tt.code {
				t.Errorf("%q is %q, want %s", word, m.Code, tt.code)
			}
		}
		if m, _ := ModelByCode(tt.code); m.Name != tt.name {
			t.Errorf("code %s is %q", tt.code, m.Name)
		}
		if m, _ := ModelOfSerial(tt.prefix + "00A000000001"); m.Code != tt.code {
			t.Errorf("prefix %s is %q, want %s", tt.prefix, m.Code, tt.code)
		}
	}
	for _, m := range Models() {
		if !seen[m.Code] {
			t.Errorf("%s is not tested", m.Code)
		}
		if !m.ChamberSensor && m.ChamberHeater || m.ChamberHeater != (m.ChamberMax > 0) {
			t.Errorf("%s: chamber %+v", m.Code, m)
		}
		if delta := m.Reports == StyleDelta; (m.PushallBudget == 5*time.Minute) != delta || (m.Camera == CameraJPEG) != delta {
			t.Errorf("%s: style %s, budget %v, camera %s", m.Code, m.Reports, m.PushallBudget, m.Camera)
		}
	}
}

func TestParseModelForms(t *testing.T) {
	for word, code := range map[string]string{
		"x1c": "X1C", "X1-Carbon": "X1C", "x1 CARBON": "X1C", "bl-p001": "X1C", "Bambu Lab A1 mini": "A1MINI", "a1mini": "A1MINI",
		"A1_MINI": "A1MINI", "h2d pro": "H2DPRO", "bambulab-p1s": "P1S",
		"": "", "Ender 3": "", "bambu lab": "", "X": "",
	} {
		if m, ok := ParseModel(word); m.Code != code || ok != (code != "") {
			t.Errorf("%q is %q (%v), want %q", word, m.Code, ok, code)
		}
	}
	for serial, code := range map[string]string{"01P00A000000001": "P1S", "01p00a000000001": "P1S", "01P": "", "": "", "ZZZ00A000000001": ""} {
		if m, ok := ModelOfSerial(serial); m.Code != code || ok != (code != "") {
			t.Errorf("serial %q is %q, want %q", serial, m.Code, code)
		}
	}
	if _, ok := ModelByCode("x1c"); ok {
		t.Error("codes are exact")
	}
	if ports := [3]int{CameraNone.Port(), CameraJPEG.Port(), CameraRTSP.Port()}; ports != [3]int{0, 6000, 322} {
		t.Errorf("camera ports %v", ports)
	}
}

func TestModelsAreTheCallersOwn(t *testing.T) {
	Models()[0].Name = "changed"
	if Models()[0].Name == "changed" {
		t.Error("a caller changed the table")
	}
}

func TestCommands(t *testing.T) {
	for want, got := range map[string][]byte{
		`{"pushing":{"sequence_id":"20001","command":"pushall","version":1,"push_target":1}}`: PushAll("20001"),
		`{"info":{"sequence_id":"20002","command":"get_version"}}`:                            GetVersion("20002"),
	} {
		if string(got) != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if !json.Valid(PushAll(`"},{`)) || !json.Valid(GetVersion("\x00")) {
		t.Error("a sequence id can break the JSON")
	}
}
