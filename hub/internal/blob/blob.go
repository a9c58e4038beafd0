// Package blob keeps objects by key: in files by default, in any S3 service, or in
// memory for tests. All do the same, which package blobtest shows of each.
//
// A key is a path of letters, digits and what file systems take everywhere, see
// CheckKey. An object is there whole or not at all; writing a key again replaces it.
package blob

import (
	"context"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"bambuddy/shared/farm"
)

// Info is what is known of an object.
type Info struct {
	Key         string
	Size        int64
	Modified    time.Time // UTC
	ETag        string    // of the store, not a hash of the content; "" where there is none
	ContentType string    // "" where the store does not remember it
}

// PutOptions say what is put.
type PutOptions struct {
	ContentType string
	SHA256      string // lower-case hex; "" is not checked
}

// Store keeps objects. Its methods may be called concurrently and end with their
// context. Errors that a caller decides on are *farm.Error: NOT_FOUND, UNAVAILABLE
// (the store is away, or refuses), VALIDATION_ERROR (a bad key, or a body that is not
// what was announced).
type Store interface {
	// Put writes an object of size bytes, or of what there is when size is negative;
	// it is durable when Put returns. A body that is shorter or longer, or has another
	// hash, leaves everything as it was. Of two that put different objects of one key at
	// the same time one wins; the other may be told UNAVAILABLE.
	Put(ctx context.Context, key string, r io.Reader, size int64, o PutOptions) (Info, error)
	// Get reads length bytes from an offset on; -1 is to the end. The caller closes it.
	Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, Info, error)
	Stat(ctx context.Context, key string) (Info, error)
	// Delete removes an object; one that is not there is no error.
	Delete(ctx context.Context, key string) error
	// List calls fn for every object whose key begins with prefix and comes after
	// after, in the order of keys, until fn fails.
	List(ctx context.Context, prefix, after string, fn func(Info) error) error
	// Check tells whether the store can be reached and written.
	Check(ctx context.Context) error
}

// Bounds of keys.
const (
	maxKey     = 900
	maxSegment = 200
)

// CheckKey tells what is wrong with a key: every store, every file system and every
// tool must take it. What one key cannot tell is left to who makes them: that none is
// a folder of another one, and that no two differ in upper and lower case alone.
func CheckKey(key string) error {
	if key == "" || len(key) > maxKey || !utf8.ValidString(key) {
		return farm.Errorf(farm.Invalid, "a key has 1 to %d bytes of UTF-8", maxKey)
	}
	if strings.HasPrefix(key, tempPrefix) {
		return farm.Errorf(farm.Invalid, "keys that begin with %s are the store's own", tempPrefix)
	}
	for part := range strings.SplitSeq(key, "/") {
		switch {
		case part == "", part == ".", part == "..", len(part) > maxSegment:
			return farm.Errorf(farm.Invalid, "a part of a key has 1 to %d bytes and is no dots alone", maxSegment)
		case strings.HasSuffix(part, "."), strings.HasSuffix(part, " "):
			return farm.Errorf(farm.Invalid, "a part of a key ends in no dot and no blank")
		case farm.ReservedName(part):
			return farm.Errorf(farm.Invalid, "%s is a device on Windows and no part of a key", part)
		case strings.ContainsFunc(part, badRune):
			return farm.Errorf(farm.Invalid, "a key has no control characters and none of \\ : * ? \" < > |")
		}
	}
	return nil
}

func badRune(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(`\:*?"<>|`, r) }

func missing(key string) error { return farm.Errorf(farm.NotFound, "there is no object %s", key) }

// span brings a range into an object's bounds.
func span(key string, size, offset, length int64) (int64, error) {
	if offset < 0 || offset > size {
		return 0, farm.Errorf(farm.Invalid, "object %s has %d bytes, none at %d", key, size, offset)
	}
	if length < 0 || length > size-offset {
		length = size - offset
	}
	return length, nil
}
