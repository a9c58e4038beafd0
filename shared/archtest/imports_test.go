package archtest

import (
	"path"
	"slices"
	"strings"
)

// neighbours says which package of a program's internal folder may import which
// other one of it, besides the folders below itself. Who stands nowhere imports
// none: he declares the interface he needs, and app puts the parts together.
var neighbours = map[string][]string{
	"hub/internal/api": {"hub/internal/archive", "hub/internal/auth", "hub/internal/camera", "hub/internal/fleet", "hub/internal/links", "hub/internal/proxy", "hub/internal/registry", "hub/internal/settings", "hub/internal/sheet"},

	"hub/internal/archive": {"hub/internal/blob", "hub/internal/sheet"},

	"hub/internal/blob/blobtest": {"hub/internal/blob"},

	"agent/internal/capture": {"agent/internal/outbox"},
	"agent/internal/fleet":   {"agent/internal/printer"},
	"agent/internal/record":  {"agent/internal/detect", "agent/internal/outbox", "agent/internal/printer"},
}

// sqlOnly are the folders that may speak SQL.
var sqlOnly = []string{"hub/internal/store", "agent/internal/outbox"}

// drivers are the ways to a database besides database/sql. Tests may take them,
// to disturb a database from outside.
var drivers = []string{"modernc.org/sqlite", "github.com/jackc/pgx", "github.com/pressly/goose"}

// testOnly are the packages for tests and demonstrations, with what lies in
// their folders: the simulator's command is one of them.
var testOnly = []string{"shared/simprinter", "shared/memnet", "shared/testcert", "shared/archtest", "hub/internal/store/pgtest", "hub/internal/blob/blobtest", "hub/internal/blob/s3test"}

var importRules = []rule{
	{
		name: "agent and hub never import each other, shared imports neither",
		check: each(func(f file) []string {
			var away []string
			switch {
			case f.in("agent"):
				away = []string{"hub"}
			case f.in("hub"):
				away = []string{"agent"}
			case f.in("shared"):
				away = []string{"agent", "hub"}
			}
			return f.importsOf(away)
		}),
		good: []sample{{
			"agent/a.go":          `package main; import _ "bambuddy/shared/farm"`,
			"deploy/e2e/a.go":     `package e2e; import (_ "bambuddy/hub/app"; _ "bambuddy/agent/app")`,
			"hub/internal/x/a.go": `package x; import _ "bambuddy/hub/internal/y"`,
		}},
		bad: []sample{
			{"agent/internal/x/a.go": `package x; import _ "bambuddy/hub/app"`},
			{"hub/a_test.go": `package main; import _ "bambuddy/agent/app"`},
			{"shared/x/a.go": `package x; import _ "bambuddy/hub/app"`},
			{"shared/x/a.go": `package x; import _ "bambuddy/agent/app"`},
		},
	},
	{
		name: "services meet through interfaces, apart from the neighbours named",
		check: each(func(f file) []string {
			service := path.Dir(f.path)
			if f.isTest() || !within(service, "hub/internal", "agent/internal") {
				return nil
			}
			var findings []string
			for _, p := range f.ours() {
				if !within(p, "hub/internal", "agent/internal") || within(p, service) {
					continue
				}
				if !slices.Contains(neighbours[service], p) {
					findings = append(findings, f.path+": "+service+" may not import "+p)
				}
			}
			return findings
		}),
		good: []sample{{
			"hub/app/a.go":                  `package app; import _ "bambuddy/hub/internal/store"`,
			"hub/internal/api/a.go":         `package api; import _ "bambuddy/hub/internal/auth"`,
			"hub/internal/store/a.go":       `package store; import _ "bambuddy/hub/internal/store/migrations"`,
			"hub/internal/links/a_test.go":  `package links; import _ "bambuddy/hub/internal/store"`,
			"agent/internal/fleet/fleet.go": `package fleet; import _ "bambuddy/agent/internal/printer"`,
		}},
		bad: []sample{
			{"hub/internal/api/a.go": `package api; import _ "bambuddy/hub/internal/store"`},
			{"hub/internal/links/a.go": `package links; import _ "bambuddy/hub/internal/fleet"`},
			{"hub/internal/store/migrations/a.go": `package migrations; import _ "bambuddy/hub/internal/store"`},
			{"agent/internal/printer/a.go": `package printer; import _ "bambuddy/agent/internal/fleet"`},
		},
	},
	{
		name: "the API's tests need no store either",
		check: each(func(f file) []string {
			if !f.in("hub/internal/api") {
				return nil
			}
			return f.importsOf([]string{"hub/internal/store"})
		}),
		good: []sample{{"hub/internal/links/a_test.go": `package links; import _ "bambuddy/hub/internal/store"`}},
		bad:  []sample{{"hub/internal/api/a_test.go": `package api; import _ "bambuddy/hub/internal/store"`}},
	},
	{
		name: "SQL is in the store and the outbox alone",
		check: each(func(f file) []string {
			if f.in(sqlOnly...) {
				return nil
			}
			findings := f.importsFrom([]string{"database/sql"})
			if !f.isTest() {
				findings = append(findings, f.importsFrom(drivers)...)
			}
			return findings
		}),
		good: []sample{{
			"hub/internal/store/a.go":        `package store; import _ "database/sql"`,
			"hub/internal/store/pgtest/a.go": `package pgtest; import _ "github.com/jackc/pgx/v5/stdlib"`,
			"agent/internal/outbox/a.go":     `package outbox; import _ "modernc.org/sqlite"`,
			"hub/internal/x/a.go":            `package x; import _ "database/sqlite"`,
			"hub/app/a_test.go":              `package app; import _ "github.com/jackc/pgx/v5"`,
		}},
		bad: []sample{
			{"hub/internal/x/a.go": `package x; import _ "database/sql"`},
			{"hub/internal/x/a_test.go": `package x; import _ "database/sql/driver"`},
			{"hub/internal/storefront/a.go": `package storefront; import _ "database/sql"`},
			{"agent/internal/fleet/a.go": `package fleet; import _ "github.com/jackc/pgx/v5/stdlib"`},
		},
	},
	{
		name: "the websocket library is in shared/tunnel alone",
		check: each(func(f file) []string {
			if f.in("shared/tunnel") {
				return nil
			}
			return f.importsFrom([]string{"github.com/coder/websocket", "nhooyr.io/websocket", "github.com/gorilla/websocket"})
		}),
		good: []sample{{"shared/tunnel/a.go": `package tunnel; import _ "github.com/coder/websocket"`}},
		bad: []sample{
			{"hub/internal/links/a.go": `package links; import _ "github.com/coder/websocket"`},
			{"agent/a_test.go": `package main; import _ "github.com/coder/websocket/wsjson"`},
			{"agent/a.go": `package main; import _ "nhooyr.io/websocket"`},
		},
	},
	{
		name: "nothing shipped imports what is for tests",
		check: each(func(f file) []string {
			if f.isTest() || f.in("deploy/e2e") || f.in(testOnly...) {
				return nil
			}
			return f.importsOf(testOnly)
		}),
		good: []sample{{
			"agent/a_test.go": `package main; import _ "bambuddy/shared/simprinter"`,
			"shared/simprinter/bambuddy-simulator/main.go": `package main; import _ "bambuddy/shared/simprinter"`,
			"deploy/e2e/farm.go":                           `package e2e; import _ "bambuddy/shared/memnet"`,
		}},
		bad: []sample{
			{"agent/app/a.go": `package app; import _ "bambuddy/shared/simprinter"`},
			{"hub/app/a.go": `package app; import _ "bambuddy/shared/memnet"`},
			{"hub/internal/store/a.go": `package store; import _ "bambuddy/hub/internal/store/pgtest"`},
			{"agent/app/a.go": `package app; import _ "testing"`, "hub/app/b.go": `package app; import _ "bambuddy/shared/simprinter/faults"`},
		},
	},
}

// importsOf finds imports of this module's packages in the folders.
func (f file) importsOf(folders []string) []string {
	var findings []string
	for _, p := range f.ours() {
		if within(p, folders...) {
			findings = append(findings, f.path+": may not import "+p)
		}
	}
	return findings
}

// importsFrom finds imports of other people's packages and those below them.
func (f file) importsFrom(paths []string) []string {
	var findings []string
	for _, p := range f.imports() {
		if !strings.HasPrefix(p, module) && within(p, paths...) {
			findings = append(findings, f.path+": may not import "+p)
		}
	}
	return findings
}
