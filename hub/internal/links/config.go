package links

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"bambuddy/shared/backoff"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

const (
	configPatience = 60 * time.Second
	conflictRetry  = 5 * time.Minute
)

// ConfigStatus is how an agent stands with its config.
type ConfigStatus struct {
	Generation, Revision int64     // that the agent has confirmed in this session; 0: none
	At                   time.Time // of that
	// Problem is why the present config is not with the agent, "" when it is. With
	// Newer the agent holds a newer one than this hub: the hub was restored from a
	// backup, or copied.
	Problem string
	Newer   bool
	Kept    []wire.Presence     // printers the agent holds beyond its config
	Errors  []wire.PrinterError // printers it could not take
}

// pushConfigs pushes the agent's config once, and again whenever the store has
// another; first is closed after the first try. A push that fails is tried again.
func (s *session) pushConfigs(ctx context.Context, first chan<- struct{}) {
	var wait backoff.Backoff
	said := farm.Code("")
	for try := 1; ; try++ {
		err := s.pushConfig(ctx)
		if try == 1 {
			close(first)
		}
		var retry <-chan time.Time
		switch code := farm.CodeOf(err); {
		case ctx.Err() != nil:
			return
		case err == nil:
			wait.Reset()
			said = ""
		default:
			if code != said {
				said = code
				s.links.log.Warn("the agent does not have its config", "agent", s.agent.ID, "err", err)
			}
			pause := wait.Next()
			if code == farm.Conflict {
				pause = backoff.Spread(conflictRetry)
			}
			retry = time.After(pause)
		}
		select {
		case <-s.push:
		case <-retry:
		case <-ctx.Done():
			return
		}
	}
}

func (s *session) pushConfig(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, configPatience)
	defer cancel()
	c, err := s.links.o.Registry.AgentConfig(ctx, s.agent.ID)
	if err != nil {
		return fmt.Errorf("make the config of agent %d: %w", s.agent.ID, err)
	}
	s.mu.Lock()
	s.is.tried = c.Revision
	s.mu.Unlock()
	var result wire.ConfigResult
	err = s.control.Call(ctx, http.MethodPut, "/v1/config", c, &result)
	s.mu.Lock()
	if err != nil {
		s.is.config.Problem, s.is.config.Newer = err.Error(), farm.Is(err, farm.Conflict)
	} else {
		s.is.config = ConfigStatus{
			Generation: c.Generation, Revision: c.Revision, At: time.Now(), Kept: result.Kept, Errors: result.Errors,
		}
	}
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("push config %d.%d to agent %d: %w", c.Generation, c.Revision, s.agent.ID, err)
	}
	s.links.log.Info("config pushed", "agent", s.agent.ID, "revision", c.Revision,
		"printers", len(result.Applied), "kept", len(result.Kept), "errors", len(result.Errors))
	for _, e := range result.Errors {
		s.links.log.Warn("the agent cannot take a printer", "agent", s.agent.ID, "printer", e.Serial, "reason", clip(e.Detail, 200))
	}
	if err := s.links.o.Registry.ConfigAcked(ctx, s.agent.ID, c.Revision); err != nil {
		// The tombstones stay and go out again with the next config: no harm.
		s.links.log.Error("that an agent has its config was not kept", "agent", s.agent.ID, "err", err)
	}
	return nil
}

// wants asks for a push when the store's revision is not the one that was pushed
// or tried last.
func (s *session) wants(revision int64) {
	s.mu.Lock()
	tried := s.is.tried
	s.mu.Unlock()
	if tried == 0 || tried == revision { // 0: the first push is under way and reads the newest
		return
	}
	select {
	case s.push <- struct{}{}:
	default:
	}
}

// clip bounds a text of an agent's before it reaches the log or the database.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "…"
}
