package buildinfo

import (
	"runtime/debug"
	"strings"
	"testing"
)

func TestVersionOf(t *testing.T) {
	const rev = "be3aa97c0ffee0123456789abcdef0123456789a"
	vcs := func(modified string) []debug.BuildSetting {
		return []debug.BuildSetting{{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: rev}, {Key: "vcs.modified", Value: modified}}
	}
	tests := []struct {
		name, module string
		settings     []debug.BuildSetting
		want         string
	}{
		{"a release", "v1.2.3", vcs("false"), "1.2.3"},
		{"a release candidate", "v1.2.3-rc.1", vcs("false"), "1.2.3-rc.1"},
		{"a changed tree", "v1.2.3+dirty", vcs("true"), "0.0.0-dev+be3aa97c0ffe.dirty"},
		{"an untagged commit", "v0.0.0-20261124085100-be3aa97c0ffe", vcs("false"), "0.0.0-dev+be3aa97c0ffe"},
		{"a commit after a tag", "v1.2.4-0.20261124085100-be3aa97c0ffe", vcs("false"), "0.0.0-dev+be3aa97c0ffe"},
		{"a commit after a candidate", "v1.2.3-rc.1.0.20261124085100-be3aa97c0ffe", vcs("false"), "0.0.0-dev+be3aa97c0ffe"},
		{"no module version", "(devel)", vcs("false"), "0.0.0-dev+be3aa97c0ffe"},
		{"nothing recorded", "", nil, "0.0.0-dev"},
		{"a short revision", "", []debug.BuildSetting{{Key: "vcs.revision", Value: "be3"}}, "0.0.0-dev+be3"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			info := &debug.BuildInfo{Main: debug.Module{Version: test.module}, Settings: test.settings}
			if got := versionOf(info); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestVersionIsNeverEmpty(t *testing.T) {
	if v := Version(); v == "" || strings.HasPrefix(v, "v") {
		t.Errorf("Version() = %q", v)
	}
}
