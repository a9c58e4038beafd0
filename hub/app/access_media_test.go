package app

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"bambuddy/shared/farm"
)

// media are the routes a link opens.
var media = []string{"stream_camera", "stream_camera_video", "get_camera_snapshot", "get_archive_thumbnail", "get_archive_photo", "get_archive_timelapse"}

// A link opens the path it was made for, for its time, to whoever holds it, as the one
// who made it; nothing else opens by it, on no route.
func TestMediaLinksOfEveryPath(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		cookie, key := w.person("wanda", farm.Viewer, "Workshop"), w.scoped([]string{"read"}, nil, []int64{w.workshop.site})
		operations, opened := w.operations(), 0
		for who, header := range map[string][]string{"wanda": {"Cookie", cookie}, "a key": {"X-API-Key", key}} {
			var last string
			for _, op := range operations {
				at := func(p place) string {
					return strings.NewReplacer("{id}", itoa(p.of[deeds[op.id].kind]), "{n}", "1", "{delivery_id}", "1").Replace(op.path)
				}
				if !slices.Contains(media, op.id) {
					// Neither is a link made for it, nor does one for something else open it.
					asked := w.look(append([]string{"Content-Type", "application/json"}, header...), "POST", "/media-links", object("path", at(w.workshop)))
					asked.refused(farm.Invalid, "path: ")
					continue
				}
				opened++
				link := w.link(header, at(w.workshop))
				last = link
				w.look(nil, "GET", link, nil).want(200)
				w.look(nil, "HEAD", link, nil).want(200)
				w.look(nil, "GET", link+"&fps=5&format=annexb", nil).want(200)
				w.look(nil, "GET", w.link(header, at(w.attic)), nil).want(404)
				path, query, _ := strings.Cut(link, "?")
				w.look(nil, "GET", path+"/?"+query, nil).want(200)
				for what, bad := range map[string]string{
					"another place": at(w.attic) + "?" + query, "another printer": at(w.second) + "?" + query, "no query": path, "with a slash within": strings.Replace(path, "/", "//", 2) + "?" + query,
					"encoded": strings.Replace(path, "/1/", "/%31/", 1) + "x?" + query, "no signature": path + "?" + strings.Split(query, "&signature")[0], "signed twice": path + "?signature=x&" + query,
				} {
					if a := w.look(nil, "GET", bad, nil); a.status != 401 && a.status != 404 {
						t.Errorf("%s, %s, %s: %d", who, op.id, what, a.status)
					}
				}
				for _, name := range []string{"caller", "expires", "signature"} {
					q, err := url.ParseQuery(query)
					if err != nil {
						t.Fatal(err)
					}
					for _, value := range []string{"", "u1", "s1.1", "k1", "k1.00", "9999999999", "-1", "x", q.Get(name) + "0", strings.ToUpper(q.Get(name)) + "A"} {
						changed := url.Values{"caller": q["caller"], "expires": q["expires"], "signature": q["signature"]}
						changed.Set(name, value)
						w.look(nil, "GET", path+"?"+changed.Encode(), nil).want(401)
					}
				}
			}
			_, query, _ := strings.Cut(last, "?")
			for _, op := range operations {
				if op.needs == "" {
					continue
				}
				d := deeds[op.id]
				path := strings.NewReplacer("{id}", itoa(w.workshop.of[d.kind]), "{n}", "1", "{delivery_id}", "1").Replace(op.path)
				if a := w.look(nil, op.method, path+"?"+query, []byte("{}")); a.status != 401 && path != strings.Split(last, "?")[0] {
					t.Errorf("%s: %s %s by a link to %s: %d", who, op.method, path, last, a.status)
				}
			}
			// A key in a header goes before the link, also a wrong one.
			w.look([]string{"X-API-Key", "bb_wrong"}, "GET", last, nil).want(401)
			link := w.link(header, "/printers/1/camera/snapshot")
			<-time.After(5*time.Minute - time.Second)
			w.look(nil, "GET", link, nil).want(200)
			<-time.After(time.Second)
			w.look(nil, "GET", link, nil).refused(farm.Unauthorized, "expired")
		}
		if opened != 2*len(media) {
			t.Errorf("%d were opened", opened)
		}
	})
}
