package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"bambuddy/hub/internal/fleet"
)

// printerList is a list of printers, each in JSON already. A dashboard and every
// integration ask for the whole of it again and again, while few printers change in
// between.
type printerList [][]byte

// Schema describes what it is.
func (printerList) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[[]Printer](), true, "")
}

// AppendJSON appends the list; encode does this instead of looking at it.
func (l printerList) AppendJSON(b []byte) []byte {
	size := 2 + len(l)
	for _, one := range l {
		size += len(one)
	}
	b = append(slices.Grow(b, size+1), '[')
	for i, one := range l {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, one...)
	}
	return append(b, ']')
}

// printerCache keeps each printer as it was last shown in lists.
type printerCache struct {
	mu     sync.Mutex
	latest map[int64]shownPrinter
}

type shownPrinter struct {
	version  uint64 // of the view
	archive  int64  // the print under way, which the view does not hold
	filename string
	json     []byte
}

// shown gives a printer in JSON.
func (s *server) shown(v fleet.View) ([]byte, error) {
	now := shownPrinter{version: v.Version}
	if s.current != nil {
		if p, ok := s.current.Current(v.Printer.ID); ok {
			now.archive, now.filename = p.ID, p.Filename
		}
	}
	c := &s.printers
	c.mu.Lock()
	last, ok := c.latest[v.Printer.ID]
	c.mu.Unlock()
	if ok && last.version == now.version && last.archive == now.archive && last.filename == now.filename {
		return last.json, nil
	}
	b, err := json.Marshal(s.printerOf(v))
	if err != nil {
		return nil, fmt.Errorf("render printer %d: %w", v.Printer.ID, err)
	}
	now.json = b
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.latest[v.Printer.ID].version <= now.version { // else somebody is ahead already
		c.latest[v.Printer.ID] = now
	}
	return b, nil
}

// keep drops printers that are not in the picture any more.
func (c *printerCache) keep(picture []fleet.View) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.latest) <= len(picture) {
		return
	}
	there := make(map[int64]bool, len(picture))
	for _, v := range picture {
		there[v.Printer.ID] = true
	}
	maps.DeleteFunc(c.latest, func(id int64, _ shownPrinter) bool { return !there[id] })
}
