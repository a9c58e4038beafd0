package farm

import (
	"strings"
	"testing"
)

func TestNamesThatWindowsKeepsForItself(t *testing.T) {
	for name, want := range map[string]bool{
		"CON": true, "con.3mf": true, "Aux.tar.gz": true, "nul ": true, "com1": true, "LPT9.x": true, "COM²": true, "conin$": true,
		"console": false, "com": false, "com10": false, "lpt": false, "xcon": false, "benchy.con": false, "": false, "ltp1": false,
	} {
		if got := ReservedName(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
	if got := SafeName("aux.3mf", 120); got != "_aux.3mf" {
		t.Errorf("a file of that name is called %q", got)
	}
	if got := Slug("NUL", 40); got != "_NUL" {
		t.Errorf("a printer of that name has the folder %q", got)
	}
}

func TestACutNameEndsInNoBlank(t *testing.T) {
	if got := SafeName(strings.Repeat("a", 9)+" b", 10); got != strings.Repeat("a", 9) {
		t.Errorf("%q", got)
	}
}
