package app

import (
	"context"
	"net/http"

	"bambuddy/agent/internal/hublink"
	"bambuddy/shared/buildinfo"
	"bambuddy/shared/farm"
)

// EnrollOptions are what enrolling an agent needs.
type EnrollOptions struct {
	DataDir    string      // made if it is missing
	Token      farm.Secret // as it was pasted
	HubURL     string      // instead of the token's; "": the token's
	Name       string      // what the agent is to be called
	Force      bool        // replace an identity that is there already
	AllowPlain bool        // an http address of another machine
	Dial       DialFunc    // to the hub; nil: the operating system's
}

// Enrolled tells who an agent is now.
type Enrolled struct{ HubURL, Name, Site string }

// Enroll redeems an enrolment token and keeps the identity in the data
// directory. A running agent goes on as who it was until it is started anew.
// Its errors are sentences for the person who pasted the token.
func Enroll(ctx context.Context, o EnrollOptions) (Enrolled, error) {
	e := hublink.EnrolOptions{
		Dir: o.DataDir, HubURL: o.HubURL, Force: o.Force, Name: o.Name,
		Version: buildinfo.Version(), AllowPlain: o.AllowPlain, Dial: o.Dial,
	}
	if o.Dial == nil {
		e.Proxy = http.ProxyFromEnvironment
	}
	id, err := hublink.Enrol(ctx, e, o.Token.Reveal())
	return Enrolled{HubURL: id.HubURL, Name: id.Name, Site: id.Site}, err
}
