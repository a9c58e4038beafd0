package farm

import (
	"slices"
	"time"
)

// Permission is what a caller may do; each route of the hub names the one it needs.
type Permission string

// The permissions of the contract.
const (
	Read    Permission = "read"    // look
	Queue   Permission = "queue"   // archives, projects, queue
	Control Permission = "control" // make an agent or a printer act
	Admin   Permission = "admin"   // registration, keys, settings
)

// Permissions lists all of them in the order they are shown.
var Permissions = []Permission{Read, Queue, Control, Admin}

// Limits are requests a minute of one key, by class of route; 0 means the hub's default.
type Limits struct {
	Read    int `json:"read"`
	Write   int `json:"write"`
	Control int `json:"control"`
}

// APIKey is a key of an integrator, without the key itself: only its hash is kept.
type APIKey struct {
	ID          int64
	OwnerID     int64 // the person it belongs to and never exceeds; 0: the hub itself
	Name        string
	Prefix      string   // the first characters, to recognise it by
	Hash        [32]byte // SHA-256 of the whole key
	Permissions []Permission
	Printers    []int64 // allow-list; nil: all, empty: none
	Sites       []int64 // allow-list; nil: all, empty: none
	Limits      Limits
	CreatedAt   time.Time
	ExpiresAt   time.Time // zero: never
	LastUsedAt  time.Time // zero: never; written in batches
}

// May tells whether the key carries the permission.
func (k APIKey) May(p Permission) bool { return slices.Contains(k.Permissions, p) }

// Sees tells whether a printer is within the key's allow-lists.
func (k APIKey) Sees(printerID, siteID int64) bool {
	return (k.Printers == nil || slices.Contains(k.Printers, printerID)) && k.SeesSite(siteID)
}

// SeesSite tells whether a site is within the key's allow-list.
func (k APIKey) SeesSite(siteID int64) bool {
	return k.Sites == nil || slices.Contains(k.Sites, siteID)
}
