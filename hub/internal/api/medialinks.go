package api

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"bambuddy/hub/internal/auth"
	"bambuddy/shared/farm"
)

// NewMediaLink is the body of POST /media-links.
type NewMediaLink struct {
	Path    string `json:"path" doc:"What to show: a camera, or a picture or film of an archive. With or without /api/v1." example:"/printers/1/camera/stream"`
	Seconds int    `json:"seconds,omitempty" minimum:"1" maximum:"600" default:"300" doc:"How long the link may be opened."`
}

// MediaLink is a link that needs no key.
type MediaLink struct {
	URL       string  `json:"url" doc:"For an <img> or <video>, relative to the hub. Further parameters, as fps, may be added." example:"/api/v1/printers/1/camera/stream?caller=s1.1&expires=1705329000&signature=…"`
	ExpiresAt instant `json:"expires_at" doc:"It opens until then; what is open stays so."`
}

func (s *server) mediaLinkRoutes() {
	register(s, route{
		id: "create_media_link", method: http.MethodPost, path: "/media-links", tag: "Sign-in", summary: "Create Media Link",
		about: "Makes a short-lived link for what cannot send a key in a header. It opens one path, as the caller, who must still see it, and ends with their session or key. " +
			"Links do not outlive a restart of the hub.",
		needs: farm.Read, limit: auth.WriteClass, created: true,
	}, s.createMediaLink)
}

func (s *server) createMediaLink(ctx context.Context, in *struct{ Body NewMediaLink }) (*body[MediaLink], error) {
	path := strings.TrimSuffix(strings.TrimPrefix(in.Body.Path, base), "/")
	if !slices.ContainsFunc(s.media, func(one *regexp.Regexp) bool { return one.MatchString(path) }) {
		return nil, farm.Errorf(farm.Invalid, "path: is no camera, picture or film")
	}
	until := time.Now().Add(time.Duration(in.Body.Seconds) * time.Second).Truncate(time.Second)
	return &body[MediaLink]{MediaLink{s.auth.MediaLink(auth.From(ctx), base+path, until), instant{until}}}, nil
}

// mediaPath matches the paths of a route.
func mediaPath(path string) *regexp.Regexp {
	return regexp.MustCompile("^" + strings.NewReplacer("{id}", "[1-9][0-9]{0,17}", "{n}", "[1-9][0-9]{0,17}").Replace(path) + "$")
}
