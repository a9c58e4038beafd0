package farm

import (
	"slices"
	"time"
)

// Role is what a person may do on the hub.
type Role string

// The roles of the contract, each with all of the one before.
const (
	Viewer        Role = "viewer"   // looks
	Operator      Role = "operator" // runs prints
	Administrator Role = "admin"    // runs the hub
)

// Roles lists all of them in the order they are shown.
var Roles = []Role{Viewer, Operator, Administrator}

// Permissions are what a role carries; an unknown role carries nothing.
func (r Role) Permissions() []Permission {
	switch r {
	case Viewer:
		return []Permission{Read}
	case Operator:
		return []Permission{Read, Queue, Control}
	case Administrator:
		return slices.Clone(Permissions)
	}
	return nil
}

// User is a person who may sign in. The password is not part of it.
type User struct {
	ID        int64
	Username  string // unique, lower case
	Name      string // as others call them; may be empty
	Role      Role
	Sites     []int64 // allow-list; nil: all, empty: none
	Disabled  bool    // neither sessions nor keys work
	CreatedAt time.Time
	UpdatedAt time.Time
	SeenAt    time.Time // last sign-in; zero: never
}

// Narrow is an allow-list without what this person may not see.
func (u User) Narrow(sites []int64) []int64 {
	switch {
	case u.Sites == nil:
		return sites
	case sites == nil:
		return u.Sites
	}
	return slices.DeleteFunc(slices.Clone(sites), func(id int64) bool { return !slices.Contains(u.Sites, id) })
}

// Session is one sign-in of a person, without its token: only the hash is kept.
type Session struct {
	ID        int64
	UserID    int64
	Hash      [32]byte // SHA-256 of the token
	CreatedAt time.Time
	SeenAt    time.Time // last request; written in batches
	Address   string    // where the sign-in came from
	Agent     string    // what the browser calls itself
}
