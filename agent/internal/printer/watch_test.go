package printer

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/wire"
)

// memBook notes the pictures it is given, and what was published at that moment.
type memBook struct {
	mu       sync.Mutex
	session  *Session
	pictures []Picture
	shown    []Snapshot
	number   int64
	wait     time.Duration // until it wants to look again, 0: it does not
	full     bool          // it can write nothing down
}

func (b *memBook) Enter(p Picture) (int64, time.Time, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pictures = append(b.pictures, p)
	b.shown = append(b.shown, b.session.Snapshot())
	if b.full {
		return b.number, time.Time{}, false
	}
	b.number++
	if b.wait == 0 {
		return b.number, time.Time{}, true
	}
	return b.number, p.At.Add(b.wait), true
}

// take gives the pictures since it was called last.
func (b *memBook) take() (pictures []Picture, shown []Snapshot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	pictures, shown = b.pictures, b.shown
	b.pictures, b.shown = nil, nil
	return pictures, shown
}

func (b *memBook) wants(wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wait = wait
}

func words(pictures []Picture) string {
	var out []string
	for _, p := range pictures {
		word := p.Status.Job.GcodeState
		if p.Fresh {
			word += "*"
		}
		if p.Stopped {
			word += "!"
		}
		out = append(out, word)
	}
	return strings.Join(out, " ")
}

// booked is a session that is online, with a book.
func booked(t *testing.T, changes ...func(*fake)) (*rig, *memBook) {
	t.Helper()
	book := &memBook{}
	r := newIdleRig(t, x1Serial, changes...)
	deps := r.deps()
	deps.Book = book
	r.Session = New(r.config(), deps)
	book.session = r.Session
	r.run()
	r.until(wire.Online, 5*time.Second)
	return r, book
}

func TestTheBookSeesEveryPictureFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, book := booked(t)
		defer r.cleanUp()
		before, _ := book.take()
		for _, word := range []string{"PREPARE", "RUNNING", "PAUSE", "RUNNING", "FINISH"} {
			r.say(delta(`"gcode_state":"` + word + `"`)) // faster than anybody could look
		}
		synctest.Wait()
		pictures, shown := book.take()
		if got := words(pictures); got != "PREPARE RUNNING PAUSE RUNNING FINISH" {
			t.Fatalf("entered %q", got)
		}
		for i, p := range pictures {
			if number := int64(len(before) + i + 1); shown[i].Outbox >= number || !p.At.Equal(time.Now()) {
				t.Errorf("picture %d was shown before it was entered, under number %d", i, shown[i].Outbox)
			}
		}
		if s := r.Snapshot(); s.Outbox != int64(len(before)+5) || s.Status.Job.GcodeState != "FINISH" {
			t.Errorf("shown is %q with number %d", s.Status.Job.GcodeState, s.Outbox)
		}
	})
}

func TestNothingIsEnteredThatRestsOnNoFullReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, book := booked(t, func(f *fake) { f.full = delta(`"bed_temper":20`) })
		defer r.cleanUp()
		r.say(delta(`"gcode_state":"RUNNING"`))
		synctest.Wait()
		if pictures, _ := book.take(); len(pictures) != 0 || r.Snapshot().Outbox != 0 {
			t.Errorf("entered %q", words(pictures))
		}
		r.say(fullReport)
		synctest.Wait()
		if pictures, _ := book.take(); words(pictures) != "IDLE*" {
			t.Errorf("then entered %q", words(pictures))
		}
	})
}

func TestPicturesAreFreshUntilAFullReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, book := booked(t)
		defer r.cleanUp()
		r.say(delta(`"gcode_state":"RUNNING"`))
		synctest.Wait()
		if pictures, _ := book.take(); words(pictures) != "IDLE* RUNNING" {
			t.Errorf("entered %q", words(pictures))
		}
		r.set(func() { r.mute = true })
		r.net.Reset("agent")
		after(time.Minute)
		r.say(delta(`"mc_percent":5`))
		synctest.Wait()
		r.say(delta(`"gcode_state":"PAUSE"`))
		synctest.Wait()
		r.say(strings.Replace(fullReport, "IDLE", "FINISH", 1))
		synctest.Wait()
		r.say(delta(`"mc_percent":0`))
		synctest.Wait()
		if pictures, _ := book.take(); words(pictures) != "RUNNING* PAUSE* FINISH* FINISH" {
			t.Errorf("after the connection was lost: %q", words(pictures))
		}
	})
}

func TestASessionThatFollowsGoesOnWithTheBook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, first := booked(t)
		defer r.off()
		r.say(delta(`"gcode_state":"RUNNING"`))
		synctest.Wait()
		number := r.Snapshot().Outbox
		if pictures, _ := first.take(); number != int64(len(pictures)) || number == 0 {
			t.Fatalf("number %d after %q", number, words(pictures))
		}
		old, second := r.Session, &memBook{}
		deps := r.deps()
		deps.Book = second
		r.Session = New(r.config(), deps)
		second.session = r.Session
		r.Follow(old)
		if got := r.Snapshot().Outbox; got != number {
			t.Errorf("it begins with number %d, want %d", got, number)
		}
		r.stop()
		r.run()
		defer func() { r.stop() }()
		r.until(wire.Online, 5*time.Second)
		if again, _ := first.take(); len(again) != 0 {
			t.Errorf("the old book was given %q", words(again))
		}
		if pictures, _ := second.take(); len(pictures) == 0 || !pictures[0].Fresh {
			t.Errorf("the new book was given %q", words(pictures))
		}
	})
}

func TestAcknowledgedStopsAreToldOnce(t *testing.T) {
	answer := func(result string) string {
		return `{"print":{"command":"stop","sequence_id":"7","result":"` + result + `"}}`
	}
	for name, c := range map[string]struct {
		say  string // to everybody
		want string
	}{
		"another's stop":         {answer("success"), "RUNNING! RUNNING"},
		"in capitals":            {answer("SUCCESS"), "RUNNING! RUNNING"},
		"a refused one":          {answer("fail"), "RUNNING RUNNING"},
		"another command":        {`{"print":{"command":"pause","sequence_id":"7","result":"success"}}`, "RUNNING RUNNING"},
		"a section of that name": {`{"system":{"command":"stop","sequence_id":"7","result":"success"}}`, "RUNNING RUNNING"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r, book := booked(t)
			defer r.cleanUp()
			r.say(delta(`"gcode_state":"RUNNING"`))
			synctest.Wait()
			book.take()
			r.say(c.say)
			synctest.Wait()
			if early, _ := book.take(); len(early) != 0 {
				t.Errorf("%s: an answer is no picture, entered %q", name, words(early))
			}
			r.say(delta(`"mc_percent":5`))
			r.say(delta(`"mc_percent":6`))
			synctest.Wait()
			if pictures, _ := book.take(); words(pictures) != c.want {
				t.Errorf("%s: entered %q, want %q", name, words(pictures), c.want)
			}
		})
	}
}

// Printers answer in many ways; what was asked of them is known here.
func TestOurOwnStopIsKnownByWhatWasAsked(t *testing.T) {
	for name, answer := range map[string]string{
		"whole":      `{"print":{"command":"stop","sequence_id":"SEQ","result":"success"}}`,
		"no command": `{"print":{"sequence_id":"SEQ","param":"","result":"success"}}`,
		"no result":  `{"print":{"command":"stop","sequence_id":"SEQ"}}`,
	} {
		synctest.Test(t, func(t *testing.T) {
			r, book := booked(t, running, func(f *fake) {
				f.reply = func(c *fakeConn, r controlRequest) {
					c.report(f.serial, strings.ReplaceAll(answer, "SEQ", r.seq))
				}
			})
			defer r.cleanUp()
			book.take()
			if _, err := r.do(bambu.Control{Do: bambu.DoStop}); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			r.say(delta(`"gcode_state":"FAILED"`))
			synctest.Wait()
			if pictures, _ := book.take(); words(pictures) != "FAILED!" {
				t.Errorf("%s: entered %q", name, words(pictures))
			}
		})
	}
}

func TestTheBookLooksAgainWhenItWantsTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, book := booked(t)
		defer r.cleanUp()
		book.wants(7 * time.Second)
		r.say(delta(`"gcode_state":"FAILED"`))
		synctest.Wait()
		book.take()
		start := time.Now()
		after(6 * time.Second)
		if early, _ := book.take(); len(early) != 0 {
			t.Errorf("entered %q before it was due", words(early))
		}
		book.wants(0)
		after(2 * time.Second)
		pictures, _ := book.take()
		if words(pictures) != "FAILED" || !slices.EqualFunc(pictures, []time.Duration{7 * time.Second}, func(p Picture, d time.Duration) bool { return p.At.Sub(start) == d }) {
			t.Fatalf("entered %q", words(pictures))
		}
		if s := r.Snapshot(); s.Outbox != 3 || s.LastReport.After(start) {
			t.Errorf("number %d, last report %v", s.Outbox, s.LastReport)
		}
		after(20 * time.Second)
		if more, _ := book.take(); len(more) != 0 {
			t.Errorf("then entered %q", words(more))
		}
	})
}

// A session whose state broke down has nothing to enter, and must not run in circles
// over what was due.
func TestNothingIsDueWithoutAState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &memBook{}
		r := &rig{t: t, fake: &fake{serial: x1Serial}, pins: &memPins{}, logs: &logBuffer{}}
		s := New(r.config(), Deps{Log: slog.New(slog.DiscardHandler), Changed: func() {}, Book: book})
		s.due = time.Now()
		if next := s.tendBook(time.Now()); !next.After(time.Now()) {
			t.Errorf("looks again in %v", time.Until(next))
		}
		if pictures, _ := book.take(); len(pictures) != 0 {
			t.Errorf("entered %q", words(pictures))
		}
	})
}

// What happened and could not be written down is shown to nobody; once it can be, it is.
func TestWhatIsNotWrittenIsNotShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, book := booked(t)
		defer r.cleanUp()
		book.mu.Lock()
		book.full = true
		book.mu.Unlock()
		r.say(delta(`"gcode_state":"RUNNING"`))
		synctest.Wait()
		if s := r.Snapshot(); s.Status.Job.GcodeState != "IDLE" || s.Connection.State != wire.Online {
			t.Errorf("shown is %q, the printer is %s", s.Status.Job.GcodeState, s.Connection.State)
		}
		book.mu.Lock()
		book.full = false
		book.mu.Unlock()
		r.say(delta(`"mc_percent":5`))
		synctest.Wait()
		if s := r.Snapshot(); s.Status.Job.GcodeState != "RUNNING" {
			t.Errorf("then shown is %q", s.Status.Job.GcodeState)
		}
	})
}
