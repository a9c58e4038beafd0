// Package settings is what people set of a hub while it runs. It owns the values,
// their defaults and their bounds; whoever goes by one asks for it when he needs it,
// so that a change counts at once.
//
// Only what somebody has set is stored, as a JSON merge patch (RFC 7396) over the
// initial values, so that everything else follows the defaults of later releases.
package settings

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"bambuddy/shared/farm"
)

// Store keeps one row. SwapSetting replaces a value if it still is what it was ("": not
// there), and tells whether it was.
type Store interface {
	Setting(ctx context.Context, key string) (string, bool, error)
	SwapSetting(ctx context.Context, key, was, value string) (bool, error)
}

// row is the key of the one row.
const row = "settings"

// lookEvery is how often Run looks whether another process has changed something.
const lookEvery = 2 * time.Second

// Options are the parts of Settings.
type Options struct {
	Store Store
	// Overrides changes the initial values, as flags of the command line do. What is
	// stored wins over it. nil: none.
	Overrides func(*Values)
	Log       *slog.Logger
}

// Settings are the values of one hub. Its methods may be called concurrently.
type Settings struct {
	store   Store
	log     *slog.Logger
	initial Values
	now     atomic.Pointer[snapshot]

	order sync.Mutex // held from a look at the row until it is taken over

	mu      sync.Mutex
	changed chan struct{}
}

// document is the row: what was set, and how often that has changed.
type document struct {
	Revision int64          `json:"revision"`
	Set      map[string]any `json:"set"`
}

// snapshot is a document as it was read, and what it comes to.
type snapshot struct {
	text   string
	doc    document
	values Values
}

// New makes Settings with the initial values; Load reads what is stored.
func New(o Options) *Settings {
	s := &Settings{store: o.Store, log: o.Log, initial: Defaults(), changed: make(chan struct{})}
	if o.Overrides != nil {
		o.Overrides(&s.initial)
	}
	s.now.Store(&snapshot{values: s.initial})
	return s
}

// Load reads what is stored. It fails when a value it was made with cannot be.
func (s *Settings) Load(ctx context.Context) error {
	if err := s.initial.check(); err != nil {
		return err
	}
	return s.look(ctx)
}

// Values are the values of this moment.
func (s *Settings) Values() Values { return s.now.Load().values }

// Initial are the values of what nobody has set.
func (s *Settings) Initial() Values { return s.initial }

// Set names what somebody has set, as limits.read, in order.
func (s *Settings) Set() []string { return names("", s.now.Load().doc.Set) }

func names(before string, set map[string]any) (out []string) {
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if group, ok := set[name].(map[string]any); ok {
			out = append(out, names(before+name+".", group)...)
			continue
		}
		out = append(out, before+name)
	}
	return out
}

// Changed is closed at the next change. Take it before Values, so that no change
// falls in between.
func (s *Settings) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Change sets what a merge patch says; null sets back to the initial value, unknown
// names are passed over. Errors are VALIDATION_ERROR and name the field.
func (s *Settings) Change(ctx context.Context, patch map[string]any) (Values, error) {
	s.order.Lock()
	defer s.order.Unlock()
	for range 20 { // other processes
		was, err := s.read(ctx)
		if err != nil {
			return Values{}, err
		}
		next := document{Revision: was.doc.Revision + 1, Set: merged(was.doc.Set, only(known(), patch))}
		values, err := s.over(next.Set)
		if err != nil {
			return Values{}, err
		}
		text, err := json.Marshal(next)
		if err != nil {
			return Values{}, fmt.Errorf("write the settings: %w", err)
		}
		done, err := s.store.SwapSetting(ctx, row, was.text, string(text))
		if err != nil {
			return Values{}, fmt.Errorf("store the settings: %w", err)
		}
		if done {
			s.take(&snapshot{text: string(text), doc: next, values: values})
			return values, nil
		}
	}
	return Values{}, farm.Errorf(farm.Conflict, "others keep changing the settings; try again")
}

// Run takes over what other processes change, until ctx ends.
func (s *Settings) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	told := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := s.look(ctx)
		switch {
		case err == nil:
			told = ""
		case ctx.Err() == nil && err.Error() != told:
			told = err.Error()
			s.log.Error("settings not read, those of before go on", "err", err)
		}
	}
}

// look takes over what is stored.
func (s *Settings) look(ctx context.Context) error {
	s.order.Lock()
	defer s.order.Unlock()
	_, err := s.read(ctx)
	return err
}

// read is look with the order held.
func (s *Settings) read(ctx context.Context) (*snapshot, error) {
	now := s.now.Load()
	text, _, err := s.store.Setting(ctx, row)
	if err != nil {
		return nil, fmt.Errorf("read the settings: %w", err)
	}
	if text == now.text {
		return now, nil
	}
	next := &snapshot{text: text}
	if text != "" {
		if err := json.Unmarshal([]byte(text), &next.doc); err != nil {
			return nil, fmt.Errorf("read the stored settings: %w", err)
		}
	}
	if next.values, err = s.over(only(known(), next.doc.Set)); err != nil {
		return nil, fmt.Errorf("read the stored settings: %w", err)
	}
	s.take(next)
	return next, nil
}

// take makes a snapshot the present one.
func (s *Settings) take(next *snapshot) {
	s.now.Store(next)
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

// over gives the values with a patch over the initial ones.
func (s *Settings) over(set map[string]any) (Values, error) {
	whole, err := json.Marshal(merged(asMap(s.initial), set))
	if err != nil {
		return Values{}, fmt.Errorf("merge the settings: %w", err)
	}
	var v Values
	if err := jsonv2.Unmarshal(whole, &v); err != nil {
		var wrong *jsonv2.SemanticError
		if errors.As(err, &wrong) {
			return Values{}, farm.Errorf(farm.Invalid, "%s: is not a value this setting can hold", fieldName(wrong.JSONPointer))
		}
		return Values{}, farm.Wrap(farm.Invalid, err, "the settings cannot be read")
	}
	return v, v.check()
}
