package archtest

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
)

// pure are the packages that are the same everywhere and at any time.
var pure = []string{"shared/farm", "shared/bambu", "shared/threemf", "shared/wire"}

// impure are the packages with a door to the outside, besides the clock. Those
// below them that only speak of it are in harmless.
var (
	impure   = []string{"os", "net", "io/ioutil", "syscall", "log", "database", "math/rand", "crypto/rand", "plugin", "embed", "golang.org/x/sys"}
	harmless = []string{"net/netip", "net/url", "log/slog"}
)

// clock are the functions of package time that look at it or wait for it.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// marks are the notes that say that something is not done yet.
var marks = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)

const maxLines = 600

var codeRules = []rule{
	{
		name: "pure packages have no I/O, no goroutine and no clock",
		check: each(func(f file) []string {
			if f.isTest() || !f.in(pure...) {
				return nil
			}
			var findings []string
			for _, p := range f.imports() {
				if within(p, impure...) && !within(p, harmless...) {
					findings = append(findings, f.path+": a pure package may not import "+p)
				}
			}
			ast.Inspect(f.ast, func(n ast.Node) bool {
				if start, ok := n.(*ast.GoStmt); ok {
					findings = append(findings, f.at(start, "a pure package starts no goroutine"))
				}
				return true
			})
			return append(findings, f.uses("time", clock...)...)
		}),
		good: []sample{{
			"shared/farm/a.go":      `package farm; import ("time"; "net/netip"); var a netip.Addr; func F(t time.Time) time.Time { return t.Add(time.Hour) }`,
			"shared/farm/a_test.go": `package farm; import ("os"; "time"); var t = time.Now(); var e = os.Args`,
			"shared/tunnel/a.go":    `package tunnel; import ("os"; "time"); func F() { go F(); time.Sleep(1); _ = os.Args }`,
		}},
		bad: []sample{
			{"shared/farm/a.go": `package farm; import "os"; var a = os.Args`},
			{"shared/bambu/a.go": `package bambu; import _ "net/http"`},
			{"shared/wire/a.go": `package wire; func F() { go F() }`},
			{"shared/bambu/deep/a.go": `package deep; import "time"; var t = time.Now()`},
			{"shared/threemf/a.go": `package threemf; import clock "time"; var t = clock.Since`},
			{"shared/threemf/a.go": `package threemf; import . "time"; var t = Now()`},
			{"shared/threemf/a.go": `package threemf; import clock "time"; import "time"; var t = clock.Now; var d = time.Second`},
		},
	},
	{
		name: "tests sleep in packages with bubbles only",
		check: func(files []file) []string {
			bubbles := map[string]bool{} // by folder
			for _, f := range files {
				if f.isTest() && slices.Contains(f.imports(), "testing/synctest") {
					bubbles[path.Dir(f.path)] = true
				}
			}
			var findings []string
			for _, f := range files {
				if f.isTest() && !bubbles[path.Dir(f.path)] {
					findings = append(findings, f.uses("time", "Sleep")...)
				}
			}
			return findings
		},
		good: []sample{{
			"hub/a_test.go":      `package main; import ("time"; "testing/synctest"); func F() { synctest.Wait(); time.Sleep(1) }`,
			"hub/b_test.go":      `package main; import "time"; func G() { time.Sleep(1) }`,
			"agent/a_test.go":    `package main; import "time"; func F() { time.NewTimer(time.Second).Stop() }`,
			"shared/memnet/a.go": `package memnet; import "time"; func F() { time.Sleep(1) }`,
		}},
		bad: []sample{
			{"hub/a_test.go": `package main; import "time"; func F() { time.Sleep(1) }`},
			{
				"hub/a_test.go":   `package main; import "time"; func F() { time.Sleep(1) }`,
				"agent/a_test.go": `package main; import _ "testing/synctest"`,
			},
		},
	},
	{
		name: "packages have no init function",
		check: each(func(f file) []string {
			var findings []string
			for _, d := range f.ast.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					findings = append(findings, f.at(fn, "init function: wire it by hand in app"))
				}
			}
			return findings
		}),
		good: []sample{{"hub/a.go": `package main; type t int; func (t) init() {}; func initialise() {}`}},
		bad:  []sample{{"hub/a.go": `package main; func init() {}`}},
	},
	{
		name: "every package says what it is for, once",
		check: func(files []file) []string {
			docs := map[string][]string{} // by folder: the files with a package comment
			for _, f := range files {
				if !f.isGo() || f.isTest() {
					continue
				}
				folder := path.Dir(f.path)
				docs[folder] = append(docs[folder], nil...)
				if strings.TrimSpace(f.ast.Doc.Text()) != "" {
					docs[folder] = append(docs[folder], f.path)
				}
			}
			var findings []string
			for folder, at := range docs {
				if len(at) != 1 {
					findings = append(findings, fmt.Sprintf("%s: %d package comments, there must be one: %v", folder, len(at), at))
				}
			}
			return findings
		},
		good: []sample{{
			"hub/x/a.go": "// Package x is a sample.\npackage x", "hub/x/b.go": "package x", "hub/x/a_test.go": "// Tests.\npackage x_test",
		}},
		bad: []sample{
			{"hub/x/a.go": "package x"},
			{"hub/x/a.go": "// Far away.\n\npackage x"},
			{"hub/x/a.go": "// Package x is a sample.\npackage x", "hub/x/b.go": "// Package x, again.\npackage x"},
		},
	},
	{
		name: fmt.Sprintf("Go files that people write have at most %d lines", maxLines),
		check: each(func(f file) []string {
			if lines := strings.Count(f.text, "\n"); lines > maxLines && !ast.IsGenerated(f.ast) {
				return []string{fmt.Sprintf("%s: %d lines", f.path, lines)}
			}
			return nil
		}),
		good: []sample{{
			"hub/a.go": "package main" + strings.Repeat("\n", maxLines),
			"hub/b.go": "// Code generated by a tool. DO NOT EDIT.\n\npackage main" + strings.Repeat("\n", maxLines),
		}},
		bad: []sample{{"hub/a.go": "package main" + strings.Repeat("\n", maxLines+1)}},
	},
}

// uses finds mentions of a package's functions, under whatever names the file
// imports it. A dot import is a finding itself: it hides them.
func (f file) uses(pkg string, names ...string) []string {
	var locals, findings []string
	for i, p := range f.imports() {
		given := f.ast.Imports[i].Name
		switch {
		case p != pkg:
		case given == nil:
			locals = append(locals, path.Base(pkg))
		case given.Name == ".":
			findings = append(findings, f.at(given, "may not import %s by a dot", pkg))
		default:
			locals = append(locals, given.Name)
		}
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := selector.X.(*ast.Ident); ok && slices.Contains(locals, x.Name) && slices.Contains(names, selector.Sel.Name) {
			findings = append(findings, f.at(selector, "may not use %s.%s", pkg, selector.Sel.Name))
		}
		return true
	})
	return findings
}
