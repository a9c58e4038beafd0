package settings

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/hub/internal/store"
	"bambuddy/shared/farm"
)

// newStore is a database of its own.
func newStore(t *testing.T) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func loaded(t *testing.T, o Options) *Settings {
	t.Helper()
	o.Log = slog.New(slog.DiscardHandler)
	s := New(o)
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// patch reads a merge patch.
func patch(t *testing.T, text string) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDefaultsAreValid(t *testing.T) {
	v := Defaults()
	if err := v.check(); err != nil || !reflect.DeepEqual(v, Defaults()) {
		t.Errorf("%v: %+v", err, v)
	}
}

// The bounds that the document tells are those that are kept.
func TestBoundsAreThoseOfTheDocument(t *testing.T) {
	s := loaded(t, Options{Store: newStore(t)})
	var walk func(prefix, suffix string, of reflect.Type)
	seen := 0
	walk = func(prefix, suffix string, of reflect.Type) {
		for f := range of.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.Type.Kind() == reflect.Struct {
				walk(prefix+`{"`+name+`":`, "}"+suffix, f.Type)
				continue
			}
			for tag, beyond := range map[string]float64{"minimum": -1, "maximum": 1} {
				var bound float64
				if _, err := fmt.Sscan(f.Tag.Get(tag), &bound); err != nil {
					continue
				}
				seen++
				at := func(v float64) error {
					_, err := s.Change(t.Context(), patch(t, fmt.Sprintf(`%s{"%s":%v}%s`, prefix, name, v, suffix)))
					return err
				}
				if err := at(bound); err != nil {
					t.Errorf("%s at its %s %v: %v", name, tag, bound, err)
				}
				if err := at(bound + beyond); !farm.Is(err, farm.Invalid) || !strings.Contains(err.Error(), name+":") {
					t.Errorf("%s beyond its %s %v: %v", name, tag, bound, err)
				}
			}
		}
	}
	walk("", "", reflect.TypeFor[Values]())
	if seen < 26 {
		t.Errorf("only %d bounds were found", seen)
	}
}

func TestChange(t *testing.T) {
	db := newStore(t)
	s := loaded(t, Options{Store: db, Overrides: func(v *Values) { v.Limits.Read, v.PrinterOfflineSeconds = 7, 90 }})
	if v := s.Values(); v.Limits.Read != 7 || v.Limits.Write != 30 || len(s.Set()) != 0 {
		t.Fatalf("at first %+v, set %v", v, s.Set())
	}
	news := s.Changed()
	v, err := s.Change(t.Context(), patch(t, `{"limits":{"read":500,"nonsense":1},"milestones":[75,10],"filament_prices":{"PLA":19.5,"ABS":30},"colour":"red","PRINTER_OFFLINE_SECONDS":5}`))
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-news:
	default:
		t.Error("nobody was told of the change")
	}
	want := s.Initial()
	want.Limits.Read, want.Milestones, want.FilamentPrices = 500, []int{10, 75}, map[string]float64{"PLA": 19.5, "ABS": 30}
	if !reflect.DeepEqual(v, want) || !reflect.DeepEqual(s.Values(), want) {
		t.Errorf("%+v\nwant %+v", v, want)
	}
	if got, want := s.Set(), []string{"filament_prices.ABS", "filament_prices.PLA", "limits.read", "milestones"}; !slices.Equal(got, want) {
		t.Errorf("set are %v, want %v", got, want)
	}

	// Another process, with other flags: what is stored wins, the rest is its own.
	other := loaded(t, Options{Store: db, Overrides: func(v *Values) { v.Limits.Read, v.Limits.Write = 8, 9 }})
	if v := other.Values(); v.Limits.Read != 500 || v.Limits.Write != 9 || v.PrinterOfflineSeconds != 60 || v.FilamentPrices["ABS"] != 30 {
		t.Errorf("after a restart %+v", v)
	}

	v, err = s.Change(t.Context(), patch(t, `{"limits":{"read":null},"milestones":null,"filament_prices":{"ABS":null}}`))
	if err != nil || v.Limits.Read != 7 || !slices.Equal(v.Milestones, []int{25, 50, 75}) || len(v.FilamentPrices) != 1 {
		t.Errorf("back to the defaults: %v, %+v", err, v)
	}
	if v, err = s.Change(t.Context(), patch(t, `{"limits":null,"filament_prices":null,"sessions":{}}`)); err != nil || !reflect.DeepEqual(v, s.Initial()) || len(s.Set()) != 0 {
		t.Errorf("all of them: %v, %+v, %v", err, v, s.Set())
	}
}

func TestWrongValues(t *testing.T) {
	s := loaded(t, Options{Store: newStore(t)})
	long := strings.Repeat("x", 40)
	for text, field := range map[string]string{
		`{"milestones":[25,26]}`: "milestones[1]", `{"milestones":[0]}`: "milestones[0]", `{"milestones":[5,100]}`: "milestones[1]",
		`{"milestones":[5,50,5]}`: "milestones[2]", `{"milestones":25}`: "milestones", `{"milestones":["25"]}`: "milestones[0]", `{"milestones":[2.5]}`: "milestones[0]",
		`{"limits":{"read":"many"}}`: "limits.read", `{"limits":5}`: "limits", `{"limits":{"session":0}}`: "limits.session",
		`{"currency":"euro"}`: "currency", `{"currency":""}`: "currency",
		`{"filament_prices":{"PLA":-1}}`: "filament_prices.PLA", `{"filament_prices":{"` + long + `":1}}`: "filament_prices", `{"filament_prices":{"":1}}`: "filament_prices",
		`{"filament_prices":{"PLA":{"a":1}}}`: "filament_prices.PLA", `{"filament_price":1e9}`: "filament_price", `{"machine_rate":-0.5}`: "machine_rate",
		`{"webhooks":{"allow_private":1}}`: "webhooks.allow_private", `{"webhooks":{"retry_hours":0}}`: "webhooks.retry_hours",
		`{"cors_origins":["https://a.example","b.example"]}`: "cors_origins[1]",
	} {
		if _, err := s.Change(t.Context(), patch(t, text)); !farm.Is(err, farm.Invalid) || !strings.HasPrefix(err.Error(), field+":") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if v := s.Values(); !reflect.DeepEqual(v, Defaults()) {
		t.Errorf("something was taken over: %+v", v)
	}
	bad := Defaults()
	if bad.FilamentPrice = math.NaN(); bad.check() == nil {
		t.Error("a price that is no number")
	}
}

func TestOrigins(t *testing.T) {
	for given, want := range map[string]string{
		"*": "*", "https://tools.example": "https://tools.example", "HTTPS://Tools.Example:443": "https://tools.example", "http://10.0.0.5:3000": "http://10.0.0.5:3000",
		"http://localhost:80": "http://localhost", "http://[2001:DB8::0:1]:8080": "http://[2001:db8::1]:8080", "https://a-b.c.example:8443": "https://a-b.c.example:8443",
		"": "", "null": "", "tools.example": "", "https://": "", "https://tools.example/": "", "https://tools.example/path": "", "https://*.example": "", "https://tools.example?a": "",
		"https://tools.example?": "", "https://tools.example#": "", "https://me@tools.example": "", "ftp://tools.example": "", "file:///x": "", "https://tools.example:": "", "https://tools.example:0": "",
		"https://tools.example:99999": "", "https://tools_.example": "", "https://-a.example": "", "https://a..example": "", "https://tööls.example": "", "https://[fe80::1%25eth0]": "",
		"https://[1.2.3.4]": "", "https://tools.example\r\nX: y": "", "javascript:alert(1)": "", "https://" + strings.Repeat("a.", 200) + "example": "",
	} {
		got, err := originOf(given)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", given, got, err, want)
		}
	}
	v := Values{CORSOrigins: []string{"https://a.example"}}
	for origin, want := range map[string]bool{"https://a.example": true, "https://A.example": true, "http://a.example": false, "https://a.example:8443": false, "null": false, "": false, "*": false} {
		if v.AllowsOrigin(origin) != want {
			t.Errorf("%q: %v", origin, !want)
		}
	}
	if (Values{}).AllowsOrigin("https://a.example") || !(Values{CORSOrigins: []string{"*"}}).AllowsOrigin("https://b.example") {
		t.Error("none, and all")
	}
}

func TestAWrongFlag(t *testing.T) {
	s := New(Options{Store: newStore(t), Overrides: func(v *Values) { v.PrinterOfflineSeconds = 0 }})
	if err := s.Load(t.Context()); !farm.Is(err, farm.Invalid) || !strings.Contains(err.Error(), "printer_offline_seconds") {
		t.Errorf("%v", err)
	}
}

// Nothing that anybody has set is lost, however many set something at once.
func TestManyChangeAtOnce(t *testing.T) {
	db := newStore(t)
	hubs := []*Settings{loaded(t, Options{Store: db}), loaded(t, Options{Store: db})}
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			name := fmt.Sprint("TYPE", i)
			if _, err := hubs[i%2].Change(t.Context(), map[string]any{"filament_prices": map[string]any{name: float64(i)}}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if v := loaded(t, Options{Store: db}).Values(); len(v.FilamentPrices) != 16 {
		t.Errorf("kept are %v", v.FilamentPrices)
	}
}

// memory is the row alone, for tests in a bubble.
type memory struct {
	mu   sync.Mutex
	text string
	err  error
}

func (m *memory) Setting(context.Context, string) (string, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.text, m.text != "", m.err
}

func (m *memory) SwapSetting(_ context.Context, _, was, value string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil || m.text != was {
		return false, m.err
	}
	m.text = value
	return true, nil
}

func TestAnotherProcessSeesAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows, log := &memory{}, &strings.Builder{}
		a, b := loaded(t, Options{Store: rows}), New(Options{Store: rows, Log: slog.New(slog.NewTextHandler(log, nil))})
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() { over <- b.Run(ctx) }()
		news := b.Changed()
		if _, err := a.Change(ctx, patch(t, `{"events_keep_days":3}`)); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		<-news
		if took := time.Since(began); took > 5*time.Second || b.Values().EventsKeepDays != 3 {
			t.Errorf("after %v it is %d", took, b.Values().EventsKeepDays)
		}
		rows.mu.Lock()
		rows.err = errors.New("gone")
		rows.mu.Unlock()
		time.Sleep(time.Minute)
		stop()
		if err := <-over; err != nil {
			t.Error(err)
		}
		if b.Values().EventsKeepDays != 3 || strings.Count(log.String(), "gone") != 1 {
			t.Errorf("without a database: %d, %s", b.Values().EventsKeepDays, log)
		}
		if _, err := a.Change(t.Context(), patch(t, `{"events_keep_days":4}`)); err == nil || a.Values().EventsKeepDays != 3 {
			t.Error("a change that is not stored counts")
		}
	})
}

func TestARowThatCannotBeRead(t *testing.T) {
	for _, text := range []string{"x", `{"set":{"currency":"euro"}}`, `{"set":{"limits":{"read":"x"}}}`} {
		s := New(Options{Store: &memory{text: text}, Log: slog.New(slog.DiscardHandler)})
		if err := s.Load(t.Context()); err == nil || !reflect.DeepEqual(s.Values(), Defaults()) {
			t.Errorf("%s: %v", text, err)
		}
	}
	s := loaded(t, Options{Store: &memory{text: `{"revision":3,"set":{"of_a_later_release":1,"currency":"USD"}}`}})
	if v := s.Values(); v.Currency != "USD" {
		t.Errorf("%+v", v)
	}
}
