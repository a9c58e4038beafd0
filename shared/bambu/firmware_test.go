package bambu

import (
	"slices"
	"testing"
)

func TestLenientFirmware(t *testing.T) {
	for _, test := range []struct {
		model, firmware string
		want            bool
	}{
		{"P1S", "01.07.00.00", true},
		{"P1S", "01.08.02.00", false},
		{"X1C", "01.08.50.18", true},
		{"X1C", "01.08.50.32", false},
		{"A1MINI", "01.04.99.00", true},
		{"A1", "01.05.00.00", false},
		{"H2D", "01.00.02.00", true},
		{"P2S", "01.00.00.00", false},
		{"P1S", "", false},
		{"P1S", "1", false},
		{"P1S", "01.x", false},
		{"", "01.00.00.00", false},
	} {
		m, _ := ModelByCode(test.model)
		if got := m.Lenient(test.firmware); got != test.want {
			t.Errorf("%s %s: %v", test.model, test.firmware, got)
		}
	}
	if v, ok := ParseFirmware("01.08.02.00"); !ok || !slices.Equal(v, []int{1, 8, 2, 0}) {
		t.Errorf("%v %v", v, ok)
	}
}
