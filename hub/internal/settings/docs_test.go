package settings

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// docs/settings.md has every setting with its default, and none that is not there.
func TestThePageHasEverySetting(t *testing.T) {
	text, err := os.ReadFile("../../../docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_.]+)` \\| ([^|]+?) \\|").FindAllStringSubmatch(string(text), -1) {
		value, _, _ := strings.Cut(m[2], " (")
		told[m[1]] = strings.Trim(value, "`")
	}
	var walk func(prefix string, values map[string]any)
	walk = func(prefix string, values map[string]any) {
		for name, value := range values {
			if group, ok := value.(map[string]any); ok && len(group) > 0 {
				walk(prefix+name+".", group)
				continue
			}
			want, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			if got, ok := told[prefix+name]; !ok || got != string(want) {
				t.Errorf("%s%s is told to be %q by default, it is %s", prefix, name, got, want)
			}
			delete(told, prefix+name)
		}
	}
	walk("", known())
	if len(told) > 0 {
		t.Errorf("settings that are none: %s", fmt.Sprint(told))
	}
}
