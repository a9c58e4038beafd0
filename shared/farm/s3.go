package farm

import (
	"slices"
	"time"
)

// S3Credential lets an S3 tool read the archive. Its secret is kept sealed and
// handed out once.
type S3Credential struct {
	ID         int64
	OwnerID    int64  // the person it ends with and never exceeds; 0: the hub itself
	AccessKey  string // public, as AWS's: 20 characters
	Name       string // what it is for
	Sites      []int64
	CreatedAt  time.Time
	LastUsedAt time.Time // some minutes late; zero: never
}

// SeesSite tells whether a site is within the credential's scope: a nil list means
// all sites, an empty one none.
func (c S3Credential) SeesSite(id int64) bool {
	return c.Sites == nil || slices.Contains(c.Sites, id)
}

// FileRange asks for stored files of a site whose paths lie between two others, in
// the order of their bytes.
type FileRange struct {
	SiteID    int64
	From      string
	Inclusive bool   // From itself belongs to it
	Until     string // not included; "": no end
	Limit     int
}
