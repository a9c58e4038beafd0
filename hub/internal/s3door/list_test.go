package s3door

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"bambuddy/shared/farm"
)

// A page is what a plain reading of S3's rules over all files gives, whatever is
// asked for and however the pages are cut.
func TestListsAreWhatS3sRulesSay(t *testing.T) {
	r := newRig(t)
	random := rand.New(rand.NewPCG(1, 2))
	parts := []string{"a", "b", "ab", "a-b", "é", "\uD7FF", "\U0010FFFF", "0", "zz"}
	for range 600 {
		var path []string
		for range 1 + random.IntN(4) {
			path = append(path, parts[random.IntN(len(parts))])
		}
		p := strings.Join(path, "/")
		if _, err := r.FileAt(t.Context(), 1, p); err != nil {
			r.put(1, p, "x")
			r.put(2, p+"-of-another", "x")
		}
	}
	for _, prefix := range []string{"", "a", "a/", "a/b", "a/b/", "\U0010FFFF", "\uD7FF", "none", "zz/"} {
		for _, delimiter := range []string{"", "/", "b", "/a", "\U0010FFFF", "\uD7FF"} {
			want := plain(r.files, prefix, delimiter)
			for _, size := range []int{1, 3, 7, 1000} {
				for _, version := range []int{1, 2} {
					got := r.pages(version, prefix, delimiter, size)
					if !slices.Equal(got, want) {
						t.Fatalf("version %d, prefix %q, delimiter %q, pages of %d: %d entries, want %d\n%q\n%q",
							version, prefix, delimiter, size, len(got), len(want), got, want)
					}
				}
			}
		}
	}
}

// plain lists by S3's rules, all files of the first site at once.
func plain(files []farm.PrintFile, prefix, delimiter string) (out []string) {
	for _, f := range files {
		entry := f.Path
		if f.SiteID != 1 || !strings.HasPrefix(entry, prefix) {
			continue
		}
		if i := strings.Index(entry[len(prefix):], delimiter); delimiter != "" && i >= 0 {
			entry = entry[:len(prefix)+i+len(delimiter)] + "*"
		}
		if len(out) == 0 || out[len(out)-1] != entry {
			out = append(out, entry)
		}
	}
	return out
}

// page is a list's answer as a client reads it.
type page struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	Name, Prefix          string
	Delimiter, Marker     string
	NextMarker            string
	NextContinuationToken string
	KeyCount, MaxKeys     int
	IsTruncated           bool
	Contents              []struct {
		Key, ETag, LastModified string
		Size                    int64
		Owner                   *struct{ ID string }
	}
	CommonPrefixes []struct{ Prefix string }
}

func (r *rig) page(query url.Values) page {
	r.t.Helper()
	w := r.get("/workshop?" + query.Encode())
	var p page
	if err := xml.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != http.StatusOK {
		r.t.Fatalf("%v: %d %s (%v)", query, w.Code, w.Body, err)
	}
	return p
}

// pages walks through all pages; common prefixes have a star behind.
func (r *rig) pages(version int, prefix, delimiter string, size int) (out []string) {
	r.t.Helper()
	query := url.Values{"prefix": {prefix}, "delimiter": {delimiter}, "max-keys": {fmt.Sprint(size)}}
	if version == 2 {
		query.Set("list-type", "2")
	}
	for {
		p := r.page(query)
		var entries []string
		for _, o := range p.Contents {
			entries = append(entries, o.Key)
		}
		for _, c := range p.CommonPrefixes {
			entries = append(entries, c.Prefix+"*")
		}
		slices.Sort(entries)
		if len(entries) > size || version == 2 && p.KeyCount != len(entries) || p.IsTruncated && len(entries) != size {
			r.t.Fatalf("%v: a page of %d entries, %d said, truncated %v", query, len(entries), p.KeyCount, p.IsTruncated)
		}
		out = append(out, entries...)
		switch {
		case p.IsTruncated != (p.NextMarker+p.NextContinuationToken != ""):
			r.t.Fatalf("%v: truncated %v, next %q %q", query, p.IsTruncated, p.NextMarker, p.NextContinuationToken)
		case !p.IsTruncated:
			return out
		case version == 2:
			query.Set("continuation-token", p.NextContinuationToken)
		default:
			query.Set("marker", p.NextMarker)
		}
	}
}

// The page of a folder does not read what lies in its folders.
func TestAFolderIsListedByJumping(t *testing.T) {
	r := newRig(t)
	for i := range 20_000 {
		path := fmt.Sprintf("printer-%d/2024/%02d/%05d/model.3mf", i%10, i/10%12+1, i)
		r.files = append(r.files, farm.PrintFile{SiteID: 1, Path: path, Size: 1, StoredAt: stored})
	}
	slices.SortFunc(r.files, func(a, b farm.PrintFile) int { return strings.Compare(a.Path, b.Path) })
	p := r.page(url.Values{"delimiter": {"/"}})
	if len(p.CommonPrefixes) != 10 || p.IsTruncated || r.rows > 10*listBatch {
		t.Errorf("%d folders by %d rows of 20,000", len(p.CommonPrefixes), r.rows)
	}
	r.rows = 0
	if p = r.page(url.Values{"delimiter": {"/"}, "prefix": {"printer-3/2024/"}}); len(p.CommonPrefixes) != 12 || r.rows > 12*listBatch {
		t.Errorf("%d months by %d rows", len(p.CommonPrefixes), r.rows)
	}
}

func TestListsAreAnsweredInS3sForm(t *testing.T) {
	r := newRig(t)
	f := r.put(1, "a b/ü&+.txt", "content")
	r.put(1, "c", "")
	p := r.page(url.Values{"encoding-type": {"url"}, "fetch-owner": {"true"}, "list-type": {"2"}})
	o := p.Contents[0]
	if o.Key != "a%20b/%C3%BC%26%2B.txt" || o.ETag != `"`+f.SHA256+`-1"` || o.Size != 7 || o.LastModified != "1999-12-01T14:30:00.000Z" || o.Owner == nil {
		t.Errorf("%+v", o)
	}
	if p = r.page(url.Values{"list-type": {"2"}, "start-after": {"b"}}); len(p.Contents) != 1 || p.Contents[0].Key != "c" || p.Contents[0].Owner != nil {
		t.Errorf("%+v", p)
	}
	if p = r.page(url.Values{"marker": {"b"}, "max-keys": {"0"}}); len(p.Contents) != 0 || p.IsTruncated || p.MaxKeys != 0 {
		t.Errorf("%+v", p)
	}
	if p = r.page(url.Values{"max-keys": {"5000"}}); p.MaxKeys != 1000 || p.Contents[0].Owner == nil {
		t.Errorf("%+v", p)
	}
	for name, query := range map[string]string{
		"size": "max-keys=many", "negative": "max-keys=-1", "coding": "encoding-type=base64", "version": "list-type=3",
		"token": "list-type=2&continuation-token=%21", "no token": "list-type=2&continuation-token=",
		"token of no text": "list-type=2&continuation-token=" + base64.RawURLEncoding.EncodeToString([]byte{0xff}),
		"prefix":           "prefix=%ff", "zero": "marker=%00", "long": "prefix=" + strings.Repeat("x", 1025),
		"semicolon": "prefix=a;b", "half an escape": "prefix=%",
	} {
		t.Run(name, func(t *testing.T) {
			req := request(http.MethodGet, "/workshop")
			req.URL.RawQuery = query
			req = signed(req, "ALL", secret)
			req.URL.RawQuery = query // the signer leaves out what it cannot read
			r.wantFault(r.do(req), http.StatusBadRequest, "InvalidArgument")
		})
	}
}

func TestWhatFollowsAText(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "a": "b", "a/": "a0", "é": "ê", "\uD7FF": "\uE000", "a\U0010FFFF": "b", "\U0010FFFF\U0010FFFF": "", "\x7f": "\u0080",
	} {
		if got := following(text); got != want {
			t.Errorf("following(%q) = %q, want %q", text, got, want)
		}
	}
}
