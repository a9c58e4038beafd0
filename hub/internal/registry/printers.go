package registry

import (
	"cmp"
	"context"
	"slices"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// NewPrinter is a printer to be registered. Ports of 0 are the defaults.
type NewPrinter struct {
	Name, Serial, Address          string
	AccessCode                     farm.Secret
	SiteID, AgentID                *int64 // nil: chosen
	Model                          string // code, marketing name or product id; "": unknown
	Location                       string
	Tags                           []string
	MQTTPort, FTPSPort, CameraPort int
}

// PrinterChange is what may change of a printer; nil is unchanged. An AgentID
// of 0 takes the printer from its agent.
type PrinterChange struct {
	Name, Address                  *string
	AccessCode                     *farm.Secret
	SiteID, AgentID                *int64
	Model, Location                *string
	Tags                           *[]string
	MQTTPort, FTPSPort, CameraPort *int
	// Force moves a printer away from an agent that is out of contact.
	Force bool
}

// Printers gives all printers by id.
func (r *Registry) Printers(ctx context.Context) ([]farm.Printer, error) {
	return r.store.Printers(ctx)
}

// AddPrinter registers a printer, which may be off or out of reach just now.
func (r *Registry) AddPrinter(ctx context.Context, n NewPrinter) (farm.Printer, error) {
	p := farm.Printer{
		Name: n.Name, Serial: n.Serial, Address: n.Address, ModelGiven: n.Model, Location: n.Location, Tags: n.Tags,
		MQTTPort: or(n.MQTTPort, farm.DefaultMQTTPort), FTPSPort: or(n.FTPSPort, farm.DefaultFTPSPort), CameraPort: n.CameraPort,
	}
	if err := checkPrinter(&p); err != nil {
		return p, err
	}
	if err := checkCode(n.AccessCode); err != nil {
		return p, err
	}
	var seenBy []int64
	if n.SiteID == nil && n.AgentID == nil && r.seen != nil {
		seenBy = r.seen(ctx, p.Serial, p.Address)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.place(ctx, &p, n.SiteID, n.AgentID, seenBy...); err != nil {
		return p, err
	}
	p, err := r.store.CreatePrinter(ctx, p, r.sealer.Seal(codePlace(p.Serial), n.AccessCode))
	if err != nil {
		return p, err
	}
	r.live.Put(p)
	return p, nil
}

// CheckPrinter brings what tells a printer apart into form, as AddPrinter does, and
// says what is wrong with it. It needs no name and no code, and saves nothing.
func (r *Registry) CheckPrinter(p farm.Printer, code *farm.Secret) (farm.Printer, error) {
	p.Name = cmp.Or(p.Name, "printer")
	p.MQTTPort, p.FTPSPort = or(p.MQTTPort, farm.DefaultMQTTPort), or(p.FTPSPort, farm.DefaultFTPSPort)
	if err := checkPrinter(&p); err != nil {
		return p, err
	}
	if code == nil {
		return p, nil
	}
	return p, checkCode(*code)
}

// ChangePrinter changes a printer. Another address or code makes its agent
// connect anew, another agent raises the fence.
func (r *Registry) ChangePrinter(ctx context.Context, id int64, c PrinterChange) (farm.Printer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, err := r.store.Printer(ctx, id)
	if err != nil {
		return p, err
	}
	from := p.AgentID
	c.lay(&p)
	if err := checkPrinter(&p); err != nil {
		return p, err
	}
	if err := r.move(ctx, &p, c); err != nil {
		return p, err
	}
	if err := r.mayLeave(ctx, p, from, c.Force); err != nil {
		return p, err
	}
	var sealed []byte
	if c.AccessCode != nil {
		if err := checkCode(*c.AccessCode); err != nil {
			return p, err
		}
		sealed = r.sealer.Seal(codePlace(p.Serial), *c.AccessCode)
	}
	if p, err = r.store.UpdatePrinter(ctx, p, sealed); err != nil {
		return p, err
	}
	r.live.Put(p)
	return p, nil
}

// mayLeave guards against two agents at one printer: one that is out of contact
// cannot be told to let go, and may go on commanding the printer.
func (r *Registry) mayLeave(ctx context.Context, p farm.Printer, from int64, force bool) error {
	if from == 0 || from == p.AgentID || r.live.AgentConnected(from) {
		return nil
	}
	if a, err := r.store.Agent(ctx, from); err != nil || a.Revoked {
		return err
	}
	if !force {
		return farm.Errorf(farm.Conflict, "agent %d, which holds printer %q, is out of contact and may still command it: switch that agent off, then repeat with force=true", from, p.Name)
	}
	r.log.Warn("printer moved away from an agent that is out of contact", "printer", p.ID, "from", from, "to", p.AgentID)
	return nil
}

// lay puts the plain fields of a change over a printer.
func (c PrinterChange) lay(p *farm.Printer) {
	set(&p.Name, c.Name)
	set(&p.Address, c.Address)
	set(&p.ModelGiven, c.Model)
	set(&p.Location, c.Location)
	set(&p.Tags, c.Tags)
	set(&p.MQTTPort, c.MQTTPort)
	set(&p.FTPSPort, c.FTPSPort)
	set(&p.CameraPort, c.CameraPort)
	p.MQTTPort, p.FTPSPort = or(p.MQTTPort, farm.DefaultMQTTPort), or(p.FTPSPort, farm.DefaultFTPSPort)
}

func set[T any](field *T, change *T) {
	if change != nil {
		*field = *change
	}
}

func or(v, def int) int {
	if v == 0 {
		return def
	}
	return v
}

// move finds the site and the agent a change leads to.
func (r *Registry) move(ctx context.Context, p *farm.Printer, c PrinterChange) error {
	switch {
	case c.AgentID != nil && *c.AgentID == 0:
		p.AgentID = 0
		if c.SiteID == nil {
			return nil
		}
		p.SiteID = *c.SiteID
		return r.siteThere(ctx, p.SiteID)
	case c.AgentID != nil:
		return r.place(ctx, p, c.SiteID, c.AgentID)
	case c.SiteID != nil && *c.SiteID != p.SiteID: // to another site means to another agent
		had := p.AgentID
		if err := r.place(ctx, p, c.SiteID, nil); err != nil {
			return err
		}
		if had != 0 && p.AgentID == 0 { // nobody loses an agent without saying so
			return farm.Errorf(farm.Conflict, "site_id: site %d has no agent that could hold the printer; to leave it without one, send agent_id null as well", p.SiteID)
		}
	}
	return nil
}

// RemovePrinter forgets a printer; CONFLICT while it prints, unless forced.
func (r *Registry) RemovePrinter(ctx context.Context, id int64, force bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !force && r.live.InPrint(id) {
		return farm.Errorf(farm.Conflict, "printer %d is printing: wait, or delete it with force=true (the print itself goes on)", id)
	}
	if err := r.store.DeletePrinter(ctx, id); err != nil {
		return err
	}
	r.live.Remove(id)
	return nil
}

// place decides which agent of which site holds a printer: the one named; else
// the only one there is; else the only one that has seen it; else the only one of
// the site (the default site when none is named). A hub or a named site without agents takes a printer too: the
// first agent to be enrolled there adopts it.
func (r *Registry) place(ctx context.Context, p *farm.Printer, siteID, agentID *int64, seenBy ...int64) error {
	agents, err := r.store.Agents(ctx)
	if err != nil {
		return err
	}
	agents = slices.DeleteFunc(agents, func(a farm.Agent) bool { return a.Revoked })
	if agentID != nil {
		i := slices.IndexFunc(agents, func(a farm.Agent) bool { return a.ID == *agentID })
		if i < 0 {
			return farm.Errorf(farm.NotFound, "agent_id: there is no agent %d, or it is revoked", *agentID)
		}
		if siteID != nil && *siteID != agents[i].SiteID {
			return farm.Errorf(farm.Invalid, "site_id: agent %d is at site %d, not at %d", *agentID, agents[i].SiteID, *siteID)
		}
		p.AgentID, p.SiteID = agents[i].ID, agents[i].SiteID
		return nil
	}
	p.AgentID, p.SiteID = 0, farm.DefaultSiteID
	if siteID != nil {
		if err := r.siteThere(ctx, *siteID); err != nil {
			return err
		}
		p.SiteID = *siteID
	}
	likely := agents
	if len(agents) > 1 {
		likely = slices.DeleteFunc(slices.Clone(agents), func(a farm.Agent) bool { return !slices.Contains(seenBy, a.ID) })
	}
	if siteID == nil && len(likely) == 1 {
		p.AgentID, p.SiteID = likely[0].ID, likely[0].SiteID
		return nil
	}
	here := slices.DeleteFunc(slices.Clone(agents), func(a farm.Agent) bool { return a.SiteID != p.SiteID })
	switch {
	case len(here) == 1:
		p.AgentID = here[0].ID
	case len(here) > 1:
		return farm.Errorf(farm.Invalid, "agent_id: site %d has %d agents, say which one holds the printer", p.SiteID, len(here))
	case len(agents) > 0 && siteID == nil:
		return farm.Errorf(farm.Invalid, "agent_id: there are %d agents and none at the default site, say which one holds the printer", len(agents))
	}
	return nil // nobody there yet: the first agent to be enrolled adopts it
}

func (r *Registry) siteThere(ctx context.Context, id int64) error {
	_, err := r.store.Site(ctx, id)
	if farm.Is(err, farm.NotFound) {
		return farm.Errorf(farm.NotFound, "site_id: there is no site %d", id)
	}
	return err
}

func codePlace(serial string) string { return "printer_secrets/access_code/" + serial }

// AgentConfig makes the config to push to an agent. A printer whose code does
// not open is left out with a log line: an agent keeps what a config is silent
// about, and every other printer goes on.
func (r *Registry) AgentConfig(ctx context.Context, agentID int64) (wire.Config, error) {
	rows, err := r.store.AgentConfig(ctx, agentID)
	if err != nil {
		return wire.Config{}, err
	}
	hub, generation := r.store.Hub()
	c := wire.Config{
		HubID: hub, Generation: generation, Revision: rows.Agent.Revision, SiteName: rows.SiteName,
		Printers: []wire.PrinterConfig{}, Tombstones: rows.Tombstones,
	}
	for _, p := range rows.Printers {
		code, err := r.sealer.Open(codePlace(p.Serial), rows.Codes[p.ID])
		if err != nil {
			r.log.Error("access code of a printer cannot be opened, its agent is not told of it", "printer", p.ID, "err", err)
			continue
		}
		c.Printers = append(c.Printers, wire.PrinterConfig{
			Serial: p.Serial, Name: p.Name, Model: model(p), Address: p.Address,
			MQTTPort: p.MQTTPort, FTPSPort: p.FTPSPort, CameraPort: p.CameraPort, AccessCode: code, Fence: p.Fence,
		})
	}
	return c, nil
}

// model is the best word for a printer's model: reported, else given, else what
// its serial says.
func model(p farm.Printer) string {
	switch {
	case p.ModelSeen != "":
		return p.ModelSeen
	case p.ModelGiven != "":
		return p.ModelGiven
	}
	m, _ := bambu.ModelOfSerial(p.Serial)
	return m.Code
}

// ConfigAcked notes that an agent has applied a revision.
func (r *Registry) ConfigAcked(ctx context.Context, agentID, revision int64) error {
	return r.store.AckConfig(ctx, agentID, revision)
}
