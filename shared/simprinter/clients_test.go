package simprinter

import (
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/bambu"
)

// What slicers put beside a command is no reason to ignore it, nor a command.
func TestBesideTheCommand(t *testing.T) {
	for _, model := range []string{"A1", "P2S"} {
		synctest.Test(t, func(t *testing.T) {
			farm, dial := virtual(t, Options{}, model)
			e := listen(t, farm.Printers()[0], dial)
			e.pushAll()
			for level, beside := range map[string]string{
				"3": `"user_id":"1234"`, "4": `"header":{"sign_ver":"v1.0","payload_len":3}`, "1": `"other":[1,null]`,
			} {
				seq := "2010" + level
				e.send(`{` + beside + `,"print":{"sequence_id":"` + seq + `","command":"print_speed","param":"` + level + `"}}`)
				var answers []string
				for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
					if f := e.take(time.Until(end)); f != nil && !strings.Contains(string(f), "push_status") {
						answers = append(answers, string(f))
					}
				}
				if len(answers) != 1 || !strings.Contains(answers[0], `"`+seq+`"`) || !strings.Contains(strings.ToLower(answers[0]), `success`) {
					t.Errorf("%s, %s: %q", model, beside, answers)
				}
				if got := e.status().Job.SpeedLevel.Value; got != int(level[0]-'0') {
					t.Errorf("%s, %s: speed level %d", model, beside, got)
				}
			}
		})
	}
}

// A lost PUBACK does not lose the request.
func TestPubackLoss(t *testing.T) {
	for _, model := range []string{"P1S", "X1C"} {
		synctest.Test(t, func(t *testing.T) {
			farm, dial := virtual(t, Options{}, model)
			p := farm.Printers()[0]
			e := listen(t, p, dial)
			e.pushAll()
			if err := p.Fault(pubackLoss, 0); err != nil {
				t.Fatal(err)
			}
			request := func(level string) (acknowledged bool) {
				token := e.client.Publish("device/"+p.Spec().Serial+"/request", 1, false,
					`{"print":{"sequence_id":"20100","command":"print_speed","param":"`+level+`"}}`)
				e.untilStatus(10*time.Second, "speed", func(s bambu.Status) bool { return s.Job.SpeedLevel.Value == int(level[0]-'0') })
				return token.WaitTimeout(10 * time.Second)
			}
			// More than the window of twenty that stalls clients.
			for i := range 24 {
				if request([]string{"3", "4"}[i%2]) {
					t.Fatalf("%s: request %d was acknowledged", model, i)
				}
			}
			if err := p.Fault(pubackLoss, -1); err != nil {
				t.Fatal(err)
			}
			if !request("1") || !e.client.IsConnectionOpen() {
				t.Errorf("%s: it is not over", model)
			}
		})
	}
}

// Beyond its sessions a printer breaks the connection; it does not call the code wrong.
func TestTooManySessions(t *testing.T) {
	p := one(t, "A1", Options{RealLimits: true})
	for range 2 {
		listen(t, p, overTCP)
	}
	_, _, err := login(t, p, overTCP, p.Spec().AccessCode)
	if err == nil || strings.Contains(strings.ToLower(err.Error()), "authorized") {
		t.Errorf("a third client: %v", err)
	}
}

// The limits of real firmware, switched for one printer alone.
func TestControlLimits(t *testing.T) {
	farm := live(t, specs(t, 2, "A1"), Options{})
	server := httptest.NewServer(farm.Control())
	defer server.Close()
	limited, free := farm.Printers()[0], farm.Printers()[1]
	at := "/printers/" + limited.Spec().Serial + "/limits"
	var st State
	if call(t, server, "POST", at, `{"real":true}`, 200, &st); !st.RealLimits || free.State().RealLimits {
		t.Errorf("%+v, the other %+v", st, free.State())
	}
	third := func(p *Printer) error {
		t.Helper()
		listen(t, p, overTCP)
		listen(t, p, overTCP)
		_, _, err := login(t, p, overTCP, p.Spec().AccessCode)
		return err
	}
	if third(limited) == nil {
		t.Error("it serves three")
	}
	if err := third(free); err != nil {
		t.Errorf("the other printer: %v", err)
	}
	if call(t, server, "POST", at, `{"real":false}`, 200, &st); st.RealLimits {
		t.Errorf("%+v", st)
	}
	if _, _, err := login(t, limited, overTCP, limited.Spec().AccessCode); err != nil {
		t.Errorf("without limits: %v", err)
	}
	for _, bad := range []string{"", "{}", `{"real":"yes"}`, "nonsense"} {
		call(t, server, "POST", at, bad, 400, nil)
	}
}
