package camera

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// agent is one at the far end of the lane, in memory.
type agent struct {
	mu     sync.Mutex
	paths  []string // what was asked, in order
	open   []*io.PipeWriter
	refuse error         // what every request gets
	still  chan struct{} // when set, a snapshot waits for it
}

func (a *agent) Stream(ctx context.Context, _ int64, need wire.Capability, path string) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.paths = append(a.paths, path)
	switch {
	case need != wire.CapCamera:
		return nil, farm.Errorf(farm.Internal, "needs %s", need)
	case a.refuse != nil:
		return nil, a.refuse
	case strings.HasSuffix(path, "/snapshot"):
		return a.snapshot(ctx), nil
	}
	from, to := io.Pipe()
	a.open = append(a.open, to)
	context.AfterFunc(ctx, func() { _ = to.CloseWithError(ctx.Err()) })
	return &http.Response{StatusCode: 200, Body: from}, nil
}

func (a *agent) snapshot(ctx context.Context) *http.Response {
	from, to := io.Pipe()
	still := a.still
	go func() {
		if still != nil {
			select {
			case <-still:
			case <-ctx.Done():
			}
		}
		_, _ = io.WriteString(to, "picture")
		_ = to.CloseWithError(ctx.Err())
	}()
	return &http.Response{StatusCode: 200, Body: from}
}

func (a *agent) asked() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.paths...)
}

// send puts a frame into the stream that was opened last.
func (a *agent) send(data string, key bool) {
	a.mu.Lock()
	w := a.open[len(a.open)-1]
	a.mu.Unlock()
	head := wire.FrameHeader{Length: len(data), Key: key, At: time.Now().Add(-time.Hour)}.Append(nil) // its clock is wrong
	_, _ = w.Write(append(head, data...))
}

// cut breaks the stream that was opened last.
func (a *agent) cut() {
	a.mu.Lock()
	defer a.mu.Unlock()
	_ = a.open[len(a.open)-1].Close()
}

var source = Source{PrinterID: 7, AgentID: 1, Serial: "S1"}

// bubble runs a relay on a virtual clock.
func bubble(t *testing.T, test func(t *testing.T, r *Relay, a *agent)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := &agent{}
		r := New(a, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		test(t, r, a)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func wantFrame(t *testing.T, v *Viewer, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	f, err := v.Next(ctx)
	if err != nil || string(f.Data) != want {
		t.Errorf("frame %q, %v; want %q", f.Data, err, want)
	}
}

func wantEnd(t *testing.T, v *Viewer, code farm.Code) {
	t.Helper()
	if f, err := v.Next(t.Context()); !farm.Is(err, code) {
		t.Errorf("%q, %v; want an end by %s", f.Data, err, code)
	}
}

func TestManyViewersAreOneStream(t *testing.T) {
	bubble(t, func(t *testing.T, r *Relay, a *agent) {
		var viewers []*Viewer
		for range 100 {
			viewers = append(viewers, r.Watch(source, JPEG, 10))
		}
		synctest.Wait()
		a.send("one", true)
		for _, v := range viewers {
			wantFrame(t, v, "one")
		}
		a.send("two", true)
		a.send("three", true) // nobody took two
		synctest.Wait()
		late := r.Watch(source, JPEG, 5)
		for _, v := range append(viewers, late) {
			wantFrame(t, v, "three")
		}
		if got := a.asked(); len(got) != 1 || got[0] != "/v1/printers/S1/camera/stream?fps=10" {
			t.Errorf("asked %v", got)
		}
		for _, v := range append(viewers, late) {
			v.Close()
		}
		synctest.Wait()
		if _, err := a.open[0].Write([]byte("x")); err == nil {
			t.Error("the stream goes on without viewers")
		}
		r.Watch(source, JPEG, 10).Close()
	})
}

func TestAViewerIsGivenNoMoreThanAskedFor(t *testing.T) {
	bubble(t, func(t *testing.T, r *Relay, a *agent) {
		v := r.Watch(source, JPEG, 2)
		defer v.Close()
		synctest.Wait()
		a.send("0", true)
		wantFrame(t, v, "0")
		began := time.Now()
		for i := range 20 { // ten a second
			time.Sleep(100 * time.Millisecond)
			a.send(fmt.Sprint(i), true)
		}
		got := 0
		for time.Since(began) < 2400*time.Millisecond {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			if _, err := v.Next(ctx); err == nil {
				got++
			}
			cancel()
		}
		if got != 1 {
			t.Errorf("%d frames for a reader that looked once", got)
		}
	})
}

func TestWhoWantsMoreMakesTheAgentSendMore(t *testing.T) {
	bubble(t, func(t *testing.T, r *Relay, a *agent) {
		slow := r.Watch(source, JPEG, 1)
		defer slow.Close()
		synctest.Wait()
		a.send("one", true)
		wantFrame(t, slow, "one")
		fast := r.Watch(source, JPEG, 30)
		defer fast.Close()
		synctest.Wait()
		a.send("two", true)
		wantFrame(t, fast, "two")
		wantFrame(t, slow, "two")
		if got := a.asked(); len(got) != 2 || got[1] != "/v1/printers/S1/camera/stream?fps=30" {
			t.Errorf("asked %v", got)
		}
	})
}

func TestStopEndsEverybody(t *testing.T) {
	bubble(t, func(t *testing.T, r *Relay, a *agent) {
		other := source
		other.PrinterID, other.Serial = 8, "S2"
		viewers := []*Viewer{r.Watch(source, JPEG, 1), r.Watch(source, JPEG, 1), r.Watch(source, H264, 0)}
		stays := r.Watch(other, JPEG, 1)
		defer stays.Close()
		synctest.Wait()
		if n := r.Stop(7); n != 3 {
			t.Errorf("stopped %d", n)
		}
		for _, v := range viewers {
			wantEnd(t, v, farm.Unavailable)
			v.Close()
		}
		if n := r.Stop(7); n != 0 {
			t.Errorf("stopped %d again", n)
		}
		again := r.Watch(source, JPEG, 1)
		defer again.Close()
		synctest.Wait()
		a.send("one", true)
		wantFrame(t, again, "one")
	})
}

func TestAVideoBeginsWithItsKeyFrame(t *testing.T) {
	bubble(t, func(t *testing.T, r *Relay, a *agent) {
		first := r.Watch(source, H264, 0)
		defer first.Close()
		synctest.Wait()
		a.send("K", true)
		a.send("a", false)
		synctest.Wait()
		late := r.Watch(source, H264, 0)
		defer late.Close()
		a.send("b", false)
		synctest.Wait()
		for _, want := range []string{"K", "a", "b"} {
			wantFrame(t, first, want)
			wantFrame(t, late, want)
		}
		for range queueFrames + 10 { // first reads nothing
			a.send("c", false)
			synctest.Wait()
			_, _ = late.Next(t.Context())
		}
		a.send("L", true)
		synctest.Wait()
		wantFrame(t, first, "L")
		wantFrame(t, late, "L")
	})
}

// Who comes late to a long video begins with a key frame and misses nothing in the
// middle of what they see.
func TestALateViewerSeesNothingBroken(t *testing.T) {
	bubble(t, func(t *testing.T, r *Relay, a *agent) {
		first := r.Watch(source, H264, 0)
		defer first.Close()
		synctest.Wait()
		a.send("K", true)
		for range queueFrames + 50 {
			a.send("p", false)
			_, _ = first.Next(t.Context())
		}
		synctest.Wait()
		late := r.Watch(source, H264, 0)
		defer late.Close()
		wantFrame(t, late, "K")
		a.send("q", false)
		a.send("L", true)
		synctest.Wait()
		wantFrame(t, late, "L")
	})
}

// A video that is too long since its key frame is not kept: who comes later sees
// that frame and nothing broken until the next.
func TestALongVideoLeavesAGap(t *testing.T) {
	bubble(t, func(t *testing.T, r *Relay, a *agent) {
		first := r.Watch(source, H264, 0)
		defer first.Close()
		synctest.Wait()
		a.send("K", true)
		for range 3 {
			a.send(strings.Repeat("x", backlogBytes/2), false)
			_, _ = first.Next(t.Context())
		}
		synctest.Wait()
		late := r.Watch(source, H264, 0)
		defer late.Close()
		wantFrame(t, late, "K")
		a.send("a", false)
		a.send("L", true)
		synctest.Wait()
		wantFrame(t, late, "L")
	})
}

func TestAStreamThatBreaksOffIsOpenedAgain(t *testing.T) {
	bubble(t, func(t *testing.T, r *Relay, a *agent) {
		v := r.Watch(source, JPEG, 1)
		defer v.Close()
		synctest.Wait()
		a.send("one", true)
		wantFrame(t, v, "one")
		a.cut()
		time.Sleep(10 * time.Second)
		a.send("two", true)
		wantFrame(t, v, "two")
		a.mu.Lock()
		a.refuse = farm.Errorf(farm.AgentOffline, "the agent is not connected")
		a.mu.Unlock()
		a.cut()
		wantEnd(t, v, farm.AgentOffline) // in vain for a minute
	})
}

// What the agent says of the camera is passed on at once.
func TestACameraThatIsRefusedEndsTheStream(t *testing.T) {
	bubble(t, func(t *testing.T, r *Relay, a *agent) {
		v := r.Watch(source, JPEG, 1)
		defer v.Close()
		synctest.Wait()
		a.send("one", true)
		wantFrame(t, v, "one")
		a.mu.Lock()
		a.refuse = farm.Errorf(farm.PrinterNotConnected, "the camera refuses the access code")
		a.mu.Unlock()
		a.cut()
		began := time.Now()
		wantEnd(t, v, farm.PrinterNotConnected)
		if time.Since(began) > 10*time.Second {
			t.Errorf("it took %v", time.Since(began))
		}
	})
}

func TestWhatCannotBeHadIsToldAtOnce(t *testing.T) {
	for name, set := range map[farm.Code]func(*agent){
		farm.AgentOffline:        func(a *agent) { a.refuse = farm.Errorf(farm.AgentOffline, "away") },
		farm.FFmpegMissing:       func(a *agent) { a.refuse = farm.Errorf(farm.FFmpegMissing, "no ffmpeg") },
		farm.PrinterNotConnected: func(a *agent) { a.refuse = farm.Errorf(farm.PrinterNotConnected, "off") },
	} {
		t.Run(string(name), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *Relay, a *agent) {
				set(a)
				began := time.Now()
				v := r.Watch(source, JPEG, 1)
				wantEnd(t, v, name)
				v.Close()
				if _, err := r.Snapshot(t.Context(), source); !farm.Is(err, name) {
					t.Errorf("snapshot: %v", err)
				}
				if time.Since(began) > 0 {
					t.Errorf("it took %v", time.Since(began))
				}
			})
		})
	}
}

func TestGarbageIsNoStream(t *testing.T) {
	bubble(t, func(t *testing.T, r *Relay, a *agent) {
		v := r.Watch(source, JPEG, 1)
		defer v.Close()
		synctest.Wait()
		_, _ = a.open[0].Write([]byte(strings.Repeat("\xff", 16))) // a frame of 4 GiB
		wantEnd(t, v, farm.Unavailable)
	})
}

func TestSnapshotsAreShared(t *testing.T) {
	bubble(t, func(t *testing.T, r *Relay, a *agent) {
		a.still = make(chan struct{})
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if b, err := r.Snapshot(t.Context(), source); err != nil || string(b) != "picture" {
					t.Errorf("%q, %v", b, err)
				}
			})
		}
		synctest.Wait()
		close(a.still)
		all.Wait()
		if got := a.asked(); len(got) != 1 {
			t.Errorf("asked %v", got)
		}
		v := r.Watch(source, JPEG, 1)
		defer v.Close()
		synctest.Wait()
		a.send("live", true)
		synctest.Wait()
		if b, err := r.Snapshot(t.Context(), source); err != nil || string(b) != "live" {
			t.Errorf("beside a stream: %q, %v", b, err)
		}
		time.Sleep(2 * time.Second)
		if b, err := r.Snapshot(t.Context(), source); err != nil || string(b) != "picture" {
			t.Errorf("beside a stream that stands: %q, %v", b, err)
		}
	})
}

func TestASnapshotTakesFiveSecondsAtMost(t *testing.T) {
	bubble(t, func(t *testing.T, r *Relay, a *agent) {
		a.still = make(chan struct{})
		began := time.Now()
		if _, err := r.Snapshot(t.Context(), source); !farm.Is(err, farm.PrinterNotConnected) || time.Since(began) != snapshotTime {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Snapshot(ctx, source); err == nil {
			t.Error("a caller who leaves waits on")
		}
	})
}

func TestTheEndOfTheHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &agent{}
		r := New(a, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		v := r.Watch(source, JPEG, 1)
		synctest.Wait()
		a.send("one", true)
		wantFrame(t, v, "one")
		cancel()
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
		wantEnd(t, v, farm.Unavailable)
		v.Close()
		late := r.Watch(source, JPEG, 1)
		wantEnd(t, late, farm.Unavailable)
		if _, err := r.Snapshot(t.Context(), source); !farm.Is(err, farm.Unavailable) {
			t.Errorf("snapshot: %v", err)
		}
	})
}
