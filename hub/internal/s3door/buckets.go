package s3door

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"bambuddy/shared/farm"
)

// bucket is a site as S3 tools see it.
type bucket struct {
	Name   string
	SiteID int64
	Made   time.Time
}

// bucketNames names the sites. A name is the site's own, as S3 allows it; of sites
// that would be called the same, the oldest is, and the others have their number
// behind. So a name depends on all sites, and sites are given by id.
func bucketNames(sites []farm.Site) []bucket {
	taken := map[string]bool{}
	out := make([]bucket, len(sites))
	for i, s := range sites {
		name := bucketName(s.Name)
		if len(name) < minName {
			name = strings.TrimPrefix(name+"-site", "-")
		}
		for taken[name] {
			name = fmt.Sprintf("%s-%d", name, s.ID)
		}
		taken[name] = true
		out[i] = bucket{name, s.ID, s.CreatedAt}
	}
	return out
}

// A bucket's name has 3 to 63 characters; some are kept for a number behind.
const (
	minName = 3
	maxName = 42
)

// letters are those that do not fall apart into a Latin letter and its accents.
var letters = strings.NewReplacer("ß", "ss", "æ", "ae", "ø", "o", "å", "a", "œ", "oe", "ł", "l", "đ", "d", "ð", "d", "þ", "th", "ı", "i")

// bucketName makes what S3 allows out of a text: a-z, 0-9 and single dashes.
func bucketName(text string) string {
	var out strings.Builder
	dash := false
	for _, r := range norm.NFKD.String(letters.Replace(strings.ToLower(text))) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			if out.Len()+2 > maxName {
				return out.String()
			}
			if dash && out.Len() > 0 {
				out.WriteByte('-')
			}
			dash = false
			out.WriteRune(r)
		case unicode.Is(unicode.Mn, r): // an accent
		default:
			dash = true
		}
	}
	return out.String()
}

// buckets are those a credential may see.
func (d *Door) buckets(ctx context.Context, who farm.S3Credential) ([]bucket, error) {
	sites, err := d.o.Index.Sites(ctx)
	if err != nil {
		return nil, err
	}
	var out []bucket
	for _, b := range bucketNames(sites) {
		if who.SeesSite(b.SiteID) {
			out = append(out, b)
		}
	}
	return out, nil
}

// bucket finds the one that is asked for. One that may not be seen is not there.
func (d *Door) bucket(ctx context.Context, c *call) (bucket, error) {
	all, err := d.buckets(ctx, c.who)
	if err != nil {
		return bucket{}, err
	}
	for _, b := range all {
		if b.Name == c.bucket {
			return b, nil
		}
	}
	return bucket{}, &fault{http.StatusNotFound, "NoSuchBucket", "there is no such bucket", nil}
}

type bucketEntry struct {
	Name         string
	CreationDate string
}

type bucketList struct {
	XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListAllMyBucketsResult"`
	Owner   owner
	Buckets []bucketEntry `xml:"Buckets>Bucket"`
}

func (d *Door) listBuckets(ctx context.Context, c *call) error {
	if c.r.Method == http.MethodHead {
		return errMethod
	}
	all, err := d.buckets(ctx, c.who)
	if err != nil {
		return err
	}
	out := bucketList{Owner: theOwner}
	for _, b := range all {
		out.Buckets = append(out.Buckets, bucketEntry{b.Name, stamp(b.Made)})
	}
	c.answer(http.StatusOK, out)
	return nil
}

type locationBody struct {
	XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ LocationConstraint"`
	Region  string   `xml:",chardata"`
}

func (d *Door) location(c *call) error {
	out := locationBody{Region: d.o.Region}
	if out.Region == defaultRegion {
		out.Region = "" // S3's way to say so
	}
	c.answer(http.StatusOK, out)
	return nil
}
