package tunnel

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"bambuddy/shared/farm"
)

func TestWrongKeyIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		_, other, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		thief := r.who
		thief.Key = other
		_, err = Dial(t.Context(), r.hub, thief, Control, "")
		var no *Refused
		if !errors.As(err, &no) || no.Code != farm.Unauthorized || no.RetryAfter != 90*time.Second || no.Detail != "wrong key" {
			t.Errorf("Dial gave %v", err)
		}
	})
}

func TestAgentSignsForItsOwnHubOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		who := r.who
		who.HubID = "another hub"
		if _, err := Dial(t.Context(), r.hub, who, Control, ""); !errors.Is(err, ErrWrongHub) {
			t.Errorf("Dial gave %v", err)
		}
		var ce websocket.CloseError
		if err := <-r.failed; !errors.As(err, &ce) {
			t.Errorf("the wrong hub got %v, want a closed connection without an answer", err)
		}
	})
}

// A signature that was overheard is worth nothing: the nonce is new every time.
func TestReplayedAnswerIsNotAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		var overheard answer
		for i, want := range []farm.Code{"", farm.Unauthorized} {
			ws, sock, err := dialWebsocket(t.Context(), r.hub, Control)
			if err != nil {
				t.Fatal(err)
			}
			var c challenge
			if err := receive(t.Context(), ws, &c); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				overheard = answer{Protocol: Protocol, AgentID: r.who.AgentID, BootID: r.who.BootID, Lane: Control}
				overheard.Signature = ed25519.Sign(r.who.Key, signed(c, overheard))
			}
			var v verdict
			if err := send(t.Context(), ws, overheard); err != nil {
				t.Fatal(err)
			}
			if err := receive(t.Context(), ws, &v); err != nil {
				t.Fatal(err)
			}
			if v.Code != want {
				t.Errorf("try %d: verdict %+v, want code %q", i, v, want)
			}
			_ = sock.Close()
			_ = ws.CloseNow()
		}
		synctest.Wait()
		select {
		case c := <-r.clients:
			<-c.Done()
		default: // the welcome already found nobody
		}
	})
}

func TestEverySignedPartCounts(t *testing.T) {
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := challenge{HubID: "ab", Nonce: make([]byte, nonceSize)}
	a := answer{AgentID: "cd", BootID: "ef", Lane: Bulk, Session: "gh"}
	a.Signature = ed25519.Sign(key, signed(c, a))
	for name, change := range map[string]func(*challenge, *answer){
		"hub":     func(c *challenge, _ *answer) { c.HubID = "xx" },
		"nonce":   func(c *challenge, _ *answer) { c.Nonce = append([]byte{1}, c.Nonce[1:]...) },
		"agent":   func(_ *challenge, a *answer) { a.AgentID = "xx" },
		"boot":    func(_ *challenge, a *answer) { a.BootID = "xx" },
		"lane":    func(_ *challenge, a *answer) { a.Lane = Control },
		"session": func(_ *challenge, a *answer) { a.Session = "" },
		"split":   func(_ *challenge, a *answer) { a.AgentID, a.BootID = "cde", "f" },
	} {
		c2, a2 := c, a
		change(&c2, &a2)
		if (&Knock{challenge: c2, answer: a2}).SignedBy(public) {
			t.Errorf("a changed %s keeps the signature valid", name)
		}
	}
	k := &Knock{challenge: c, answer: a}
	if !k.SignedBy(public) || k.SignedBy(nil) || k.SignedBy(public[:31]) {
		t.Error("the true key must be accepted, and nothing that is no key")
	}
}

func TestImproperAnswersEndTheHandshake(t *testing.T) {
	proper := answer{Protocol: 1, AgentID: "a", BootID: "b", Lane: Control, Signature: make([]byte, ed25519.SignatureSize)}
	long := string(make([]byte, maxID+1))
	for name, change := range map[string]func(*answer){
		"no agent":     func(a *answer) { a.AgentID = "" },
		"long agent":   func(a *answer) { a.AgentID = long },
		"no boot":      func(a *answer) { a.BootID = "" },
		"long boot":    func(a *answer) { a.BootID = long },
		"long session": func(a *answer) { a.Session = long },
		"other lane":   func(a *answer) { a.Lane = Bulk },
		"no signature": func(a *answer) { a.Signature = nil },
	} {
		a := proper
		change(&a)
		if a.check(Control) == nil {
			t.Errorf("%s passes", name)
		}
	}
	if err := proper.check(Control); err != nil {
		t.Errorf("a proper answer: %v", err)
	}
}

func TestAgentChecksTheHubsWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, say := range map[string][]any{
			"short nonce":     {challenge{HubID: testHubID, Nonce: []byte("short")}},
			"not an object":   {"hello"},
			"empty welcome":   {newChallenge(testHubID), verdict{}},
			"endless session": {newChallenge(testHubID), verdict{Session: string(make([]byte, 9000))}},
			"too large":       {challenge{HubID: string(make([]byte, maxHandshakeMessage))}},
		} {
			r := newRig(t)
			_ = r.server.Close()
			r.served.Wait()
			r.serve(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				ws, err := websocket.Accept(w, req, nil)
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = ws.CloseNow() }()
				for i, m := range say {
					if i > 0 {
						_, _, _ = ws.Read(req.Context())
					}
					_ = send(req.Context(), ws, m)
				}
				_, _, _ = ws.Read(req.Context())
			}))
			if s, err := Dial(t.Context(), r.hub, r.who, Control, ""); err == nil {
				t.Errorf("%s: the agent is satisfied", name)
				s.Close()
			}
			r.close()
		}
	})
}

func TestSilentHubIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		_ = r.server.Close()
		r.served.Wait()
		release := make(chan struct{})
		r.serve(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			ws, err := websocket.Accept(w, req, nil)
			if err == nil {
				<-release
				_ = ws.CloseNow()
			}
		}))
		start := time.Now()
		if _, err := Dial(t.Context(), r.hub, r.who, Control, ""); err == nil {
			t.Error("a hub that says nothing was accepted")
		}
		if took := time.Since(start); took > handshakePatience+closePatience {
			t.Errorf("it took %v", took)
		}
		close(release)
		r.close()
	})
}

func TestAddressThatIsCutOffIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		r.network.Cut("agent")
		start := time.Now()
		_, err := Dial(t.Context(), r.hub, r.who, Control, "")
		if err == nil || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 3*handshakePatience {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

var update = flag.Bool("update", false, "write testdata anew (only for messages that are new)")

// The handshake of every released version is understood for ever: these files are
// never changed, only joined by new ones.
func TestStoredHandshakes(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	c := challenge{HubID: "3f9a1c52e07d4b68", Nonce: []byte("0123456789abcdef0123456789abcdef")}
	control := answer{Protocol: 1, AgentID: "a1b2c3d4e5f60718", BootID: "b00710000001", Lane: Control}
	control.Signature = ed25519.Sign(key, signed(c, control))
	bulk := answer{Protocol: 1, AgentID: "a1b2c3d4e5f60718", BootID: "b00710000001", Lane: Bulk, Session: "5e5510700001"}
	bulk.Signature = ed25519.Sign(key, signed(c, bulk))
	for name, want := range map[string]any{
		"challenge":      &c,
		"answer_control": &control,
		"answer_bulk":    &bulk,
		"welcome":        &verdict{Session: "5e5510700001"},
		"refusal":        &verdict{Code: farm.DuplicateIdentity, Detail: "another agent with this identity is connected", RetryAfter: 60},
	} {
		file := filepath.Join("testdata", name+".v1.json")
		if *update {
			b, _ := json.MarshalIndent(want, "", "  ")
			if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got := reflect.New(reflect.TypeOf(want).Elem()).Interface()
		if err := json.Unmarshal(b, got); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s reads as %+v, want %+v", file, got, want)
		}
		if a, isAnswer := got.(*answer); isAnswer {
			if k := (&Knock{challenge: c, answer: *a}); !k.SignedBy(key.Public().(ed25519.PublicKey)) {
				t.Errorf("%s: the stored signature is no longer valid: the signed bytes have changed", file)
			}
		}
	}
}
