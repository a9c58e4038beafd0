package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"bambuddy/hub/internal/auth"
	"bambuddy/hub/internal/settings"
	"bambuddy/shared/farm"
)

// SettingValues are all settings.
type SettingValues settings.Values

// LimitSettings are requests a minute, by class of route.
type LimitSettings = settings.LimitSettings

// SessionSettings are about people who are signed in.
type SessionSettings = settings.SessionSettings

// WebhookSettings are about the delivery of events.
type WebhookSettings = settings.WebhookSettings

// Settings is what the hub goes by.
type Settings struct {
	settings.Values
	Defaults SettingValues `json:"defaults" doc:"What null sets back to: the release's values, or those of this hub's command line."`
	Set      []string      `json:"set" doc:"Which of them somebody has set." example:"[\"limits.read\"]"`
}

// SettingsChange is any subset of the settings, at any depth (RFC 7396). Null sets back
// to the default.
type SettingsChange map[string]any

// Schema is that of the values, with every field optional and null allowed.
func (SettingsChange) Schema(r huma.Registry) *huma.Schema {
	const name = "SettingsChange" // huma names structs only
	s := loose(r, huma.SchemaFromType(r, reflect.TypeFor[settings.Values]()))
	s.Nullable = false
	r.Map()[name] = s
	return &huma.Schema{Ref: "#/components/schemas/" + name}
}

// loose is a schema of a change: fields may be absent, or null for their default.
func loose(r huma.Registry, s *huma.Schema) *huma.Schema {
	if s.Ref != "" {
		about := s.Description
		if s = r.SchemaFromRef(s.Ref); about != "" {
			described := *s
			described.Description = about
			s = &described
		}
	}
	out := *s
	out.Nullable, out.Required = true, nil
	if s.Properties != nil {
		out.Properties = map[string]*huma.Schema{}
		for name, field := range s.Properties {
			out.Properties[name] = loose(r, field)
		}
	}
	if price, ok := s.AdditionalProperties.(*huma.Schema); ok {
		out.AdditionalProperties = loose(r, price)
	}
	out.PrecomputeMessages()
	return &out
}

func (s *server) settingRoutes() {
	if s.settings == nil {
		return
	}
	const tag = "Settings"
	register(s, route{
		id: "get_settings", method: http.MethodGet, path: "/settings", tag: tag, summary: "Get Settings",
		about: "What the hub goes by. For callers who are not limited to certain printers or sites.",
		needs: farm.Admin, limit: auth.ReadClass,
	}, s.getSettings)
	register(s, route{
		id: "update_settings", method: http.MethodPatch, path: "/settings", tag: tag, summary: "Update Settings",
		about: "Any subset, at any depth (RFC 7396); null sets back to the default. It counts at once, without a restart, and is kept.",
		needs: farm.Admin, limit: auth.WriteClass, errors: []farm.Code{farm.Conflict},
	}, s.updateSettings)
	s.documentDefaults()
}

func (s *server) getSettings(ctx context.Context, _ *struct{}) (*body[Settings], error) {
	if err := wholeFarm(ctx, "what a hub goes by"); err != nil {
		return nil, err
	}
	return s.settingsNow(s.settings.Values()), nil
}

func (s *server) updateSettings(ctx context.Context, in *struct{ Body SettingsChange }) (*body[Settings], error) {
	if err := wholeFarm(ctx, "what a hub goes by"); err != nil {
		return nil, err
	}
	v, err := s.settings.Change(ctx, in.Body)
	if err != nil {
		return nil, err
	}
	return s.settingsNow(v), nil
}

func (s *server) settingsNow(v settings.Values) *body[Settings] {
	return &body[Settings]{Settings{Values: v, Defaults: SettingValues(s.settings.Initial()), Set: list(s.settings.Set())}}
}

// documentDefaults puts the defaults into the document, from the one place that has
// them.
func (s *server) documentDefaults() {
	text, err := json.Marshal(settings.Defaults())
	var values map[string]any
	if err == nil {
		err = json.Unmarshal(text, &values)
	}
	if err != nil {
		s.faults = append(s.faults, err)
		return
	}
	r := s.huma.OpenAPI().Components.Schemas
	for _, name := range []string{"Settings", "SettingsChange"} {
		withDefaults(r, r.Map()[name], values)
	}
}

func withDefaults(r huma.Registry, s *huma.Schema, values map[string]any) {
	for s != nil && s.Ref != "" {
		s = r.SchemaFromRef(s.Ref)
	}
	if s == nil {
		return
	}
	for name, value := range values {
		field, ok := s.Properties[name]
		group, isGroup := value.(map[string]any)
		switch {
		case !ok:
		case isGroup && len(group) > 0:
			withDefaults(r, field, group)
		default:
			field.Default = value
		}
	}
}
