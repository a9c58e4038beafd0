package bambu

import (
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// A setter reads one value into its place and tells whether that changed
// anything. What it cannot make sense of it leaves alone: one odd field never
// costs the report.
type setter[T any] func(into *T, v gjson.Result) (changed bool)

// keys is a table from JSON key to setter.
type keys[T any] map[string]setter[T]

// merge lays an object over what is there, key by key. null changes nothing.
func merge[T any](into *T, object gjson.Result, table keys[T]) (changed bool) {
	if !object.IsObject() {
		return false
	}
	object.ForEach(func(k, v gjson.Result) bool {
		if set := table[k.Str]; set != nil && v.Type != gjson.Null && set(into, v) {
			changed = true
		}
		return true
	})
	return changed
}

// within is the setter of a nested object.
func within[T any](table keys[T]) setter[T] {
	return func(into *T, v gjson.Result) bool { return merge(into, v, table) }
}

// join is the union of tables. A key of two tables is read by both.
func join[T any](tables ...keys[T]) keys[T] {
	out := keys[T]{}
	for _, t := range tables {
		for name, set := range t {
			out[name] = both(out[name], set)
		}
	}
	return out
}

func both[T any](a, b setter[T]) setter[T] {
	if a == nil {
		return b
	}
	return func(into *T, v gjson.Result) bool {
		first := a(into, v)
		return b(into, v) || first
	}
}

// assign changes a place and tells whether that made a difference.
func assign[V comparable](place *V, v V) bool {
	if *place == v {
		return false
	}
	*place = v
	return true
}

// whole puts an integer of lo..hi into a field.
func whole[T any](lo, hi int, field func(*T) *Opt[int]) setter[T] {
	return func(into *T, v gjson.Result) bool {
		n, ok := integer(v)
		return ok && n >= int64(lo) && n <= int64(hi) && assign(field(into), Some(int(n)))
	}
}

// decimal puts a number of lo..hi into a field.
func decimal[T any](lo, hi float64, field func(*T) *Opt[float64]) setter[T] {
	return func(into *T, v gjson.Result) bool {
		n, ok := number(v)
		return ok && n >= lo && n <= hi && assign(field(into), Some(n))
	}
}

// flag puts a yes or no into a field.
func flag[T any](field func(*T) *Opt[bool]) setter[T] {
	return func(into *T, v gjson.Result) bool {
		b, ok := boolean(v)
		return ok && assign(field(into), Some(b))
	}
}

// words puts a string of at most limit bytes into a field.
func words[T any](limit int, field func(*T) *string) setter[T] {
	return func(into *T, v gjson.Result) bool {
		t, ok := text(v, limit)
		return ok && keep(field(into), t)
	}
}

// keep stores a string that may be part of a frame: cloned, so that the frame is
// not kept alive by it, and only when it is new.
func keep(place *string, t string) bool {
	if *place == t {
		return false
	}
	*place = strings.Clone(t)
	return true
}

// number reads a finite number, also out of a string ("27.5").
func number(v gjson.Result) (float64, bool) {
	n := v.Num
	switch v.Type {
	case gjson.Number:
	case gjson.String:
		var err error
		if n, err = strconv.ParseFloat(strings.TrimSpace(v.Str), 64); err != nil {
			return 0, false
		}
	default:
		return 0, false
	}
	return n, !math.IsNaN(n) && !math.IsInf(n, 0)
}

// integer reads a number that fits the exact range of a float, cut towards zero.
func integer(v gjson.Result) (int64, bool) {
	n, ok := number(v)
	if !ok || math.Abs(n) >= 1<<53 {
		return 0, false
	}
	return int64(n), true
}

// word32 reads 32 bits, which firmware writes signed or unsigned.
func word32(v gjson.Result) (uint32, bool) {
	n, ok := integer(v)
	if !ok || n < math.MinInt32 || n > math.MaxUint32 {
		return 0, false
	}
	return uint32(n), true
}

const hexDigits = "0123456789abcdefABCDEF"

// hexBits reads the low 64 bits of a hex string without prefix, however long.
func hexBits(v gjson.Result) (uint64, bool) {
	if v.Type != gjson.String || v.Str == "" || len(v.Str) > 128 {
		return 0, false
	}
	low := max(0, len(v.Str)-16)
	if strings.Trim(v.Str[:low], hexDigits) != "" {
		return 0, false
	}
	bits, err := strconv.ParseUint(v.Str[low:], 16, 64)
	return bits, err == nil
}

// boolean reads true and false, 0 and 1, and the words firmware has for them.
func boolean(v gjson.Result) (value, ok bool) {
	switch v.Type {
	case gjson.True:
		return true, true
	case gjson.False:
		return false, true
	case gjson.Number:
		return v.Num == 1, v.Num == 0 || v.Num == 1
	case gjson.String:
		switch strings.ToLower(v.Str) {
		case "true", "1", "enable":
			return true, true
		case "false", "0", "disable":
			return false, true
		}
	}
	return false, false
}

// text reads a string, or a number as one: without control characters, cut to
// limit bytes at a character. It may share memory with the frame.
func text(v gjson.Result, limit int) (string, bool) {
	t := v.Str
	switch v.Type {
	case gjson.String:
	case gjson.Number:
		t = v.Raw
	default:
		return "", false
	}
	if strings.ContainsFunc(t, unicode.IsControl) {
		t = strings.Map(dropControl, t)
	}
	if len(t) <= limit {
		return t, true
	}
	for limit > 0 && !utf8.RuneStart(t[limit]) {
		limit--
	}
	return t[:limit], true
}

func dropControl(r rune) rune {
	if unicode.IsControl(r) {
		return -1
	}
	return r
}

// first is the first known of several sources.
func first[T comparable](sources ...Opt[T]) Opt[T] {
	for _, o := range sources {
		if o.Known {
			return o
		}
	}
	return Opt[T]{}
}
