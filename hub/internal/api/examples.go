package api

import (
	"github.com/danielgtaylor/huma/v2"

	"bambuddy/shared/farm"
)

// refusalWords say when a code is answered, and how that reads.
var refusalWords = map[farm.Code]struct{ about, detail string }{
	farm.Invalid:             {"The request is wrong; the detail names the field.", "name: is required"},
	farm.Unauthorized:        {"There is no key and no session, or it is not known any more.", "the API key is not known"},
	farm.Forbidden:           {"The caller may not do this.", `you lack the permission "control"`},
	farm.NotFound:            {"There is no such thing, or the caller may not know of it.", "there is no printer 7"},
	farm.PrinterNotConnected: {"The printer is not connected.", `printer "Workshop X1C" is not connected`},
	farm.AgentOffline:        {"The printer's agent is not connected.", `the agent of printer "Workshop X1C" is not connected`},
	farm.PrinterBusy:         {"The printer does something else.", "the printer is printing"},
	farm.PrinterRefused:      {"The printer refused, for the reason it gave.", "the printer refused: no filament in the slot"},
	farm.PlateChanged:        {"The build plate was cleared or filled meanwhile.", "the plate is not the one that was looked at"},
	farm.Conflict:            {"It does not fit to how things stand.", "serial_number: is registered already"},
	farm.RequestTimeout:      {"The body did not arrive in time.", "the body did not arrive within 10 s"},
	farm.TooLarge:            {"The body is too large.", "the body is larger than 1048576 bytes"},
	farm.UnsupportedType:     {"The body is of another type.", "send the body as application/json, in UTF-8"},
	farm.BadCondition:        {"The file is another one than the request says.", "the file is another one than the request says"},
	farm.BadRange:            {"None of the bytes asked for are there.", "the file has 1048576 bytes, none of them in that range"},
	farm.Unsupported:         {"This model, or an agent this old, cannot do it.", "the camera of this model (P1S) sends pictures and no video: use camera/stream"},
	farm.FileUnavailable:     {"There is no such file.", "archive 1 has no 3MF"},
	farm.FFmpegMissing:       {"The agent of the printer lacks ffmpeg.", "ffmpeg is not installed beside the agent"},
	farm.RateLimited:         {"The limit of this minute is used up.", "more than 100 requests a minute; try again in 12 s"},
	farm.Unavailable:         {"The hub cannot do it now; later it may.", "the answer took too long"},
	farm.OutcomeUnknown:      {"It was sent, and nobody knows what became of it.", "the printer did not answer within 10 s"},
	farm.Internal:            {"A fault of the hub; its log says more.", "internal error"},
}

// statusWords describe what is no refusal.
var statusWords = map[int]string{200: "Done.", 201: "It was made; the body is what it is now.", 204: "Done."}

const sampleETag = `"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`

// headerSamples are examples of the headers that answers declare by themselves.
var headerSamples = map[string]any{
	"X-Total-Count": 1234, "X-Next-Cursor": "1183", "X-Truncated": false, "Content-Type": "image/jpeg",
	"Set-Cookie": "bambuddy_session=…; Path=/; HttpOnly; SameSite=Lax",
}

// commonHeaders are headers of many answers.
func commonHeaders() map[string]*huma.Header {
	header := func(kind string, example any, about string) *huma.Header {
		return &huma.Header{Description: about, Schema: &huma.Schema{Type: kind}, Example: example}
	}
	return map[string]*huma.Header{
		"X-RateLimit-Limit":     header(huma.TypeInteger, 100, "Requests a minute allowed in this route's class."),
		"X-RateLimit-Remaining": header(huma.TypeInteger, 95, "How many are left in this minute."),
		"X-RateLimit-Reset":     header(huma.TypeInteger, 1705331400, "When the count starts again, in Unix seconds."),
		"X-Request-Id":          header(huma.TypeString, "5f2b7c9d1e3a4860", "The request's id in the hub's log: the one that was sent, else a new one."),
		"Retry-After":           header(huma.TypeInteger, 12, "Seconds to wait."),
		"WWW-Authenticate":      header(huma.TypeString, `Bearer realm="bambuddy", charset="UTF-8"`, "How to say who calls."),
		"Content-Disposition":   header(huma.TypeString, "attachment; filename=benchy.3mf", "The name to save it under."),
		"ETag":                  header(huma.TypeString, sampleETag, "The SHA-256 of the file."),
		"Accept-Ranges":         header(huma.TypeString, "bytes", "Parts of it can be asked for."),
		"Content-Range":         header(huma.TypeString, "bytes 0-1023/1048576", "Which bytes of how many."),
	}
}

type object = map[string]any

// requests are bodies as the API reference shows them, where the examples of the
// fields alone would not give them.
var requests = map[string]any{
	"create_media_link": object{"path": "/printers/1/camera/stream"},
}

// answers are answers as the API reference shows them, over the examples of the fields.
var answers = map[string]any{
	"list_printers":  []any{object{"status": "idle", "current_print": nil}},
	"update_printer": object{"name": "Updated Name"},
	"add_printer": object{
		"id": 2, "name": "New Printer", "ip_address": "192.168.1.101", "serial_number": "01P00A000000002", "status": "offline",
		"current_print": nil, "connected": false, "last_seen": nil,
	},
	"update_archive": object{"name": "Updated Name", "notes": "Great print", "tags": []any{"functional", "gift"}},
}
