package settings

import (
	"encoding/json"
	"maps"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// known are the names of all settings. A group without a name in it takes any.
var known = sync.OnceValue(func() map[string]any { return asMap(Defaults()) })

// asMap is a value as JSON has it.
func asMap(v Values) map[string]any {
	var out map[string]any
	text, _ := json.Marshal(v) // numbers and texts always marshal
	_ = json.Unmarshal(text, &out)
	return out
}

// only is what of a patch has a known name.
func only(known, patch map[string]any) map[string]any {
	out := map[string]any{}
	for name, value := range patch {
		is, ok := known[name]
		if !ok && len(known) > 0 {
			continue
		}
		group, isGroup := is.(map[string]any)
		if in, given := value.(map[string]any); isGroup && given {
			value = only(group, in)
		}
		out[name] = value
	}
	return out
}

// merged is a document with a merge patch over it (RFC 7396). It changes neither.
func merged(doc, patch map[string]any) map[string]any {
	out := maps.Clone(doc)
	if out == nil {
		out = map[string]any{}
	}
	for name, value := range patch {
		if value == nil {
			delete(out, name)
			continue
		}
		group, isGroup := value.(map[string]any)
		if !isGroup {
			out[name] = value
			continue
		}
		before, _ := out[name].(map[string]any)
		after := merged(before, group)
		if out[name] = after; len(after) == 0 {
			delete(out, name)
		}
	}
	return out
}

// fieldName is a place as errors name it: milestones[1], limits.read.
func fieldName(p jsontext.Pointer) string {
	var out strings.Builder
	for token := range p.Tokens() {
		switch _, err := strconv.Atoi(token); {
		case err == nil:
			out.WriteString("[" + token + "]")
			continue
		case out.Len() > 0:
			out.WriteByte('.')
		}
		out.WriteString(token)
	}
	return out.String()
}
