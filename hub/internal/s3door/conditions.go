package s3door

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"bambuddy/shared/farm"
)

// The ends of conditional requests.
var (
	errPrecondition = &fault{http.StatusPreconditionFailed, "PreconditionFailed", "the object is not as the request wants it", nil}
	errNotModified  = &fault{http.StatusNotModified, "NotModified", "the object has not changed", nil}
	errRange        = &fault{http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "the object has no such bytes", nil}
)

// conditions tells whether a file is as a request wants it. A tag goes before a time.
func conditions(h http.Header, f farm.PrintFile) error {
	// A header's time has whole seconds.
	modified := f.StoredAt.Truncate(time.Second)
	if want := h.Get("If-Match"); want != "" {
		if !tagged(want, etag(f)) {
			return errPrecondition
		}
	} else if t, err := http.ParseTime(h.Get("If-Unmodified-Since")); err == nil && modified.After(t) {
		return errPrecondition
	}
	if have := h.Get("If-None-Match"); have != "" {
		if tagged(have, etag(f)) {
			return errNotModified
		}
	} else if t, err := http.ParseTime(h.Get("If-Modified-Since")); err == nil && !modified.After(t) {
		return errNotModified
	}
	return nil
}

// tagged tells whether a list of tags names one. Tools leave quotes out.
func tagged(list, tag string) bool {
	for one := range strings.SplitSeq(list, ",") {
		one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
		if one == "*" || strings.Trim(one, `"`) == strings.Trim(tag, `"`) {
			return true
		}
	}
	return false
}

// span is the part of a file that is wanted.
type span struct {
	offset, length int64
	whole          bool
}

// rangeOf reads which part of a file a request wants. As S3 does, it gives all of it
// for a range that it does not understand or for several.
func rangeOf(h http.Header, f farm.PrintFile) (span, error) {
	all := span{0, f.Size, true}
	text, ok := strings.CutPrefix(h.Get("Range"), "bytes=")
	first, last, one := strings.Cut(text, "-")
	if !ok || !one {
		return all, nil
	}
	if only := h.Get("If-Range"); only != "" && !stillThe(only, f) {
		return all, nil
	}
	if first == "" {
		n, err := number(last)
		switch {
		case err != nil:
			return all, nil
		case n == 0 || f.Size == 0:
			return all, errRange
		}
		n = min(n, f.Size)
		return span{f.Size - n, n, false}, nil
	}
	from, err := number(first)
	if err != nil {
		return all, nil
	}
	to := f.Size - 1
	if last != "" {
		end, err := number(last)
		if err != nil || end < from {
			return all, nil
		}
		to = min(end, to)
	}
	if from >= f.Size {
		return all, errRange
	}
	return span{from, to - from + 1, false}, nil
}

// stillThe tells whether a file is the one an If-Range speaks of.
func stillThe(only string, f farm.PrintFile) bool {
	if t, err := http.ParseTime(only); err == nil {
		return f.StoredAt.Truncate(time.Second).Equal(t)
	}
	return tagged(only, etag(f))
}

// number reads digits; a sign is none.
func number(text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	return int64(n), err
}
