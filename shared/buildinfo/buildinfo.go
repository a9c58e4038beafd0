// Package buildinfo tells which version of Bambuddy this binary is. The version
// comes from what the Go toolchain records in every binary (module version and
// git revision), so that no build script has to stamp it.
package buildinfo

import (
	"regexp"
	"runtime"
	"runtime/debug"
	"sync"
)

// Version is the released version without a "v" ("1.2.3"); between releases
// "0.0.0-dev+<revision>", with ".dirty" when the source had changes.
func Version() string { return version() }

var version = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return development
	}
	return versionOf(info)
})

// Platform is where this binary runs: "linux/amd64".
func Platform() string { return runtime.GOOS + "/" + runtime.GOARCH }

const development = "0.0.0-dev"

var (
	release = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)
	pseudo  = regexp.MustCompile(`\d{14}-[0-9a-f]{12}$`)
)

// versionOf trusts a plain release version ("v1.2.3", of a tag that was built
// unchanged) and names everything else by its revision. Go's own pseudo versions
// of untagged commits say the same in a form that people cannot read.
func versionOf(info *debug.BuildInfo) string {
	if v := info.Main.Version; release.MatchString(v) && !pseudo.MatchString(v) {
		return v[1:]
	}
	var revision, dirty string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = ".dirty"
		}
	}
	if revision == "" {
		return development
	}
	return development + "+" + revision + dirty
}
