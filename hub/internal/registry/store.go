package registry

import (
	"context"

	"bambuddy/shared/farm"
)

// Store keeps the rows.
type Store interface {
	Hub() (id string, generation int64)

	Sites(ctx context.Context) ([]farm.Site, error)
	Site(ctx context.Context, id int64) (farm.Site, error)
	CreateSite(ctx context.Context, name string) (farm.Site, error)
	RenameSite(ctx context.Context, id int64, name string) (farm.Site, error)
	DeleteSite(ctx context.Context, id int64) error

	Agents(ctx context.Context) ([]farm.Agent, error)
	Agent(ctx context.Context, id int64) (farm.Agent, error)
	UpdateAgent(ctx context.Context, a farm.Agent) (farm.Agent, error)
	RevokeAgent(ctx context.Context, id int64) (farm.Agent, error)
	DeleteAgent(ctx context.Context, id int64) error
	AgentConfig(ctx context.Context, agentID int64) (farm.AgentConfig, error)
	AckConfig(ctx context.Context, agentID, revision int64) error

	CreateEnrolment(ctx context.Context, e farm.Enrolment) (farm.Enrolment, error)
	RedeemEnrolment(ctx context.Context, secretHash [32]byte, a farm.Agent) (farm.Agent, error)
	Enrolments(ctx context.Context) ([]farm.Enrolment, error)
	DeleteEnrolment(ctx context.Context, id int64) error

	Printers(ctx context.Context) ([]farm.Printer, error)
	Printer(ctx context.Context, id int64) (farm.Printer, error)
	CreatePrinter(ctx context.Context, p farm.Printer, sealedCode []byte) (farm.Printer, error)
	UpdatePrinter(ctx context.Context, p farm.Printer, sealedCode []byte) (farm.Printer, error)
	DeletePrinter(ctx context.Context, id int64) error
}
