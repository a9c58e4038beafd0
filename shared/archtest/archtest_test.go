package archtest

import (
	"slices"
	"testing"
)

// rule is one rule of the repository.
type rule struct {
	name  string
	check func([]file) []string // the findings, one line each
	good  []sample              // each breaks no rule of this name
	bad   []sample              // each breaks it
}

// sample is a small repository: the files' texts by path.
type sample map[string]string

func (s sample) files(t *testing.T) []file {
	t.Helper()
	var all []file
	for name, text := range s {
		f, err := newFile(name, text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	return all
}

// each makes a check of all files from one of a single Go file.
func each(check func(file) []string) func([]file) []string {
	return func(files []file) []string {
		var findings []string
		for _, f := range files {
			if f.isGo() {
				findings = append(findings, check(f)...)
			}
		}
		return findings
	}
}

// TestRepository holds the repository against every rule.
func TestRepository(t *testing.T) {
	files := repository(t, "../..")
	for _, r := range slices.Concat(importRules, codeRules, treeRules) {
		t.Run(r.name, func(t *testing.T) {
			for _, finding := range r.check(files) {
				t.Error(finding)
			}
		})
	}
}

// TestRules holds every rule against what it must find and what it must leave
// alone.
func TestRules(t *testing.T) {
	for _, r := range slices.Concat(importRules, codeRules, treeRules) {
		t.Run(r.name, func(t *testing.T) {
			if len(r.good) == 0 || len(r.bad) == 0 {
				t.Fatal("a rule needs samples of both kinds")
			}
			for _, s := range r.good {
				if findings := r.check(s.files(t)); len(findings) > 0 {
					t.Errorf("%v\nshould pass, found %q", s, findings)
				}
			}
			for _, s := range r.bad {
				if findings := r.check(s.files(t)); len(findings) == 0 {
					t.Errorf("%v\nshould be found", s)
				}
			}
		})
	}
}

// TestWalk sees to it that the rules are held against something.
func TestWalk(t *testing.T) {
	var names []string
	for _, f := range repository(t, "../..") {
		names = append(names, f.path)
	}
	for _, want := range []string{".ci/run", ".golangci.yml", "go.mod", "shared/archtest/doc.go", "shared/archtest/tree_test.go"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not among the %d files read", want, len(names))
		}
	}
}
