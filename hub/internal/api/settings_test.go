package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"testing"

	"bambuddy/hub/internal/auth"
	"bambuddy/hub/internal/settings"
	"bambuddy/shared/farm"
)

// memSettings is the row of settings in memory.
type memSettings struct {
	mu   sync.Mutex
	text string
}

func (m *memSettings) Setting(context.Context, string) (string, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.text, m.text != "", nil
}

func (m *memSettings) SwapSetting(_ context.Context, _, was, value string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.text != was {
		return false, nil
	}
	m.text = value
	return true, nil
}

func TestSettings(t *testing.T) {
	r := newRig(t)
	var got Settings
	read := func(a answer) {
		t.Helper()
		got = Settings{}
		if err := json.Unmarshal(a.body, &got); err != nil || a.status != http.StatusOK {
			t.Fatalf("%v: %d %s", err, a.status, a.body)
		}
	}
	read(r.get(base + "/settings"))
	if !reflect.DeepEqual(got.Values, settings.Defaults()) || !reflect.DeepEqual(settings.Values(got.Defaults), settings.Defaults()) || len(got.Set) != 0 {
		t.Errorf("at first %+v", got)
	}
	read(r.do(r.admin, http.MethodPatch, base+"/settings", `{"limits":{"write":77},"milestones":[90,10],"cors_origins":["https://Tools.example:443"],"filament_prices":{"PLA":19.99},"colour":"red"}`))
	want := settings.Defaults()
	want.Limits.Write, want.Milestones, want.CORSOrigins, want.FilamentPrices = 77, []int{10, 90}, []string{"https://tools.example"}, map[string]float64{"PLA": 19.99}
	if !reflect.DeepEqual(got.Values, want) || !slices.Equal(got.Set, []string{"cors_origins", "filament_prices.PLA", "limits.write", "milestones"}) {
		t.Errorf("after a change %+v, set %v", got.Values, got.Set)
	}
	read(r.get(base + "/settings/"))
	if !reflect.DeepEqual(got.Values, want) {
		t.Errorf("read again %+v", got.Values)
	}
	read(r.do(r.admin, http.MethodPatch, base+"/settings", `{"limits":{"write":null},"milestones":null,"cors_origins":null,"filament_prices":{"PLA":null}}`))
	if !reflect.DeepEqual(got.Values, settings.Defaults()) || len(got.Set) != 0 {
		t.Errorf("set back %+v, set %v", got.Values, got.Set)
	}
	for body, field := range map[string]string{
		`{"milestones":[25,26]}`: "milestones[1]: ", `{"milestones":[25,"a"]}`: "milestones[1]: ", `{"limits":{"read":0}}`: "limits.read: ", `{"limits":{"read":1.5}}`: "limits.read: ",
		`{"limits":[]}`: "limits: ", `{"webhooks":{"allow_private":"yes"}}`: "webhooks.allow_private: ", `{"filament_prices":{"PLA":"cheap"}}`: "filament_prices.PLA: ",
		`{"cors_origins":["nonsense"]}`: "cors_origins[0]: ", `{"audit_keep_days":-1}`: "audit_keep_days: ", `{"currency":"euro"}`: "currency: ",
	} {
		r.wantError(r.do(r.admin, http.MethodPatch, base+"/settings", body), farm.Invalid, field)
	}
}

func TestWhoMaySeeAndChangeSettings(t *testing.T) {
	r := newRig(t)
	limited := r.key(auth.NewKey{Permissions: farm.Permissions, Sites: []int64{1}})
	reader := r.key(auth.NewKey{Permissions: []farm.Permission{farm.Read, farm.Queue, farm.Control}})
	for _, key := range []string{limited, reader} {
		r.wantError(r.do(key, http.MethodGet, base+"/settings", ""), farm.Forbidden, "")
		r.wantError(r.do(key, http.MethodPatch, base+"/settings", `{"currency":"USD"}`), farm.Forbidden, "")
	}
	if v := r.server.settings.Values(); v.Currency != "EUR" {
		t.Errorf("%+v", v)
	}
}

// What the document says is the default is the default.
func TestTheDocumentHasTheDefaults(t *testing.T) {
	type schema struct {
		Default    any                `json:"default"`
		Required   []string           `json:"required"`
		Ref        string             `json:"$ref"`
		Type       any                `json:"type"`
		Properties map[string]*schema `json:"properties"`
	}
	var doc struct {
		Components struct {
			Schemas map[string]*schema `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(newRig(t).do("", http.MethodGet, "/openapi.json", "").body, &doc); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(settings.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]any
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	var walk func(s *schema, want map[string]any, at string)
	walk = func(s *schema, want map[string]any, at string) {
		for s != nil && s.Ref != "" {
			s = doc.Components.Schemas[s.Ref[len("#/components/schemas/"):]]
		}
		for name, value := range want {
			if s == nil || s.Properties[name] == nil {
				t.Errorf("%s.%s is not in the document", at, name)
				continue
			}
			if group, ok := value.(map[string]any); ok && len(group) > 0 {
				walk(s.Properties[name], group, at+"."+name)
				continue
			}
			if got := s.Properties[name].Default; !reflect.DeepEqual(got, value) {
				t.Errorf("%s.%s has the default %v, want %v", at, name, got, value)
			}
		}
		if at == "SettingsChange" && len(s.Required) > 0 {
			t.Errorf("a change needs %v", s.Required)
		}
	}
	walk(doc.Components.Schemas["Settings"], want, "Settings")
	walk(doc.Components.Schemas["SettingsChange"], want, "SettingsChange")
}
