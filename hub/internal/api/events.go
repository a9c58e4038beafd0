package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"bambuddy/hub/internal/auth"
	"bambuddy/shared/farm"
)

// Event is one row of the event table, as the stream carries it. Its first three
// keys are those of a webhook.
type Event struct {
	Event     string          `json:"event" doc:"What happened; the name of the SSE event as well." example:"printer_online"`
	Timestamp instant         `json:"timestamp" doc:"When it happened."`
	Data      json.RawMessage `json:"data" doc:"What belongs to it; the keys depend on the event."`
	PrinterID *int64          `json:"printer_id"`
	AgentID   *int64          `json:"agent_id"`
	SiteID    *int64          `json:"site_id"`
}

// Snapshot is the first event of every stream.
type Snapshot struct {
	LastEventID int64           `json:"last_event_id" doc:"The table events of this stream begin after this one. To resume, send the id of the last event received, or this." example:"1183"`
	Printers    []PrinterStatus `json:"printers" doc:"All printers the key may see."`
	Agents      []Agent         `json:"agents" doc:"All agents the key may see."`
}

// PrinterStatus is a printer with its whole status.
type PrinterStatus struct {
	Printer Printer         `json:"printer" doc:"The printer."`
	Status  json.RawMessage `json:"status" doc:"Its whole status, as GET /printers/{id}/status gives it."`
}

// StateFrame tells what changed of a printer.
type StateFrame struct {
	PrinterID int64          `json:"printer_id"`
	Changed   map[string]any `json:"changed" doc:"The top-level keys of its status that changed, with their whole new value."`
	Removed   bool           `json:"removed,omitempty" doc:"The printer is gone, or no longer within the key's scope."`
}

// TransferFrame tells how a file gets on that is on its way from an agent.
type TransferFrame struct {
	ArchiveID int64   `json:"archive_id"`
	Role      string  `json:"role" enum:"model,thumbnail,finish,timelapse" doc:"Which file it is."`
	Bytes     int64   `json:"bytes" doc:"That have come." example:"524288"`
	Size      int64   `json:"size" doc:"Bytes in all." example:"1048576"`
	Done      bool    `json:"done" doc:"Nothing more comes: it is stored, or given up."`
	Error     *string `json:"error" doc:"Why it stands still, to be tried again, or was given up."`
}

// Reset says that the stream could not be resumed without a gap.
type Reset struct {
	Detail      string `json:"detail" doc:"Why, in words."`
	LastEventID int64  `json:"last_event_id" doc:"The table events that follow begin after this one." example:"1183"`
}

const eventsAbout = `A stream of Server-Sent Events. Use one connection for everything: it is counted once, as one read.

1. ` + "`snapshot`" + `: all printers the key may see, with their status, and the agents.
2. Table events, each with an ` + "`id`" + `: what happened, under its own name (` + "`printer_online`, `agent_offline`, …" + `). With ` + "`Last-Event-ID`" + ` they begin after that one, so that none is missed over a reconnect. An id that is older than what is kept gives ` + "`reset`" + ` first: read again what you keep.
3. ` + "`state`" + ` frames, without an id: the keys of a printer's status that changed, as they change. A reader that is too slow gets the newest state and not every step to it; one that does not read at all is disconnected.
4. ` + "`transfer`" + ` frames, without an id: how a file of an archive gets on that is on its way from an agent, once a second.

A comment every 15 seconds shows that the connection lives. The stream ends when the key is revoked, expires or changes.`

func (s *server) eventRoutes() {
	register(s, route{
		id: "stream_events", method: http.MethodGet, path: "/events", tag: "Events", summary: "Stream Events",
		about: eventsAbout, needs: farm.Read, limit: auth.ReadClass, errors: []farm.Code{farm.Invalid}, responses: s.eventResponses(),
	}, s.streamEvents)
}

func (s *server) eventResponses() map[string]*huma.Response {
	reg := s.huma.OpenAPI().Components.Schemas
	message := func(name, about string, data reflect.Type, withID bool) *huma.Schema {
		m := &huma.Schema{
			Title: name, Description: about, Type: huma.TypeObject, Required: []string{"event", "data"},
			Properties: map[string]*huma.Schema{
				"event": {Type: huma.TypeString, Description: "The name of the message."}, "data": reg.Schema(data, true, ""),
			},
		}
		m.Properties["data"].Description = "What belongs to it."
		if !withID {
			m.Properties["event"].Enum = []any{name}
		} else {
			m.Properties["id"] = &huma.Schema{Type: huma.TypeInteger, Format: "int64", Description: "To resume after, as Last-Event-ID."}
			m.Required = append(m.Required, "id")
		}
		return m
	}
	return map[string]*huma.Response{"200": {
		Description: "A stream that does not end by itself.",
		Content: map[string]*huma.MediaType{"text/event-stream": {Example: streamSample, Schema: &huma.Schema{
			Title: "Server-Sent Events", Description: "The messages of the stream, one after the other.", Type: huma.TypeArray,
			Items: &huma.Schema{AnyOf: []*huma.Schema{
				message("snapshot", "First on every connection.", reflect.TypeFor[Snapshot](), false),
				message("state", "A printer's status changed.", reflect.TypeFor[StateFrame](), false),
				message("transfer", "A file of an archive is on its way.", reflect.TypeFor[TransferFrame](), false),
				message("reset", "Events are missing before what follows.", reflect.TypeFor[Reset](), false),
				message("table event", "Something happened.", reflect.TypeFor[Event](), true),
			}},
		}}},
	}}
}

// streamSample is how a stream may begin.
var streamSample = []any{
	map[string]any{"event": "snapshot", "data": map[string]any{"last_event_id": 1183, "printers": []any{}, "agents": []any{}}},
	map[string]any{"id": 1184, "event": "printer_online", "data": map[string]any{
		"event": "printer_online", "timestamp": "2024-01-15T14:30:00Z", "data": map[string]any{"printer_id": 1, "printer_name": "Workshop X1C"},
		"printer_id": 1, "agent_id": 1, "site_id": 1,
	}},
}

type streamInput struct {
	Header string `header:"Last-Event-ID" doc:"Resume after this event." example:"1183"`
	Query  string `query:"last_event_id" doc:"The same, for clients that cannot set headers. The header wins." example:"1183"`
}

// streamEvents does what can fail with an ordinary error before the stream
// begins; the stream itself is in stream.go.
func (s *server) streamEvents(ctx context.Context, in *streamInput) (*huma.StreamResponse, error) {
	from, err := s.startOf(ctx, in)
	if err != nil {
		return nil, err
	}
	agents, err := s.agents(ctx)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		r, w := humachi.Unwrap(hc)
		h := w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("X-Accel-Buffering", "no") // or a proxy would collect frames
		if r.Method == http.MethodHead {
			return
		}
		st := newStream(s, auth.From(ctx), w)
		st.run(ctx, from, agents)
	}}, nil
}

// start is where the table events of a stream begin.
type start struct {
	after int64
	reset bool // events are missing before that
}

func (s *server) startOf(ctx context.Context, in *streamInput) (start, error) {
	asked := in.Header
	if asked == "" {
		asked = in.Query
	}
	first, last, err := s.events.Range(ctx)
	if err != nil {
		return start{}, err
	}
	if asked == "" {
		return start{after: last}, nil
	}
	id, err := strconv.ParseInt(asked, 10, 64)
	if err != nil || id < 0 {
		return start{}, farm.Errorf(farm.Invalid, "last_event_id: expected the id of an event")
	}
	switch {
	case id > last: // of another life of this hub, before a restored backup
		return start{after: last, reset: true}, nil
	case id == last:
		return start{after: last}, nil
	case first == 0:
		return start{after: last, reset: true}, nil
	case id < first-1:
		return start{after: first - 1, reset: true}, nil
	}
	return start{after: id}, nil
}

// eventFrame is a table event in the form of the stream.
func eventFrame(e farm.Event) ([]byte, error) {
	detail := json.RawMessage(e.Data)
	if len(detail) == 0 {
		detail = json.RawMessage("{}")
	}
	data, err := json.Marshal(Event{
		Event: e.Kind, Timestamp: instant{e.At}, Data: detail,
		PrinterID: orNull(e.PrinterID), AgentID: orNull(e.AgentID), SiteID: orNull(e.SiteID),
	})
	if err != nil {
		return nil, err
	}
	return frame(strconv.FormatInt(e.ID, 10), e.Kind, data), nil
}

func frame(id, event string, data []byte) []byte {
	var b []byte
	if id != "" {
		b = append(append(append(b, "id: "...), id...), '\n')
	}
	b = append(append(append(b, "event: "...), event...), '\n')
	b = append(append(b, "data: "...), data...)
	return append(b, "\n\n"...)
}
