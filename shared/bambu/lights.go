package bambu

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// maxLights bounds the list of lamps.
const maxLights = 16

// readLights replaces the list.
func readLights(l *Lights, v gjson.Result) bool {
	if !v.IsArray() {
		return false
	}
	var buf [maxLights]Light
	n := 0
	v.ForEach(func(_, one gjson.Result) bool {
		node, _ := text(one.Get("node"), 32)
		mode, _ := text(one.Get("mode"), 16)
		if node != "" && mode != "" {
			buf[n] = Light{Node: node, Mode: mode}
			n++
		}
		return n < maxLights
	})
	if slices.Equal(*l, buf[:n]) {
		return false
	}
	var fresh Lights // a new one: the old may be published
	for _, light := range buf[:n] {
		fresh = append(fresh, Light{Node: strings.Clone(light.Node), Mode: strings.Clone(light.Mode)})
	}
	*l = fresh
	return true
}
