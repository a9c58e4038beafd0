package archtest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// topLevel is what may lie at the root, besides files and folders with a dot.
var topLevel = []string{
	"agent", "hub", "shared", "installers", "deploy", "docs",
	"go.mod", "go.sum", "Makefile", "README.md", "LICENSE", "CHANGELOG.md",
}

// optional are those of them that need not be there yet.
var optional = []string{"installers"}

// strict is the line that makes a script stop at its first fault.
var strict = regexp.MustCompile(`(?m)^set -euo pipefail$`)

// whole is a sample of a complete top level.
func whole(without string, more ...string) sample {
	s := sample{}
	for _, name := range topLevel {
		if strings.ToLower(name) == name && !strings.HasPrefix(name, "go.") {
			name += "/a.txt"
		}
		s[name] = ""
	}
	for _, name := range more {
		s[name] = ""
	}
	delete(s, without)
	return s
}

var treeRules = []rule{
	{
		name: "the top level holds what belongs there and nothing else",
		check: func(files []file) []string {
			seen := map[string]bool{}
			var findings []string
			for _, f := range files {
				top, _, _ := strings.Cut(f.path, "/")
				if !seen[top] && !strings.HasPrefix(top, ".") && !slices.Contains(topLevel, top) {
					findings = append(findings, top+": does not belong at the top level")
				}
				seen[top] = true
			}
			for _, top := range topLevel {
				if !seen[top] && !slices.Contains(optional, top) {
					findings = append(findings, top+": is missing at the top level")
				}
			}
			return findings
		},
		good: []sample{whole(""), whole("installers/a.txt"), whole("", ".gitignore", ".ci/run", "hub/a.txt")},
		bad:  []sample{whole("README.md"), whole("docs/a.txt"), whole("", "notes.txt"), whole("", "scripts/a.txt"), whole("", "package.json")},
	},
	{
		name: "every script stops at its first fault",
		check: func(files []file) []string {
			var findings []string
			for _, f := range files {
				if f.isShell() && !strict.MatchString(f.text) {
					findings = append(findings, f.path+": has no line `set -euo pipefail`")
				}
			}
			return findings
		},
		good: []sample{{
			"deploy/a.sh": "#!/usr/bin/env bash\n# Says hello.\nset -euo pipefail\necho hello\n",
			"deploy/a.py": "#!/usr/bin/env python3\n",
		}},
		bad: []sample{
			{"deploy/a.sh": "#!/usr/bin/env bash\necho hello\n"},
			{"deploy/a.sh": "echo hello\n"},
			{".ci/run": "#!/bin/sh\nset -eu\n"},
			{"deploy/a.sh": "#!/usr/bin/env bash\n# set -euo pipefail would be better\n"},
		},
	},
	{
		name: "nothing is left for later",
		check: func(files []file) []string {
			var findings []string
			for _, f := range files {
				for i, line := range strings.Split(f.text, "\n") {
					if word := marks.FindString(line); word != "" {
						findings = append(findings, fmt.Sprintf("%s:%d: %s", f.path, i+1, word))
					}
				}
			}
			return findings
		},
		good: []sample{{"hub/a.go": "package main // toDo, XXXX and TODOS are words"}},
		bad: []sample{
			{"hub/a.go": "package main // TO" + "DO: write it"},
			{"deploy/a.sh": "# FIX" + "ME"},
			{"docs/a.md": "XX" + "X"},
		},
	},
}
