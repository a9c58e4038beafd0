package api

import (
	"context"
	"net/http"
	"time"

	"bambuddy/hub/internal/auth"
	"bambuddy/shared/farm"
)

// Me is who calls, and what they may do.
type Me struct {
	User        nullable[User]    `json:"user" doc:"The person who is signed in, or to whom the key belongs; null: the key is the hub's own."`
	Key         nullable[Key]     `json:"key" doc:"The key the request carries, with what its owner has left of it; null: a session."`
	Permissions []farm.Permission `json:"permissions" enum:"read,queue,control,admin" doc:"What the caller may do."`
	PrinterIDs  *[]int64          `json:"printer_ids" doc:"Only these printers; null: all, empty: none." nullable:"true"`
	SiteIDs     *[]int64          `json:"site_ids" doc:"Only these sites; null: all, empty: none." nullable:"true"`
	ExpiresAt   nullable[instant] `json:"expires_at" doc:"When the session or key ends at the latest; null: never."`
}

// Session is one sign-in of the caller.
type Session struct {
	ID        int64   `json:"id" example:"1"`
	Current   bool    `json:"current" doc:"The one of this request."`
	Address   string  `json:"address" doc:"Where the sign-in came from." example:"192.168.1.10"`
	Agent     string  `json:"agent" doc:"What the browser calls itself." example:"Mozilla/5.0"`
	CreatedAt instant `json:"created_at"`
	LastSeen  instant `json:"last_seen" doc:"Some seconds late."`
}

// Credentials are the body of POST /auth/login.
type Credentials struct {
	Username string      `json:"username" example:"anna"`
	Password farm.Secret `json:"password" writeOnly:"true" example:"correct horse battery"`
}

// Setup is the body of POST /auth/setup.
type Setup struct {
	Token    farm.Secret `json:"token" writeOnly:"true" doc:"What the setup link in the hub's log holds behind the #."`
	Username string      `json:"username" doc:"Lower case." example:"anna"`
	Name     string      `json:"name,omitempty" doc:"As others call them." example:"Anna Berg"`
	Password farm.Secret `json:"password" writeOnly:"true" doc:"At least 10 characters." example:"correct horse battery"`
}

// PasswordChange is the body of POST /auth/password.
type PasswordChange struct {
	Current farm.Secret `json:"current_password" writeOnly:"true" example:"correct horse battery"`
	New     farm.Secret `json:"new_password" writeOnly:"true" doc:"At least 10 characters." example:"staple wrong donkey"`
}

// SetupState tells whether the hub waits for its first person.
type SetupState struct {
	Needed bool `json:"needed" doc:"Nobody can sign in yet: open the setup link of the hub's log."`
}

// SignedOut is the answer of POST /auth/logout.
type SignedOut struct {
	Status string `json:"status" enum:"signed_out"`
}

// signedIn is an answer that begins or ends a session.
type signedIn[T any] struct {
	Cookie string `header:"Set-Cookie" doc:"The session: HttpOnly, SameSite=Lax, over TLS Secure."`
	Body   T
}

func (s *server) signInRoutes() {
	const tag = "Sign-in"
	register(s, route{
		id: "get_setup", method: http.MethodGet, path: "/auth/setup", tag: tag, summary: "Get Setup State",
		about: "Whether the hub waits for its first person.", public: true, limit: auth.ReadClass,
	}, s.getSetup)
	register(s, route{
		id: "set_up", method: http.MethodPost, path: "/auth/setup", tag: tag, summary: "Set Up",
		about:  "Makes the first person, an administrator, and signs them in. The token is that of the link in the hub's log; it works once.",
		public: true, audit: true, limit: auth.WriteClass, created: true, errors: []farm.Code{farm.Forbidden, farm.Conflict},
	}, s.setUp)
	register(s, route{
		id: "sign_in", method: http.MethodPost, path: "/auth/login", tag: tag, summary: "Sign In",
		about:  "Begins a session, which the cookie of the answer holds. After 10 failures within 15 minutes, of an account or from an address, further tries are 429.",
		public: true, audit: true, limit: auth.WriteClass, errors: []farm.Code{farm.Unauthorized, farm.Forbidden, farm.Unavailable},
	}, s.signIn)
	register(s, route{
		id: "sign_out", method: http.MethodPost, path: "/auth/logout", tag: tag, summary: "Sign Out",
		about: "Ends the session of the request.", needs: farm.Read, limit: auth.WriteClass, errors: []farm.Code{farm.Invalid},
	}, s.signOut)
	register(s, route{
		id: "get_me", method: http.MethodGet, path: "/auth/me", tag: tag, summary: "Get Caller",
		about: "Who calls, and what they may do.", needs: farm.Read, limit: auth.ReadClass,
	}, s.getMe)
	register(s, route{
		id: "change_password", method: http.MethodPost, path: "/auth/password", tag: tag, summary: "Change Password",
		about: "Changes the password of the person who is signed in, and ends their other sessions.", needs: farm.Read, limit: auth.WriteClass, errors: []farm.Code{farm.Conflict},
	}, s.changePassword)
	register(s, route{
		id: "list_sessions", method: http.MethodGet, path: "/auth/sessions", tag: tag, summary: "List Sessions",
		about: "Where the caller is signed in, the newest first.", needs: farm.Read, limit: auth.ReadClass, errors: []farm.Code{farm.Invalid},
	}, s.listSessions)
	register(s, route{
		id: "end_session", method: http.MethodDelete, path: "/auth/sessions/{id}", tag: tag, summary: "End Session",
		about: "Signs the caller out somewhere.", needs: farm.Read, limit: auth.WriteClass, errors: []farm.Code{farm.Invalid},
	}, s.endSession)
}

func (s *server) getSetup(ctx context.Context, _ *struct{}) (*body[SetupState], error) {
	needed, err := s.auth.NeedsSetup(ctx)
	if err != nil {
		return nil, err
	}
	return &body[SetupState]{SetupState{needed}}, nil
}

func (s *server) setUp(ctx context.Context, in *struct{ Body Setup }) (*signedIn[Me], error) {
	b := in.Body
	noteAccount(ctx, b.Username)
	token, who, err := s.auth.SetUp(ctx, b.Token, auth.NewUser{Username: b.Username, Name: b.Name, Password: b.Password}, note(ctx).origin)
	if err != nil {
		return nil, err
	}
	noteCaller(ctx, who)
	return &signedIn[Me]{cookie(ctx, token, who.Until()), meOf(who)}, nil
}

func (s *server) signIn(ctx context.Context, in *struct{ Body Credentials }) (*signedIn[Me], error) {
	noteAccount(ctx, in.Body.Username)
	token, who, err := s.auth.SignIn(ctx, in.Body.Username, in.Body.Password, note(ctx).origin)
	if err != nil {
		return nil, err
	}
	noteCaller(ctx, who)
	return &signedIn[Me]{cookie(ctx, token, who.Until()), meOf(who)}, nil
}

func (s *server) signOut(ctx context.Context, _ *struct{}) (*signedIn[SignedOut], error) {
	who, err := signedInPerson(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.auth.SignOut(ctx, who); err != nil && !farm.Is(err, farm.NotFound) { // ended a moment ago is ended
		return nil, err
	}
	return &signedIn[SignedOut]{cookie(ctx, "", time.Time{}), SignedOut{"signed_out"}}, nil
}

func (s *server) getMe(ctx context.Context, _ *struct{}) (*body[Me], error) {
	return &body[Me]{meOf(auth.From(ctx))}, nil
}

func (s *server) changePassword(ctx context.Context, in *struct{ Body PasswordChange }) (*body[Me], error) {
	who, err := signedInPerson(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.auth.ChangePassword(ctx, who, in.Body.Current, in.Body.New); err != nil {
		return nil, err
	}
	return &body[Me]{meOf(who)}, nil
}

func (s *server) listSessions(ctx context.Context, in *Page) (*listing[Session], error) {
	who, err := signedInPerson(ctx)
	if err != nil {
		return nil, err
	}
	all, err := s.auth.Sessions(ctx, who)
	if err != nil {
		return nil, err
	}
	wanted := paged(all, *in)
	return &listing[Session]{wanted.Total, mapped(wanted.Body, func(one farm.Session) Session {
		return Session{
			ID: one.ID, Current: one.ID == who.SessionID(), Address: one.Address, Agent: one.Agent,
			CreatedAt: instant{one.CreatedAt}, LastSeen: instant{one.SeenAt},
		}
	})}, nil
}

func (s *server) endSession(ctx context.Context, in *ByID) (*body[Deleted], error) {
	who, err := signedInPerson(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.auth.EndSession(ctx, who, in.ID); err != nil {
		return nil, err
	}
	return deleted(), nil
}

// signedInPerson refuses programs: a key must not change how its owner signs in.
func signedInPerson(ctx context.Context) (auth.Principal, error) {
	who := auth.From(ctx)
	if who.SessionID() == 0 {
		return who, farm.Errorf(farm.Invalid, "this is for people who have signed in; the request carries a key")
	}
	return who, nil
}

// cookie holds a session's token until the session ends at the latest; an empty token
// takes it away.
func cookie(ctx context.Context, token farm.Secret, until time.Time) string {
	c := http.Cookie{
		Name: auth.SessionCookie, Value: token.Reveal(), Path: "/", Expires: until,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: note(ctx).secure,
	}
	if token == "" {
		c.MaxAge = -1
	}
	return c.String()
}

func meOf(who auth.Principal) Me {
	k, isKey := who.Key()
	out := Me{Permissions: list(k.Permissions), ExpiresAt: someTime(who.Until())}
	if isKey {
		out.Key = some(keyOf(k))
	}
	if u, is := who.User(); is {
		out.User = some(userOf(u))
	}
	if k.Printers != nil {
		out.PrinterIDs = &k.Printers
	}
	if k.Sites != nil {
		out.SiteIDs = &k.Sites
	}
	return out
}
