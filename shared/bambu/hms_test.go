package bambu

import (
	"strings"
	"testing"
)

// TestHMS has every message of the recordings. Their severity settles the formula:
// it is the code's high half.
func TestHMS(t *testing.T) {
	tests := []struct {
		h        HMS
		text     string
		severity Severity
		module   string
	}{
		{HMS{83887360, 65543}, "HMS_0500_0500_0001_0007", Fatal, "mainboard"},
		{HMS{83887616, 131184}, "HMS_0500_0600_0002_0070", Serious, "mainboard"},
		{HMS{83952640, 196610}, "HMS_0501_0400_0003_0002", Common, "mainboard"},
		{HMS{83887104, 196695}, "HMS_0500_0400_0003_0057", Common, "mainboard"},
		{HMS{0x07002000, 0x00040001}, "HMS_0700_2000_0004_0001", Info, "AMS"},
		{HMS{0x0300ABCD, 0x00020003}, "HMS_0300_ABCD_0002_0003", Serious, "motion controller"},
		{HMS{0x99000000, 0x00090001}, "HMS_9900_0000_0009_0001", Common, ""},
	}
	for _, tt := range tests {
		if tt.h.String() != tt.text || tt.h.Severity() != tt.severity || tt.h.Module() != tt.module {
			t.Errorf("%+v is %s %s %q, want %s %s %q", tt.h, tt.h, tt.h.Severity(), tt.h.Module(), tt.text, tt.severity, tt.module)
		}
	}
	if (HMS{83887360, 65543}).Message() == "" || (HMS{83887616, 131184}).Message() != "" {
		t.Error("messages: want words for the signature fault and none for a code we do not know")
	}
}

func TestLevel(t *testing.T) {
	var (
		fatal  = HMS{83887360, 65543}
		severe = HMS{83887616, 131184}
		common = HMS{83952640, 196610}
		info   = HMS{0x07002000, 0x00040001}
		echo   = HMS{0x03000100, 0x0002400C}
	)
	tests := []struct {
		name string
		f    Faults
		want string
	}{
		{"nothing", Faults{}, "ok"},
		{"fatal", Faults{HMS: []HMS{common, fatal}}, "error"},
		{"serious", Faults{HMS: []HMS{severe}}, "error"},
		{"common", Faults{HMS: []HMS{common}}, "warning"},
		{"info", Faults{HMS: []HMS{info}}, "warning"},
		{"print error", Faults{PrintError: 83918908}, "error"},
		{"cancelled", Faults{PrintError: 50348044}, "ok"},
		{"cancelled, other code", Faults{PrintError: 0x0500400E}, "ok"},
		{"cancelled, with its message", Faults{PrintError: 50348044, HMS: []HMS{echo}}, "ok"},
		{"cancelled, as a P2S tells it", Faults{PrintError: 50348044, HMS: []HMS{{83887104, 196695}}}, "ok"},
		{"its message with another severity", Faults{HMS: []HMS{{83887104, 131159}}}, "error"},
		{"cancelled beside a real one", Faults{PrintError: 50348044, HMS: []HMS{severe}}, "error"},
	}
	for _, tt := range tests {
		if got := tt.f.Level(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestErrorCode(t *testing.T) {
	tests := map[uint32]struct {
		text  string
		words bool
	}{
		0:          {"", false},
		50348044:   {"0300-400C", true},
		50364437:   {"0300-8015", true},
		83918908:   {"0500-803C", true},
		0x07018012: {"0701-8012", true},
		0x07FF8028: {"07FF-8028", true},
		0x0C008FFF: {"0C00-8FFF", false},
	}
	for code, want := range tests {
		if got := ErrorCode(code); got != want.text {
			t.Errorf("%d is %s, want %s", code, got, want.text)
		}
		if got := ErrorMessage(code); (got != "") != want.words {
			t.Errorf("%s says %q", want.text, got)
		}
	}
}

func TestStageName(t *testing.T) {
	seen := map[string]int{}
	for n := 0; n <= 77; n++ {
		name := StageName(n)
		if name == "" {
			t.Errorf("stage %d has no name", n)
		}
		seen[name]++
	}
	if len(seen) < 75 { // two kinds of lidar calibration and of pauses by the file read the same
		t.Errorf("only %d different names", len(seen))
	}
	for n, want := range map[int]string{-1: "", 255: "", 0: "Printing", 1: "Levelling the bed", 6: "Paused: filament ran out", 77: "Preparing the AMS", 78: "Stage 78", -7: "Stage -7"} {
		if got := StageName(n); got != want {
			t.Errorf("stage %d is %q, want %q", n, got, want)
		}
	}
}

func TestHMSMessages(t *testing.T) {
	for _, tt := range []struct {
		h    HMS
		want string // the beginning, "" none
	}{
		{HMS{0x03000100, 0x00010001}, "The heated bed"},
		{HMS{0x07002000, 0x00020001}, "AMS A slot 1: the filament ran out"},
		{HMS{0x07012300, 0x00020001}, "AMS B slot 4: the filament ran out"},
		{HMS{0x07031100, 0x00020002}, "AMS D slot 2: the feeding motor"},
		{HMS{0x07020100, 0x00010001}, "AMS C: the assist motor"},
		{HMS{0x07004500, 0x00020003}, "AMS A: the cutter's handle"},
		{HMS{0x12002100, 0x00020001}, "AMS Lite slot 2: the filament ran out"},
		{HMS{0x12008000, 0x00020001}, "AMS Lite slot 1: the filament may be tangled"},
		{HMS{0x18012000, 0x00020001}, "AMS HT B slot 1: the filament ran out"},
		{HMS{0x18802000, 0x00020001}, "AMS HT slot 1: the filament ran out"},
		{HMS{0x07FF2000, 0x00020001}, "The external spool ran out"},
		{HMS{0x12FF2000, 0x00020001}, "The external spool ran out"},
		{HMS{0x07002000, 0x00020099}, ""},
		{HMS{0x99000000, 0x00020001}, ""},
	} {
		got := tt.h.Message()
		if !strings.HasPrefix(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("%s says %q, want %q…", tt.h, got, tt.want)
		}
	}
}

func TestErrorMessagesOfUnits(t *testing.T) {
	for code, want := range map[uint32]string{
		0x07008011: "The filament ran out. Put another",
		0x07038011: "The filament ran out. Put another",
		0x12008011: "The filament ran out. Put another",
		0x18058011: "The filament ran out. Put another",
		0x07FF8011: "The external spool ran out",
		0x07FE8011: "The external spool ran out",
		0x12FF8011: "The external spool ran out",
		0x07FF8013: "The old filament was not purged",
		0x12008014: "The printer cannot tell where",
		0x07008014: "",
		0x03018004: "",
	} {
		if got := ErrorMessage(code); !strings.HasPrefix(got, want) || (got == "") != (want == "") {
			t.Errorf("%s says %q, want %q…", ErrorCode(code), got, want)
		}
	}
}

// The words are sentences for a person. Those under an AMS unit follow its name.
func TestWordsAreSentences(t *testing.T) {
	if n := len(hmsMessages) + len(errorMessages); n < 150 {
		t.Errorf("%d codes have words", n)
	}
	check := func(code, text string, follows bool) {
		first := text[:1]
		if !strings.HasSuffix(text, ".") && !strings.HasSuffix(text, "?") || (strings.ToLower(first) == first) != follows {
			t.Errorf("%s: %q", code, text)
		}
	}
	for h, text := range hmsMessages {
		check(h.String(), text, h.Attr>>16 == 0x0700)
		if h.Code>>16 < 1 || h.Code>>16 > 4 {
			t.Errorf("%s has no severity", h)
		}
	}
	for code, text := range errorMessages {
		check(ErrorCode(code), text, false)
	}
}

func TestLinks(t *testing.T) {
	h := HMS{0x07002000, 0x00020001}
	if got := h.Link("01P00A000000001"); got != "https://e.bambulab.com/index.php?d=01P&e=0700200000020001&lang=en&s=device_hms" {
		t.Error(got)
	}
	if got := ErrorLink(0x0300400C, "strange & long"); got != "https://e.bambulab.com/index.php?e=0300400C&lang=en&s=device_error" {
		t.Error(got)
	}
	if ErrorLink(0, "") != "" {
		t.Error("a link to no error")
	}
}
