package main

import (
	"strings"
	"testing"

	"bambuddy/agent/app"
	"bambuddy/shared/wire"
)

func TestExaminationAsText(t *testing.T) {
	var out strings.Builder
	e := app.Examination{
		Agent: []wire.Check{{ID: "data", Title: "Data directory", Result: wire.Pass, Detail: "/data can be written."}},
		Printers: []wire.Report{{Serial: "22E00A000000001", Name: "Shop", Address: "10.0.0.9", Checks: []wire.Check{
			{ID: "address", Title: "Address", Result: wire.Fail, Detail: "Nothing answers.", Mend: "Switch it on."},
			{ID: "wifi", Title: "Network signal", Result: wire.Warn, Detail: "Weak.", Mend: "Come closer."},
		}}},
	}
	if err := showExamination(&out, e); err != nil {
		t.Fatal(err)
	}
	want := `This agent
  pass  Data directory  /data can be written.

Shop 22E00A000000001 at 10.0.0.9
  FAIL  Address         Nothing answers.
                        → Switch it on.
  warn  Network signal  Weak.
                        → Come closer.
`
	if out.String() != want {
		t.Errorf("%s", out.String())
	}
	if err := verdict(e.Checks()); err == nil || err.Error() != "1 of 3 checks failed" {
		t.Errorf("%v", err)
	}
	if err := verdict(e.Agent); err != nil {
		t.Error(err)
	}
}

func TestFoundAsText(t *testing.T) {
	var out strings.Builder
	obeys := false
	found := []wire.Found{
		{Serial: "22E00A000000001", Name: "Shop P2S", Model: "P2S", Address: "10.0.0.9", Firmware: "01.02.00.00", Connect: "cloud", Developer: &obeys, Via: wire.ViaSSDP},
		{Serial: "01P00A000000002", Model: "P1S", Address: "10.0.0.10", Via: wire.ViaCertificate},
	}
	if err := showFound(&out, found); err != nil {
		t.Fatal(err)
	}
	want := `SERIAL           MODEL  NAME      ADDRESS    FIRMWARE     MODE              FOUND BY
22E00A000000001  P2S    Shop P2S  10.0.0.9   01.02.00.00  cloud, read only  ssdp
01P00A000000002  P1S    -         10.0.0.10  -            -                 certificate
`
	if out.String() != want {
		t.Errorf("%s", out.String())
	}
	out.Reset()
	if err := showFound(&out, nil); err != nil || !strings.Contains(out.String(), "No printer was found") {
		t.Errorf("%s, %v", out.String(), err)
	}
}
