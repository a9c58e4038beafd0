package api

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"bambuddy/hub/internal/auth"
)

// HealthReport is how the hub is. Its status does not depend on printers: that
// they are away is nothing a restart of the hub would mend.
type HealthReport struct {
	Status   string       `json:"status" enum:"healthy,degraded" doc:"degraded: without its database or its object store."`
	Database string       `json:"database" enum:"connected,disconnected" doc:"Whether the database answers."`
	MQTT     string       `json:"mqtt" enum:"connected,degraded,disconnected" doc:"connected: every printer's session is up, or there is no printer; disconnected: none is."`
	Storage  *string      `json:"storage" enum:"connected,disconnected" doc:"Null: this hub keeps no objects." example:"connected"`
	Agents   HealthAgents `json:"agents" doc:"How many agents there are."`
}

// HealthAgents counts agents.
type HealthAgents struct {
	Connected int `json:"connected" doc:"How many are connected." example:"1"`
	Total     int `json:"total" doc:"Revoked ones do not count." example:"1"`
}

const (
	connected    = "connected"
	disconnected = "disconnected"
	degraded     = "degraded"
)

func (s *server) systemRoutes() {
	const tag = "System"
	register(s, route{
		id: "get_health", method: http.MethodGet, path: "/health", tag: tag, summary: "Health Check",
		about:  "Needs no key, is not counted, and answers at the root as well. With 503, when the database is gone, the body is the same.",
		public: true, free: true, rooted: true,
		responses: map[string]*huma.Response{"503": {
			Description: "The database is gone.",
			Content:     map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Ref: "#/components/schemas/HealthReport"}}},
		}},
	}, s.getHealth)
	register(s, route{
		id: "get_openapi", method: http.MethodGet, path: "/openapi.json", tag: tag, summary: "This document",
		about: "Needs no key, and answers at the root as well.", public: true, limit: auth.ReadClass, rooted: true,
		responses: map[string]*huma.Response{"200": {
			Description: "OpenAPI 3.1",
			Content:     map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Type: huma.TypeObject}}},
		}},
	}, s.getDocument)
}

func (s *server) getDocument(context.Context, *struct{}) (*huma.StreamResponse, error) {
	doc, err := s.spec()
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		_, w := humachi.Unwrap(hc)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(doc)
	}}, nil
}

type healthAnswer struct {
	Status int
	Body   HealthReport
}

func (s *server) getHealth(ctx context.Context, _ *struct{}) (*healthAnswer, error) {
	rep := s.health.get(ctx, s.report)
	status := http.StatusOK
	if rep.Database != connected {
		status = http.StatusServiceUnavailable
	}
	return &healthAnswer{Status: status, Body: rep}, nil
}

// The times of the checks behind /health.
const (
	healthFor = time.Second // how long an answer serves
	checkTime = 2 * time.Second
)

// healthCheck asks the real parts, at most once in healthFor, however many ask it.
type healthCheck struct {
	checks Health

	mu     sync.Mutex // held while checking: who comes meanwhile gets the same answer
	last   HealthReport
	taken  time.Time
	agents []int64 // ids as last read, for when the database is gone
}

func (h *healthCheck) get(ctx context.Context, report func(context.Context, *healthCheck) HealthReport) HealthReport {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := time.Now(); h.taken.IsZero() || now.Sub(h.taken) >= healthFor {
		// A caller that hangs up must not make the hub look ill to the next one.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTime)
		defer cancel()
		h.last = report(ctx, h)
		h.taken = time.Now()
	}
	return h.last
}

func (s *server) report(ctx context.Context, h *healthCheck) HealthReport {
	rep := HealthReport{Status: "healthy", Database: connected, MQTT: s.sessions()}
	if err := h.checks.Database(ctx); err != nil {
		rep.Status, rep.Database = degraded, disconnected
	}
	if h.checks.Storage != nil {
		word := connected
		if err := h.checks.Storage(ctx); err != nil {
			rep.Status, word = degraded, disconnected
		}
		rep.Storage = &word
	}
	if agents, err := s.registry.Agents(ctx); err == nil {
		h.agents = h.agents[:0]
		for _, a := range agents {
			if !a.Revoked {
				h.agents = append(h.agents, a.ID)
			}
		}
	}
	rep.Agents.Total = len(h.agents)
	for _, id := range h.agents {
		if link, _ := s.links.Status(id); link.Connected {
			rep.Agents.Connected++
		}
	}
	return rep
}

// sessions sums up the printers' MQTT sessions.
func (s *server) sessions() string {
	up, all := 0, 0
	for _, v := range s.fleet.Views() {
		all++
		if v.Connected {
			up++
		}
	}
	switch up {
	case all: // also of none
		return connected
	case 0:
		return disconnected
	}
	return degraded
}
