package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"bambuddy/hub/internal/auth"
	"bambuddy/hub/internal/registry"
	"bambuddy/shared/farm"
)

// Agent is one enrolled agent with how it is connected.
type Agent struct {
	ID             int64             `json:"id"`
	UID            string            `json:"uid" doc:"Its name on the wire; it never changes."`
	Name           string            `json:"name" example:"workshop-pi"`
	SiteID         int64             `json:"site_id"`
	Version        *string           `json:"version" doc:"As it said last."`
	Platform       *string           `json:"platform" example:"linux/arm64" doc:"System and processor; null: it never connected."`
	Connected      bool              `json:"connected" doc:"It is connected to the hub." example:"true"`
	ConnectedSince nullable[instant] `json:"connected_since" doc:"Since when it is connected; null: it is not."`
	BulkConnected  bool              `json:"bulk_connected" doc:"The lane for files and cameras is up as well."`
	RoundTrip      *int64            `json:"round_trip_ms" doc:"Milliseconds to the agent and back; null: not measured."`
	Duplicate      bool              `json:"duplicate_identity" doc:"A second process tries to connect with its identity: two copies of one data directory."`
	ConfigProblem  *string           `json:"config_problem" doc:"Why its present configuration is not with it; null: it is, or the agent is away."`
	Alarm          *string           `json:"alarm" doc:"What a person should look at at the agent, as a full disk; null: nothing, or it is away."`
	Revoked        bool              `json:"revoked" doc:"It may not connect any more."`
	PrinterCount   int               `json:"printer_count" doc:"Printers it holds that the key may see." example:"1"`
	LastSeen       nullable[instant] `json:"last_seen" doc:"Null: never connected."`
	CreatedAt      instant           `json:"created_at"`
}

// AgentChange is the body of PATCH /agents/{id}: any subset.
type AgentChange struct {
	Name   *string `json:"name,omitempty"`
	SiteID *int64  `json:"site_id,omitempty"`
}

func (s *server) agentRoutes() {
	const tag = "Agents"
	register(s, route{
		id: "list_agents", method: http.MethodGet, path: "/agents", tag: tag, summary: "List Agents",
		about: "All agents, by id, unless `limit` is given.", needs: farm.Read, limit: auth.ReadClass, errors: []farm.Code{farm.Invalid},
	}, s.listAgents)
	register(s, route{
		id: "get_agent", method: http.MethodGet, path: "/agents/{id}", tag: tag, summary: "Get Agent",
		needs: farm.Read, limit: auth.ReadClass,
	}, s.getAgent)
	register(s, route{
		id: "update_agent", method: http.MethodPatch, path: "/agents/{id}", tag: tag, summary: "Update Agent",
		needs: farm.Admin, limit: auth.WriteClass, errors: []farm.Code{farm.Conflict},
	}, s.updateAgent)
	register(s, route{
		id: "revoke_agent", method: http.MethodPost, path: "/agents/{id}/revoke", tag: tag, summary: "Revoke Agent",
		about: "Ends its connections at once and for ever; to come back it must be enrolled anew.",
		needs: farm.Admin, limit: auth.WriteClass,
	}, s.revokeAgent)
	register(s, route{
		id: "delete_agent", method: http.MethodDelete, path: "/agents/{id}", tag: tag, summary: "Delete Agent",
		about: "Refused while it holds printers, unless it is revoked: then they wait for another agent.",
		needs: farm.Admin, limit: auth.WriteClass, errors: []farm.Code{farm.Conflict},
	}, s.deleteAgent)
}

func (s *server) listAgents(ctx context.Context, in *Page) (*listing[Agent], error) {
	agents, err := s.agents(ctx)
	if err != nil {
		return nil, err
	}
	return paged(agents, *in), nil
}

// agents gives all agents the caller may see.
func (s *server) agents(ctx context.Context) ([]Agent, error) {
	rows, err := s.registry.Agents(ctx)
	if err != nil {
		return nil, err
	}
	who := auth.From(ctx)
	rows = slices.DeleteFunc(rows, func(a farm.Agent) bool { return !s.seesAgent(who, a.ID, a.SiteID) })
	counts := s.printersByAgent(who)
	return mapped(rows, func(a farm.Agent) Agent { return s.agentOf(a, counts) }), nil
}

func (s *server) getAgent(ctx context.Context, in *ByID) (*body[Agent], error) {
	a, err := s.agent(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return s.agentAnswer(ctx, a), nil
}

type updateAgentInput struct {
	ByID
	Body AgentChange
}

func (s *server) updateAgent(ctx context.Context, in *updateAgentInput) (*body[Agent], error) {
	if err := s.mayChangeAgent(ctx, in.ID); err != nil {
		return nil, err
	}
	if err := s.seesTarget(ctx, in.Body.SiteID, nil); err != nil {
		return nil, err
	}
	a, err := s.registry.ChangeAgent(ctx, in.ID, registry.AgentChange{Name: in.Body.Name, SiteID: in.Body.SiteID})
	if err != nil {
		return nil, err
	}
	if in.Body.SiteID != nil { // its printers move with it, perhaps out of somebody's sight
		s.stopCameras(a.ID)
	}
	return s.agentAnswer(ctx, a), nil
}

// stopCameras ends the streams of all printers of an agent.
func (s *server) stopCameras(agentID int64) {
	for _, v := range s.fleet.Views() {
		if v.Printer.AgentID == agentID {
			s.cameras.Stop(v.Printer.ID)
		}
	}
}

func (s *server) revokeAgent(ctx context.Context, in *ByID) (*body[Agent], error) {
	if err := s.mayChangeAgent(ctx, in.ID); err != nil {
		return nil, err
	}
	if err := s.registry.RevokeAgent(ctx, in.ID); err != nil {
		return nil, err
	}
	a, err := s.agent(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return s.agentAnswer(ctx, a), nil
}

func (s *server) deleteAgent(ctx context.Context, in *ByID) (*body[Deleted], error) {
	if err := s.mayChangeAgent(ctx, in.ID); err != nil {
		return nil, err
	}
	if err := s.registry.RemoveAgent(ctx, in.ID); err != nil {
		return nil, err
	}
	return deleted(), nil
}

// agent gives an agent the caller may see.
func (s *server) agent(ctx context.Context, id int64) (farm.Agent, error) {
	a, err := s.registry.Agent(ctx, id)
	if farm.Is(err, farm.NotFound) || (err == nil && !s.seesAgent(auth.From(ctx), a.ID, a.SiteID)) {
		return farm.Agent{}, farm.Errorf(farm.NotFound, "there is no agent %d", id)
	}
	return a, err
}

func (s *server) mayChangeAgent(ctx context.Context, id int64) error {
	if _, err := s.agent(ctx, id); err != nil {
		return err
	}
	return runsFarm(ctx)
}

func (s *server) agentAnswer(ctx context.Context, a farm.Agent) *body[Agent] {
	return &body[Agent]{s.agentOf(a, s.printersByAgent(auth.From(ctx)))}
}

func (s *server) printersByAgent(who auth.Principal) map[int64]int {
	counts := map[int64]int{}
	for _, v := range s.fleet.Views() {
		if v.Printer.AgentID != 0 && who.Sees(v.Printer.ID, v.Printer.SiteID) {
			counts[v.Printer.AgentID]++
		}
	}
	return counts
}

func (s *server) agentOf(a farm.Agent, printers map[int64]int) Agent {
	link, _ := s.links.Status(a.ID)
	out := Agent{
		ID: a.ID, UID: a.UID, Name: a.Name, SiteID: a.SiteID, Version: orNull(a.Version), Platform: orNull(a.Platform),
		Connected: link.Connected, BulkConnected: link.BulkConnected, Duplicate: link.Duplicate, Revoked: a.Revoked,
		ConfigProblem: orNull(link.Config.Problem), Alarm: orNull(link.Hello.Alarm), PrinterCount: printers[a.ID], LastSeen: someTime(a.LastSeen), CreatedAt: instant{a.CreatedAt},
	}
	if link.Connected {
		out.ConnectedSince = someTime(link.Since)
		out.LastSeen = someTime(time.Now())
		out.RoundTrip = orNull(link.RTT.Milliseconds())
	}
	return out
}
