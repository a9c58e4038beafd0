package s3door

import (
	"context"
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"bambuddy/shared/farm"
)

// maxKeys is the largest page, and the size of one when nobody says.
const maxKeys = 1000

// listBatch is how many rows are read at a time where many may lie under one
// common prefix: more of them would be read for nothing.
const listBatch = 100

// listQuery is a list as it is asked for.
type listQuery struct {
	prefix    string
	delimiter string
	after     string // begin behind it; a common prefix stands for all that is below it
	max       int
}

// listing is a page of a list.
type listing struct {
	files    []farm.PrintFile
	prefixes []string
	next     string // what the next page begins behind, "" at the end
}

// list reads one page. Below a common prefix it reads a few rows and jumps over the
// rest, so that a page costs as much for ten million files as for a thousand.
func (d *Door) list(ctx context.Context, site int64, q listQuery) (page listing, err error) {
	if q.max == 0 {
		return page, nil
	}
	at := q.start(site)
	last := ""
	for {
		rows, err := d.o.Index.FilesBetween(ctx, at)
		if err != nil {
			return page, err
		}
		for _, f := range rows {
			group, grouped := q.group(f.Path)
			if grouped && group == last {
				continue
			}
			if len(page.files)+len(page.prefixes) == q.max {
				page.next = last
				return page, nil
			}
			if last = f.Path; grouped {
				last = group
				page.prefixes = append(page.prefixes, group)
			} else {
				page.files = append(page.files, f)
			}
		}
		if len(rows) < at.Limit {
			return page, nil
		}
		if !q.jump(&at, rows[len(rows)-1].Path) {
			return page, nil
		}
	}
}

// start is where the list begins in the index.
func (q listQuery) start(site int64) farm.FileRange {
	at := farm.FileRange{SiteID: site, From: q.prefix, Inclusive: true, Until: following(q.prefix), Limit: listBatch}
	if q.delimiter == "" {
		at.Limit = q.max + 1
	}
	if q.after >= q.prefix {
		at.From, at.Inclusive = q.after, false
		if group, ok := q.group(q.after); ok && group == q.after && following(group) != "" {
			at.From, at.Inclusive = following(group), true
		}
	}
	return at
}

// jump goes on behind a path, or behind all that has the same common prefix; false:
// there is nothing there.
func (q listQuery) jump(at *farm.FileRange, path string) bool {
	at.From, at.Inclusive = path, false
	group, ok := q.group(path)
	if !ok {
		return true
	}
	at.From, at.Inclusive = following(group), true
	return at.From != ""
}

// group is the common prefix a path is listed under, if it is.
func (q listQuery) group(path string) (string, bool) {
	if q.delimiter == "" || !strings.HasPrefix(path, q.prefix) {
		return "", false
	}
	head, _, ok := strings.Cut(path[len(q.prefix):], q.delimiter)
	return q.prefix + head + q.delimiter, ok
}

// following is the first text behind all that begin with this one, in the order of
// bytes, which of UTF-8 is the order of its characters; "": there is none.
func following(text string) string {
	for text != "" {
		r, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
		switch {
		case r == 0xD7FF:
			return text + "\uE000" // what lies between is no character
		case r < utf8.MaxRune:
			return text + string(r+1)
		}
	}
	return ""
}

type listedObject struct {
	Key          string
	LastModified string
	ETag         string
	Size         int64
	StorageClass string
	Owner        *owner `xml:",omitempty"`
}

type listedPrefix struct{ Prefix string }

// listBody is the answer of both versions; what belongs to one is absent in the other.
type listBody struct {
	XMLName        xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Name           string
	Prefix         string
	Delimiter      string `xml:",omitempty"`
	MaxKeys        int
	EncodingType   string  `xml:",omitempty"`
	Marker         *string // version 1
	NextMarker     string  `xml:",omitempty"`
	StartAfter     string  `xml:",omitempty"` // version 2, from here
	Token          string  `xml:"ContinuationToken,omitempty"`
	NextToken      string  `xml:"NextContinuationToken,omitempty"`
	KeyCount       *int
	IsTruncated    bool
	Contents       []listedObject
	CommonPrefixes []listedPrefix
}

func (d *Door) listObjects(ctx context.Context, c *call, b bucket) error {
	q, out, err := readList(c.query)
	if err != nil {
		return err
	}
	page, err := d.list(ctx, b.SiteID, q)
	if err != nil {
		return err
	}
	coded := func(s string) string { return s }
	if out.EncodingType == "url" {
		coded = escape
	}
	second := out.Marker == nil
	out.Name, out.MaxKeys, out.Prefix, out.Delimiter = b.Name, q.max, coded(q.prefix), coded(q.delimiter)
	out.StartAfter, out.IsTruncated = coded(out.StartAfter), page.next != ""
	if second {
		count := len(page.files) + len(page.prefixes)
		out.KeyCount = &count
		out.NextToken = base64.RawURLEncoding.EncodeToString([]byte(page.next))
	} else {
		marker := coded(*out.Marker)
		out.Marker, out.NextMarker = &marker, coded(page.next)
	}
	for _, f := range page.files {
		entry := listedObject{Key: coded(f.Path), LastModified: stamp(f.StoredAt), ETag: etag(f), Size: f.Size, StorageClass: "STANDARD"}
		if !second || c.query.Get("fetch-owner") == "true" {
			entry.Owner = &theOwner
		}
		out.Contents = append(out.Contents, entry)
	}
	for _, p := range page.prefixes {
		out.CommonPrefixes = append(out.CommonPrefixes, listedPrefix{coded(p)})
	}
	c.answer(http.StatusOK, out)
	return nil
}

// readList reads what is asked for, and what of that the answer repeats.
func readList(query url.Values) (q listQuery, out listBody, err error) {
	q = listQuery{prefix: query.Get("prefix"), delimiter: query.Get("delimiter"), max: maxKeys}
	if text := query.Get("max-keys"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return q, out, invalid("max-keys must be a number from 0 on")
		}
		q.max = min(n, maxKeys)
	}
	if out.EncodingType = query.Get("encoding-type"); out.EncodingType != "" && out.EncodingType != "url" {
		return q, out, invalid("encoding-type must be url")
	}
	switch version := query.Get("list-type"); version {
	case "2":
		out.StartAfter, out.Token = query.Get("start-after"), query.Get("continuation-token")
		q.after = out.StartAfter
		if query.Has("continuation-token") {
			after, err := base64.RawURLEncoding.DecodeString(out.Token)
			if err != nil || len(after) == 0 {
				return q, out, invalid("continuation-token is none of ours")
			}
			q.after = string(after)
		}
	case "", "1":
		marker := query.Get("marker")
		out.Marker, q.after = &marker, marker
	default:
		return q, out, invalid("list-type must be 2, or be left out")
	}
	for _, text := range []string{q.prefix, q.delimiter, q.after} {
		if !isText(text) || len(text) > maxKey {
			return q, out, invalid("prefix, delimiter and where to begin are texts of at most 1024 bytes")
		}
	}
	return q, out, nil
}
