package printer

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// controlRequest is a request of ours as the printer reads it.
type controlRequest struct{ section, command, seq string }

func readControl(t *testing.T, payload []byte) controlRequest {
	var sections map[string]struct {
		Command string `json:"command"`
		Seq     string `json:"sequence_id"`
	}
	if err := json.Unmarshal(payload, &sections); err != nil || len(sections) != 1 {
		t.Errorf("request %s: %v", payload, err)
	}
	for section, r := range sections {
		return controlRequest{section, r.Command, r.Seq}
	}
	return controlRequest{}
}

// acks answers every request so.
func acks(result string) func(*fake) {
	return func(f *fake) {
		f.reply = func(c *fakeConn, r controlRequest) {
			c.report(f.serial, fmt.Sprintf(`{%q:{"command":%q,"sequence_id":%q,%s}}`, r.section, r.command, r.seq, result))
		}
	}
}

const success = `"result":"success","reason":"success"`

// running makes the printer print.
func running(f *fake) { f.full = strings.Replace(fullReport, "IDLE", "RUNNING", 1) }

// do does an act that must start within five seconds.
func (r *rig) do(c bambu.Control) (Result, error) {
	return r.Do(context.Background(), c, time.Now().Add(5*time.Second))
}

func (r *rig) sent() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, q := range r.requests {
		if !strings.Contains(q.text, "pushall") && !strings.Contains(q.text, "get_version") {
			out = append(out, q.text)
		}
	}
	return out
}

func online(t *testing.T, changes ...func(*fake)) *rig {
	t.Helper()
	r := newRig(t, x1Serial, changes...)
	r.until(wire.Online, 5*time.Second)
	return r
}

func TestControlIsAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := online(t, running, acks(success))
		defer r.cleanUp()
		start := time.Now()
		result, err := r.do(bambu.Control{Do: bambu.DoPause})
		if err != nil || result.Confirmed != wire.ByAck || time.Since(start) > time.Second {
			t.Fatalf("%+v, %v after %v", result, err, time.Since(start))
		}
		if sent := r.sent(); len(sent) != 1 || !strings.Contains(sent[0], `"command":"pause","param":""`) {
			t.Errorf("sent %v", sent)
		}
	})
}

func TestAnswersAreMatched(t *testing.T) {
	answer := func(text string) func(*fake) {
		return func(f *fake) {
			f.reply = func(c *fakeConn, r controlRequest) {
				c.report(f.serial, strings.ReplaceAll(text, "SEQ", r.seq))
			}
		}
	}
	for name, tc := range map[string]struct {
		answer string
		known  bool
	}{
		"whole":                   {`{"print":{"command":"pause","sequence_id":"SEQ","result":"SUCCESS"}}`, true},
		"A1 mini, no command":     {`{"print":{"sequence_id":"SEQ","param":"","result":"success","reason":"success"}}`, true},
		"no id":                   {`{"print":{"command":"pause","result":"success"}}`, true},
		"no result":               {`{"print":{"command":"pause","sequence_id":"SEQ"}}`, true},
		"another client's id":     {`{"print":{"command":"pause","sequence_id":"99999","result":"success"}}`, false},
		"another client's act":    {`{"print":{"command":"stop","sequence_id":"SEQ","result":"success"}}`, false},
		"another section":         {`{"system":{"command":"pause","sequence_id":"SEQ","result":"success"}}`, false},
		"neither command nor id":  {`{"print":{"result":"success"}}`, false},
		"another's refusal first": {`{"print":{"command":"pause","sequence_id":"1","result":"fail"}}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := online(t, running, answer(tc.answer))
				defer r.cleanUp()
				result, err := r.do(bambu.Control{Do: bambu.DoPause})
				if tc.known && (err != nil || result.Confirmed != wire.ByAck) {
					t.Errorf("%+v, %v", result, err)
				}
				if !tc.known && !farm.Is(err, farm.OutcomeUnknown) {
					t.Errorf("%+v, %v; want the outcome unknown", result, err)
				}
			})
		})
	}
}

func TestRefusals(t *testing.T) {
	for name, tc := range map[string]struct{ answer, detail string }{
		"with a reason":  {`"result":"fail","reason":"did not find the valid led: x"`, "did not find the valid led: x"},
		"without":        {`"result":"failed","reason":"failed"`, "gives no reason"},
		"by number":      {`"result":"fail","reason":"","err_code":83902468`, "busy"},
		"unsigned":       {`"result":"failed","reason":"mqtt message verify failed","err_code":84033543`, "read only: enable developer mode"},
		"negative errno": {`"result":"success","errno":-2`, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := online(t, running, acks(tc.answer))
				defer r.cleanUp()
				_, err := r.do(bambu.Control{Do: bambu.DoStop})
				if !farm.Is(err, farm.PrinterRefused) || !strings.Contains(err.Error(), tc.detail) {
					t.Errorf("err = %v", err)
				}
			})
		})
	}
}

func TestARefusedPartEndsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, h2dSerial, func(f *fake) {
			f.reply = func(c *fakeConn, r controlRequest) {
				result := "success"
				if r.command == "set_airduct" {
					result = "fail"
				}
				c.report(f.serial, fmt.Sprintf(`{"print":{"command":%q,"sequence_id":%q,"result":%q,"reason":"no"}}`, r.command, r.seq, result))
			}
		})
		defer r.cleanUp()
		r.until(wire.Online, 5*time.Second)
		bed, chamber := 60, 50
		_, err := r.do(bambu.Control{Do: bambu.DoTemperature, Bed: &bed, Chamber: &chamber})
		if !farm.Is(err, farm.PrinterRefused) || !strings.Contains(err.Error(), "part of it") {
			t.Errorf("err = %v", err)
		}
		if sent := r.sent(); len(sent) != 2 {
			t.Errorf("sent %v", sent)
		}
	})
}

func TestWithoutAnAnswerTheReportDecides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := online(t, running)
		defer r.cleanUp()
		go func() {
			after(3 * time.Second)
			r.say(delta(`"gcode_state":"PAUSE"`))
		}()
		start := time.Now()
		result, err := r.do(bambu.Control{Do: bambu.DoPause})
		if err != nil || result.Confirmed != wire.ByState || time.Since(start) != answerTime {
			t.Errorf("%+v, %v after %v", result, err, time.Since(start))
		}

		// Nothing to see, and nothing that could be seen.
		for _, c := range []bambu.Control{{Do: bambu.DoResume}, {Do: bambu.DoGcode, Gcode: "M18"}} {
			if _, err := r.do(c); !farm.Is(err, farm.OutcomeUnknown) {
				t.Errorf("%s: %v", c.Do, err)
			}
		}
		if len(r.sent()) != 3 {
			t.Errorf("sent %v", r.sent())
		}
	})
}

func TestOldReportsProveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := online(t, func(f *fake) {
			f.full = strings.Replace(fullReport, `"bed_temper"`, `"bed_target_temper":60,"bed_temper"`, 1)
		})
		defer r.cleanUp()
		after(time.Second)
		bed := 60
		if _, err := r.do(bambu.Control{Do: bambu.DoTemperature, Bed: &bed}); !farm.Is(err, farm.OutcomeUnknown) {
			t.Errorf("err = %v", err)
		}
	})
}

func TestASilentRefusalOfUnsignedCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := online(t, running)
		defer r.cleanUp()
		go func() {
			after(3 * time.Second)
			r.say(delta(`"hms":[{"attr":83887360,"code":65543}]`))
		}()
		if _, err := r.do(bambu.Control{Do: bambu.DoStop}); !farm.Is(err, farm.PrinterRefused) || !strings.Contains(err.Error(), "developer mode") {
			t.Errorf("err = %v", err)
		}
	})
}

func TestConnectionLostAfterSending(t *testing.T) {
	for name, tc := range map[string]struct {
		full string
		code farm.Code // "" confirmed
	}{
		"the effect shows after it is back": {strings.Replace(fullReport, "IDLE", "PAUSE", 1), ""},
		"it does not":                       {strings.Replace(fullReport, "IDLE", "RUNNING", 1), farm.OutcomeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := online(t, running)
				defer r.cleanUp()
				r.set(func() {
					r.reply = func(c *fakeConn, _ controlRequest) {
						r.set(func() { r.full = tc.full })
						_ = c.Close()
					}
				})
				result, err := r.do(bambu.Control{Do: bambu.DoPause})
				if tc.code == "" && (err != nil || result.Confirmed != wire.ByState) || tc.code != "" && !farm.Is(err, tc.code) {
					t.Errorf("%+v, %v", result, err)
				}
				if len(r.sent()) != 1 || r.Snapshot().Connects != 2 {
					t.Errorf("sent %v over %d connections", r.sent(), r.Snapshot().Connects)
				}
			})
		})
	}
}

// After an outage, deltas are laid over the state of before. Nothing moves on the
// word of that, nothing is kept from ending, and nothing is confirmed by it.
func TestAStateOfBeforeAnOutageDecidesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, p1Serial)
		defer r.cleanUp()
		r.until(wire.Online, 5*time.Second)
		r.net.Reset("agent")
		after(10 * time.Second)
		r.say(delta(`"mc_percent":12`)) // it prints by now, and does not say so again
		r.until(wire.Online, 5*time.Second)
		if got := r.Snapshot().Status.Job.GcodeState; got != "IDLE" {
			t.Fatalf("the state is %q: nothing is tried here", got)
		}
		for _, do := range []bambu.Do{bambu.DoHome, bambu.DoUnload} {
			if _, err := r.do(bambu.Control{Do: do}); !farm.Is(err, farm.PrinterBusy) {
				t.Errorf("%s: %v", do, err)
			}
		}
		if len(r.sent()) != 0 {
			t.Errorf("sent %v", r.sent())
		}
		go func() {
			after(time.Second)
			r.say(delta(`"mc_percent":13`))
		}()
		if _, err := r.do(bambu.Control{Do: bambu.DoStop}); !farm.Is(err, farm.OutcomeUnknown) || len(r.sent()) != 1 {
			t.Errorf("stop: %v, sent %v", err, r.sent())
		}
		after(5 * time.Minute) // the budget is up
		r.set(func() { r.full = fullReport })
		r.until(wire.Online, time.Minute)
		r.set(func() { acks(success)(r.fake) })
		if _, err := r.do(bambu.Control{Do: bambu.DoHome}); err != nil {
			t.Errorf("home, when it has told: %v", err)
		}
	})
}

// What breaks down over a command ends the connection and leaves nobody waiting.
func TestABreakdownAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := online(t)
		defer r.cleanUp()
		err := r.ask(t.Context(), func(*connection) error {
			var none *connection
			none.asked = time.Now() // as code does that is wrong
			return nil
		})
		if !farm.Is(err, farm.OutcomeUnknown) {
			t.Errorf("err = %v", err)
		}
		r.until(wire.Online, time.Minute)
	})
}

func TestNotConnectedMeansNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := online(t)
		defer r.cleanUp()
		r.off()
		synctest.Wait()
		if _, err := r.do(bambu.Control{Do: bambu.DoStop}); !farm.Is(err, farm.PrinterNotConnected) {
			t.Errorf("err = %v", err)
		}
	})
}

func TestWhatCannotBeDoneIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := online(t, acks(success))
		defer r.cleanUp()
		hot := 999
		for code, c := range map[farm.Code]bambu.Control{
			farm.Conflict:    {Do: bambu.DoPause},
			farm.Invalid:     {Do: bambu.DoTemperature, Bed: &hot},
			farm.Unsupported: {Do: "dance"},
		} {
			if _, err := r.do(c); !farm.Is(err, code) {
				t.Errorf("%s: %v, want %s", c.Do, err, code)
			}
		}
		if len(r.sent()) != 0 {
			t.Errorf("sent %v", r.sent())
		}
	})
}

func TestOneControlAtATimeButAStopOvertakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := online(t, running, func(f *fake) {
			f.reply = func(c *fakeConn, r controlRequest) {
				if r.command == "stop" {
					c.report(f.serial, fmt.Sprintf(`{"print":{"command":"stop","sequence_id":%q,%s}}`, r.seq, success))
				}
			}
		})
		defer r.cleanUp()
		var wg sync.WaitGroup
		fail := map[string]error{}
		var mu sync.Mutex
		note := func(name string, c bambu.Control) {
			wg.Go(func() {
				_, err := r.do(c)
				mu.Lock()
				defer mu.Unlock()
				fail[name] = err
			})
			synctest.Wait()
		}
		note("first", bambu.Control{Do: bambu.DoGcode, Gcode: "M18"})
		note("second", bambu.Control{Do: bambu.DoGcode, Gcode: "M17"})
		note("stop", bambu.Control{Do: bambu.DoStop})
		mu.Lock()
		if err, ended := fail["stop"]; !ended || err != nil || len(fail) != 1 {
			t.Errorf("at once: %v", fail)
		}
		mu.Unlock()
		wg.Wait()
		if !farm.Is(fail["first"], farm.OutcomeUnknown) || !farm.Is(fail["second"], farm.PrinterBusy) {
			t.Errorf("in the end: %v", fail)
		}
		if len(r.sent()) != 2 {
			t.Errorf("sent %v", r.sent())
		}
	})
}

func TestACallerWhoLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := online(t, running)
		defer r.cleanUp()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(2*time.Second, cancel)
		start := time.Now()
		if _, err := r.Do(ctx, bambu.Control{Do: bambu.DoStop}, start.Add(5*time.Second)); !farm.Is(err, farm.OutcomeUnknown) || time.Since(start) != 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if _, err := r.Do(ctx, bambu.Control{Do: bambu.DoStop}, time.Now().Add(5*time.Second)); err == nil || len(r.sent()) != 1 {
			t.Errorf("%v, sent %v", err, r.sent())
		}
		if len(r.waiters.list) != 0 {
			t.Errorf("%d still wait", len(r.waiters.list))
		}
	})
}

func TestASessionThatEndsLeavesNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := online(t, running)
		stop := r.stop
		go func() {
			after(2 * time.Second)
			stop()
		}()
		start := time.Now()
		if _, err := r.do(bambu.Control{Do: bambu.DoStop}); !farm.Is(err, farm.OutcomeUnknown) || time.Since(start) > 4*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		r.off()
		synctest.Wait()
	})
}
