package api

import (
	"github.com/danielgtaylor/huma/v2"

	"bambuddy/hub/internal/auth"
)

const about = `Everything a Bambuddy hub knows and does, for programs and for its own page.

All paths lie below ` + "`/api/v1`" + ` and answer with and without a trailing slash.

**Keys.** Send an API key as ` + "`X-API-Key: bb_…`" + ` or ` + "`Authorization: Bearer bb_…`" + `. People sign in with ` + "`POST /auth/login`" + ` and get a session cookie instead. Each operation names the permission it needs in ` + "`x-permission`" + `.

**Errors** are always ` + "`{\"detail\", \"code\"}`" + `. A resource outside of a key's scope is 404.

**Limits** are counted per key or person and clock minute, by the class in ` + "`x-rate-limit`" + `: read 100, write 30, control 10 unless the key has its own. Refusals other than 429 count as well.

**Units.** Durations are whole seconds, temperatures °C, filament grams, times RFC 3339 in UTC. What is not known, or has no sensor, is null.

**Lists** are arrays with their whole length in ` + "`X-Total-Count`" + `. Unknown fields and query parameters are ignored.`

// document is the OpenAPI document before its routes, and how huma is to behave.
func document(version string) huma.Config {
	cfg := huma.DefaultConfig("Bambuddy", version)
	cfg.CreateHooks = nil // no $schema fields and Link headers
	cfg.OpenAPIPath, cfg.DocsPath, cfg.SchemasPath = "", "", ""
	cfg.AllowAdditionalPropertiesByDefault = true // unknown fields are ignored
	cfg.Formats = map[string]huma.Format{"application/json": {Marshal: encode, Unmarshal: decode}}
	cfg.Info.Description = about
	cfg.Servers = []*huma.Server{{URL: base}}
	cfg.Tags = []*huma.Tag{
		{Name: "Printers", Description: "Registered printers and what they are doing."},
		{Name: "Printer Control", Description: "What makes a printer act. Each command is sent once: 409 says that the printer refused, 504 that nobody knows."},
		{Name: "Camera", Description: "What a printer's camera sees."},
		{Name: "Printer Files", Description: "What lies on a printer's card or stick."},
		{Name: "Archives", Description: "Every print that happened, and every 3MF that was uploaded, with its files."},
		{Name: "Projects", Description: "What archives belong together."},
		{Name: "Webhooks", Description: "Who is told of events, and what became of that. What is sent is described at Create Webhook."},
		{Name: "S3 Credentials", Description: "Who may read the archive with S3 tools."},
		{Name: "Sites", Description: "Places with printers."},
		{Name: "Agents", Description: "The programs beside the printers, and how they join."},
		{Name: "Events", Description: "Everything that happens, as it happens."},
		{Name: "Sign-in", Description: "People and their sessions."},
		{Name: "Users", Description: "People who may sign in."},
		{Name: "API Keys", Description: "Programs that may call."},
		{Name: "Settings", Description: "What the hub goes by, changed while it runs."},
		{Name: "Audit", Description: "Who has changed what."},
		{Name: "System", Description: "The hub itself."},
	}
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"ApiKey":  {Type: "apiKey", In: "header", Name: "X-API-Key", Description: "An API key, as it is."},
		"Session": {Type: "apiKey", In: "cookie", Name: auth.SessionCookie, Description: "The session of a person who has signed in. It is not taken for writes that another site makes a browser send."},
		"Bearer":  {Type: "http", Scheme: "bearer", Description: "An API key as a bearer token."},
	}
	cfg.Components.Headers = map[string]*huma.Header{
		"X-RateLimit-Limit":     {Description: "Requests a minute allowed in this route's class.", Schema: &huma.Schema{Type: huma.TypeInteger}},
		"X-RateLimit-Remaining": {Description: "How many are left in this minute.", Schema: &huma.Schema{Type: huma.TypeInteger}},
		"X-RateLimit-Reset":     {Description: "When the count starts again, in Unix seconds.", Schema: &huma.Schema{Type: huma.TypeInteger}},
	}
	return cfg
}
