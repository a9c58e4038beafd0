package api

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"unicode/utf8"

	"bambuddy/hub/internal/auth"
	"bambuddy/shared/farm"
)

// Projects group archives. They belong to the whole hub.
type Projects interface {
	Projects(ctx context.Context) ([]farm.Project, error)
	Project(ctx context.Context, id int64) (farm.Project, error)
	AddProject(ctx context.Context, p farm.Project) (farm.Project, error)
	ChangeProject(ctx context.Context, p farm.Project) (farm.Project, error)
	DeleteProject(ctx context.Context, id int64) error
}

// Project groups archives.
type Project struct {
	ID          int64   `json:"id"`
	Name        string  `json:"name" example:"Voron Build"`
	Description *string `json:"description" example:"Building a Voron 2.4" doc:"What it is about; null: nothing is said."`
	Color       *string `json:"color" example:"#4caf50" doc:"#rrggbb; null: none."`
	TargetCount *int64  `json:"target_count" doc:"How many prints it is to have." example:"100"`
	Status      string  `json:"status" enum:"active,completed,archived"`
	CreatedAt   instant `json:"created_at"`
	UpdatedAt   instant `json:"updated_at"`
}

// NewProject is the body of POST /projects.
type NewProject struct {
	Name        string `json:"name" minLength:"1" maxLength:"200" example:"Voron Build"`
	Description string `json:"description,omitempty" maxLength:"10000" example:"Building a Voron 2.4" doc:"What it is about."`
	Color       string `json:"color,omitempty" doc:"#rrggbb" example:"#4caf50"`
	TargetCount int64  `json:"target_count,omitempty" minimum:"0" maximum:"1000000000" example:"100" doc:"How many prints it is to have; 0: no target."`
}

// ProjectChange is the body of PATCH /projects/{id}: any subset.
type ProjectChange struct {
	Name        *string          `json:"name,omitempty" minLength:"1" maxLength:"200"`
	Description optional[string] `json:"description,omitempty" doc:"What it is about; null: nothing."`
	Color       optional[string] `json:"color,omitempty" doc:"#rrggbb; null: none."`
	TargetCount optional[int64]  `json:"target_count,omitempty" doc:"Null: none."`
	Status      *string          `json:"status,omitempty" enum:"active,completed,archived"`
}

func (s *server) projectRoutes() {
	if s.projects == nil {
		return
	}
	const tag = "Projects"
	register(s, route{
		id: "list_projects", method: http.MethodGet, path: "/projects", tag: tag, summary: "List Projects",
		about: "All projects, by id, unless `limit` is given.", needs: farm.Read, limit: auth.ReadClass, errors: []farm.Code{farm.Invalid},
	}, s.listProjects)
	register(s, route{
		id: "get_project", method: http.MethodGet, path: "/projects/{id}", tag: tag, summary: "Get Project", needs: farm.Read, limit: auth.ReadClass,
	}, func(ctx context.Context, in *ByID) (*body[Project], error) {
		return asProject(s.projects.Project(ctx, in.ID))
	})
	register(s, route{
		id: "create_project", method: http.MethodPost, path: "/projects", tag: tag, summary: "Create Project",
		needs: farm.Queue, limit: auth.WriteClass, created: true,
	}, s.createProject)
	register(s, route{
		id: "update_project", method: http.MethodPatch, path: "/projects/{id}", tag: tag, summary: "Update Project", needs: farm.Queue, limit: auth.WriteClass,
	}, s.updateProject)
	register(s, route{
		id: "delete_project", method: http.MethodDelete, path: "/projects/{id}", tag: tag, summary: "Delete Project",
		about: "Its archives stay.", needs: farm.Queue, limit: auth.WriteClass,
	}, func(ctx context.Context, in *ByID) (*body[Deleted], error) {
		if err := runsHub(ctx); err != nil {
			return nil, err
		}
		if err := s.projects.DeleteProject(ctx, in.ID); err != nil {
			return nil, err
		}
		return deleted(), nil
	})
}

type listProjectsInput struct {
	Page
	Status string `query:"status" enum:"active,completed,archived"`
}

func (s *server) listProjects(ctx context.Context, in *listProjectsInput) (*listing[Project], error) {
	all, err := s.projects.Projects(ctx)
	if err != nil {
		return nil, err
	}
	var wanted []Project
	for _, p := range all {
		if in.Status == "" || p.Status == in.Status {
			wanted = append(wanted, projectOf(p))
		}
	}
	return paged(wanted, in.Page), nil
}

type createProjectInput struct{ Body NewProject }

func (s *server) createProject(ctx context.Context, in *createProjectInput) (*body[Project], error) {
	if err := runsHub(ctx); err != nil {
		return nil, err
	}
	b := in.Body
	p := farm.Project{Name: b.Name, Description: b.Description, Color: b.Color, TargetCount: b.TargetCount, Status: "active"}
	if err := checkProject(&p); err != nil {
		return nil, err
	}
	return asProject(s.projects.AddProject(ctx, p))
}

type updateProjectInput struct {
	ByID
	Body ProjectChange
}

// runsHub refuses a caller who is limited to certain sites or printers: projects are
// everybody's.
func runsHub(ctx context.Context) error {
	if who := auth.From(ctx); !who.AllPrinters() || who.Sites() != nil {
		return farm.Errorf(farm.Forbidden, "this key is limited to certain sites or printers and cannot change projects, which belong to all")
	}
	return nil
}

func (s *server) updateProject(ctx context.Context, in *updateProjectInput) (*body[Project], error) {
	if err := runsHub(ctx); err != nil {
		return nil, err
	}
	p, err := s.projects.Project(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	b := in.Body
	if b.Name != nil {
		p.Name = *b.Name
	}
	if b.Description.Set {
		p.Description = b.Description.Value
	}
	if b.Color.Set {
		p.Color = b.Color.Value
	}
	if b.TargetCount.Set {
		p.TargetCount = b.TargetCount.Value
	}
	if b.Status != nil {
		p.Status = *b.Status
	}
	if err := checkProject(&p); err != nil {
		return nil, err
	}
	return asProject(s.projects.ChangeProject(ctx, p))
}

var colorForm = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

// checkProject brings a project into form and tells what is wrong with it.
func checkProject(p *farm.Project) error {
	p.Name, p.Color = strings.TrimSpace(p.Name), strings.ToLower(p.Color)
	switch {
	case p.Name == "" || utf8.RuneCountInString(p.Name) > 200:
		return farm.Errorf(farm.Invalid, "name: 1 to 200 characters")
	case utf8.RuneCountInString(p.Description) > 10_000:
		return farm.Errorf(farm.Invalid, "description: at most 10000 characters")
	case p.Color != "" && !colorForm.MatchString(p.Color):
		return farm.Errorf(farm.Invalid, "color: six hex digits, as #4caf50")
	case p.TargetCount < 0 || p.TargetCount > 1_000_000_000:
		return farm.Errorf(farm.Invalid, "target_count: 0 to 1000000000")
	}
	return nil
}

func asProject(p farm.Project, err error) (*body[Project], error) {
	if err != nil {
		return nil, err
	}
	return &body[Project]{projectOf(p)}, nil
}

func projectOf(p farm.Project) Project {
	return Project{
		ID: p.ID, Name: p.Name, Description: orNull(p.Description), Color: orNull(p.Color), TargetCount: orNull(p.TargetCount),
		Status: p.Status, CreatedAt: instant{p.CreatedAt}, UpdatedAt: instant{p.UpdatedAt},
	}
}
