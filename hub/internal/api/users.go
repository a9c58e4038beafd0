package api

import (
	"context"
	"net/http"
	"slices"

	"bambuddy/hub/internal/auth"
	"bambuddy/shared/farm"
)

// User is a person who may sign in.
type User struct {
	ID        int64             `json:"id" example:"1"`
	Username  string            `json:"username" doc:"What they sign in with." example:"anna"`
	Name      string            `json:"name" doc:"As others call them; may be empty." example:"Anna Berg"`
	Role      farm.Role         `json:"role" enum:"viewer,operator,admin" doc:"viewer: read; operator: read, queue, control; admin: everything." example:"operator"`
	SiteIDs   *[]int64          `json:"site_ids" doc:"Only these sites; null: all, empty: none."`
	Disabled  bool              `json:"disabled" doc:"Neither their sessions nor their keys work."`
	CreatedAt instant           `json:"created_at"`
	UpdatedAt instant           `json:"updated_at"`
	LastSeen  nullable[instant] `json:"last_seen" doc:"The last sign-in; null: never."`
}

// NewUser is the body of POST /users.
type NewUser struct {
	Username string            `json:"username" doc:"Unique, lower case." example:"bert"`
	Name     string            `json:"name,omitempty" doc:"As others call them." example:"Bert Klein"`
	Password farm.Secret       `json:"password" writeOnly:"true" doc:"At least 10 characters; they can change it." example:"correct horse battery"`
	Role     farm.Role         `json:"role" enum:"viewer,operator,admin" example:"operator"`
	SiteIDs  optional[[]int64] `json:"site_ids,omitempty" doc:"Only these sites; null or absent: all, empty: none."`
}

// UserChange is the body of PATCH /users/{id}: any subset.
type UserChange struct {
	Username *string           `json:"username,omitempty" example:"bert"`
	Name     *string           `json:"name,omitempty" example:"Bert Klein"`
	Role     *farm.Role        `json:"role,omitempty" enum:"viewer,operator,admin" example:"operator"`
	SiteIDs  optional[[]int64] `json:"site_ids,omitempty" doc:"Null: all, empty: none."`
	Disabled *bool             `json:"disabled,omitempty" doc:"True ends their sessions and keys at once."`
}

// NewPassword is the body of POST /users/{id}/password.
type NewPassword struct {
	Password farm.Secret `json:"password" writeOnly:"true" doc:"At least 10 characters." example:"correct horse battery"`
}

func (s *server) userRoutes() {
	const tag = "Users"
	register(s, route{
		id: "list_users", method: http.MethodGet, path: "/users", tag: tag, summary: "List Users",
		about: "The people who have nothing beyond what the caller has.", needs: farm.Admin, limit: auth.ReadClass, errors: []farm.Code{farm.Invalid},
	}, s.listUsers)
	register(s, route{
		id: "get_user", method: http.MethodGet, path: "/users/{id}", tag: tag, summary: "Get User",
		needs: farm.Admin, limit: auth.ReadClass,
	}, s.getUser)
	register(s, route{
		id: "create_user", method: http.MethodPost, path: "/users", tag: tag, summary: "Create User",
		about: "Makes a person who may sign in at once. Not with a key that expires.", needs: farm.Admin, limit: auth.WriteClass, created: true, errors: []farm.Code{farm.NotFound, farm.Conflict},
	}, granted(s, s.createUser))
	register(s, route{
		id: "update_user", method: http.MethodPatch, path: "/users/{id}", tag: tag, summary: "Update User",
		about: "Who is disabled is out at once, with every session, key and open stream. The last administrator of all sites stays one. Not with a key that expires.",
		needs: farm.Admin, limit: auth.WriteClass, errors: []farm.Code{farm.Conflict},
	}, granted(s, s.updateUser))
	register(s, route{
		id: "reset_password", method: http.MethodPost, path: "/users/{id}/password", tag: tag, summary: "Reset Password",
		about: "Gives a person another password and ends all their sessions. Not with a key that expires.", needs: farm.Admin, limit: auth.WriteClass,
	}, granted(s, s.resetPassword))
	register(s, route{
		id: "delete_user", method: http.MethodDelete, path: "/users/{id}", tag: tag, summary: "Delete User",
		about: "Their sessions and keys end at once. What they did stays in the audit.", needs: farm.Admin, limit: auth.WriteClass, errors: []farm.Code{farm.Conflict},
	}, granted(s, s.deleteUser))
}

func (s *server) listUsers(ctx context.Context, in *Page) (*listing[User], error) {
	all, err := s.auth.Users(ctx)
	if err != nil {
		return nil, err
	}
	who := auth.From(ctx)
	all = slices.DeleteFunc(all, func(u farm.User) bool { return !who.MayManage(u) })
	wanted := paged(all, *in)
	return &listing[User]{wanted.Total, mapped(wanted.Body, userOf)}, nil
}

func (s *server) getUser(ctx context.Context, in *ByID) (*body[User], error) {
	u, err := s.user(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &body[User]{userOf(u)}, nil
}

func (s *server) createUser(ctx context.Context, in *struct{ Body NewUser }) (*body[User], error) {
	b := in.Body
	n := auth.NewUser{Username: b.Username, Name: b.Name, Role: b.Role, Sites: b.SiteIDs.Value, Password: b.Password}
	if err := s.mayBecome(ctx, farm.User{Role: n.Role, Sites: n.Sites}, nil); err != nil {
		return nil, err
	}
	u, err := s.auth.CreateUser(ctx, n)
	if err != nil {
		return nil, err
	}
	return &body[User]{userOf(u)}, nil
}

type updateUserInput struct {
	ByID
	Body UserChange
}

func (s *server) updateUser(ctx context.Context, in *updateUserInput) (*body[User], error) {
	was, err := s.user(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	b := in.Body
	u, err := auth.UserChange{Username: b.Username, Name: b.Name, Role: b.Role, Sites: b.SiteIDs.ptr(), Disabled: b.Disabled}.To(was)
	if err != nil {
		return nil, err
	}
	if u.Disabled && !was.Disabled {
		if err := notSelf(ctx, u.ID, "disable"); err != nil {
			return nil, err
		}
	}
	if err := s.mayBecome(ctx, u, was.Sites); err != nil {
		return nil, err
	}
	if u, err = s.auth.SaveUser(ctx, u); err != nil {
		return nil, err
	}
	return &body[User]{userOf(u)}, nil
}

type resetPasswordInput struct {
	ByID
	Body NewPassword
}

func (s *server) resetPassword(ctx context.Context, in *resetPasswordInput) (*body[User], error) {
	u, err := s.user(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if err := lasting(ctx); err != nil { // it would sign in with it
		return nil, err
	}
	if err := s.auth.ResetPassword(ctx, u, in.Body.Password); err != nil {
		return nil, err
	}
	return &body[User]{userOf(u)}, nil
}

func (s *server) deleteUser(ctx context.Context, in *ByID) (*body[Deleted], error) {
	if _, err := s.user(ctx, in.ID); err != nil {
		return nil, err
	}
	if err := notSelf(ctx, in.ID, "delete"); err != nil {
		return nil, err
	}
	if err := s.auth.DeleteUser(ctx, in.ID); err != nil {
		return nil, err
	}
	return deleted(), nil
}

// notSelf keeps people from shutting themselves out by a slip.
func notSelf(ctx context.Context, id int64, what string) error {
	if u, _ := auth.From(ctx).User(); u.ID == id {
		return farm.Errorf(farm.Conflict, "you cannot %s yourself", what)
	}
	return nil
}

// user gives a person who has nothing beyond what the caller has.
func (s *server) user(ctx context.Context, id int64) (farm.User, error) {
	u, err := s.auth.User(ctx, id)
	if farm.Is(err, farm.NotFound) || (err == nil && !auth.From(ctx).MayManage(u)) {
		return farm.User{}, farm.Errorf(farm.NotFound, "there is no user %d", id)
	}
	return u, err
}

// mayBecome refuses to make somebody who has more than the caller, or who is limited
// to sites that nobody knows but for those they had.
func (s *server) mayBecome(ctx context.Context, u farm.User, had []int64) error {
	if err := lasting(ctx); err != nil {
		return err
	}
	if !auth.From(ctx).MayManage(u) {
		return farm.Errorf(farm.Forbidden, "role, site_ids: you cannot give more than you have")
	}
	for _, id := range u.Sites {
		if slices.Contains(had, id) {
			continue
		}
		if err := s.siteThere(ctx, id, "site_ids"); err != nil {
			return err
		}
	}
	return nil
}

func userOf(u farm.User) User {
	out := User{
		ID: u.ID, Username: u.Username, Name: u.Name, Role: u.Role, Disabled: u.Disabled,
		CreatedAt: instant{u.CreatedAt}, UpdatedAt: instant{u.UpdatedAt}, LastSeen: someTime(u.SeenAt),
	}
	if u.Sites != nil {
		out.SiteIDs = &u.Sites
	}
	return out
}
