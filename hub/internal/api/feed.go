package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"sync"

	"bambuddy/hub/internal/fleet"
)

// feed renders each state of each printer once, however many streams show it. It
// keeps the last rendition of every printer and nothing else.
type feed struct {
	mu     sync.Mutex
	latest map[int64]*rendition // by printer id
}

// rendition is one version of a printer's status in JSON, key by key. It is
// never changed once made.
type rendition struct {
	version uint64
	fields  [][]byte // in the order of statusKeys
	before  uint64   // the version rendered before
	frame   []byte   // the state frame that leads here from it
}

var statusKeys = func() (keys []string) {
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Status]()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		keys = append(keys, name)
	}
	return keys
}()

// render gives a view's rendition.
func (f *feed) render(v fleet.View) (*rendition, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := v.Printer.ID
	last := f.latest[id]
	if last != nil && last.version == v.Version {
		return last, nil
	}
	r := &rendition{version: v.Version, fields: make([][]byte, len(statusKeys))}
	st := reflect.ValueOf(statusOf(v))
	for i := range statusKeys {
		b, err := json.Marshal(st.Field(i).Interface())
		if err != nil {
			return nil, fmt.Errorf("render %s of printer %d: %w", statusKeys[i], id, err)
		}
		r.fields[i] = b
	}
	if last != nil && last.version > v.Version {
		return r, nil // another stream is ahead already
	}
	if last != nil {
		r.before, r.frame = last.version, stateFrame(id, last, r)
	}
	f.latest[id] = r
	return r, nil
}

// forget drops a printer that is gone.
func (f *feed) forget(printerID int64) {
	f.mu.Lock()
	delete(f.latest, printerID)
	f.mu.Unlock()
}

// keep drops every printer that is not in the picture: those that went while no
// stream was open to be told.
func (f *feed) keep(picture []fleet.View) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.latest) <= len(picture) {
		return
	}
	there := make(map[int64]bool, len(picture))
	for _, v := range picture {
		there[v.Printer.ID] = true
	}
	maps.DeleteFunc(f.latest, func(id int64, _ *rendition) bool { return !there[id] })
}

// frameSince is the state frame that leads a stream from what it has shown
// (nil: nothing) to this rendition; nil when nothing differs.
func (r *rendition) frameSince(printerID int64, shown *rendition) []byte {
	if shown != nil && r.before == shown.version {
		return r.frame
	}
	return stateFrame(printerID, shown, r)
}

// object is the whole status as one JSON object.
func (r *rendition) object() []byte {
	b, _ := r.appendChanged(nil, nil)
	return b
}

func stateFrame(printerID int64, from, to *rendition) []byte {
	b := fmt.Appendf(nil, "event: state\ndata: {\"printer_id\":%d,\"changed\":", printerID)
	b, changed := to.appendChanged(b, from)
	if !changed {
		return nil
	}
	return append(b, "}\n\n"...)
}

// appendChanged appends a JSON object of the keys that differ from another rendition.
func (r *rendition) appendChanged(b []byte, from *rendition) (out []byte, changed bool) {
	b = append(b, '{')
	for i, field := range r.fields {
		if from != nil && bytes.Equal(from.fields[i], field) {
			continue
		}
		if changed {
			b = append(b, ',')
		}
		changed = true
		b = append(b, '"')
		b = append(b, statusKeys[i]...)
		b = append(b, '"', ':')
		b = append(b, field...)
	}
	return append(b, '}'), changed
}
