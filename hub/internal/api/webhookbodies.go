package api

import (
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"bambuddy/shared/farm"
)

// PrintData is what is sent of a print. What is not known yet is null.
type PrintData struct {
	PrinterID   *int64  `json:"printer_id" doc:"Null: it was removed." example:"1"`
	PrinterName *string `json:"printer_name" doc:"What people call it." example:"Workshop X1C"`
	ArchiveID   *int64  `json:"archive_id" doc:"The print in GET /archives." example:"123"`
	Filename    *string `json:"filename" doc:"The base name of the 3MF." example:"benchy.3mf"`
	Duration    *int64  `json:"duration" doc:"Seconds from its start to its end; null: it has not ended, or nobody knows." example:"8100"`
	Status      *string `json:"status" enum:"printing,success,failed,stopped,unknown" doc:"How it stands." example:"success"`
}

// PrintProgressData is what is sent of a milestone.
type PrintProgressData struct {
	PrintData
	Progress *int64 `json:"progress" doc:"The milestone, in percent." example:"25"`
}

// PrintFailedData is what is sent of a print that failed.
type PrintFailedData struct {
	PrintData
	FailureReason *string `json:"failure_reason" doc:"What the printer complained of; null: it did not say." example:"Spaghetti was detected."`
}

// PrinterData is what is sent of a printer.
type PrinterData struct {
	PrinterID   *int64  `json:"printer_id" doc:"Its id." example:"1"`
	PrinterName *string `json:"printer_name" doc:"What people call it." example:"Workshop X1C"`
}

// PrinterErrorData is what is sent of what a printer complains of.
type PrinterErrorData struct {
	PrinterData
	Code     *string `json:"code" doc:"The printer's own." example:"0300-400C"`
	Severity *string `json:"severity" enum:"fatal,serious,common,info" doc:"How bad it is." example:"serious"`
	Message  *string `json:"message" doc:"In words, as far as they are known." example:"The task was canceled."`
}

// AgentData is what is sent of an agent.
type AgentData struct {
	AgentID   *int64  `json:"agent_id" doc:"Its id." example:"1"`
	AgentName *string `json:"agent_name" doc:"What people call it." example:"workshop-pi"`
}

// WebhookDisabledData is what is sent of a webhook that was switched off.
type WebhookDisabledData struct {
	WebhookID   *int64  `json:"webhook_id" doc:"Its id." example:"2"`
	WebhookName *string `json:"webhook_name" doc:"What people call it." example:"Home automation"`
	Reason      *string `json:"reason" doc:"Why." example:"nothing has got through since 2024-01-15T14:30:00Z, for 70 tries; the last: no answer within 10 s"`
}

// WebhookTestData is what is sent when somebody tests a webhook.
type WebhookTestData struct {
	WebhookID   *int64  `json:"webhook_id" doc:"Its id." example:"2"`
	WebhookName *string `json:"webhook_name" doc:"What people call it." example:"Home automation"`
	Message     *string `json:"message" doc:"That it is a test." example:"This is a test. Nothing has happened."`
}

// webhookBodies are the events that are sent, with their data.
var webhookBodies = map[string]struct {
	about string
	data  reflect.Type
}{
	farm.EventPrintStarted:    {"A print began.", reflect.TypeFor[PrintData]()},
	farm.EventPrintProgress:   {"A print passed a milestone, each at most once a print.", reflect.TypeFor[PrintProgressData]()},
	farm.EventPrintPaused:     {"A print stands still.", reflect.TypeFor[PrintData]()},
	farm.EventPrintResumed:    {"A print goes on.", reflect.TypeFor[PrintData]()},
	farm.EventPrintComplete:   {"A print ended well, or, with status unknown, unseen.", reflect.TypeFor[PrintData]()},
	farm.EventPrintFailed:     {"The printer failed.", reflect.TypeFor[PrintFailedData]()},
	farm.EventPrintStopped:    {"A person stopped a print.", reflect.TypeFor[PrintData]()},
	farm.EventPrinterOnline:   {"A printer is there.", reflect.TypeFor[PrinterData]()},
	farm.EventPrinterOffline:  {"A printer has been away for a while.", reflect.TypeFor[PrinterData]()},
	farm.EventPrinterError:    {"A printer complains, once a code until that is cleared.", reflect.TypeFor[PrinterErrorData]()},
	farm.EventErrorCleared:    {"A printer no longer complains of something.", reflect.TypeFor[PrinterErrorData]()},
	farm.EventAgentOnline:     {"An agent is connected.", reflect.TypeFor[AgentData]()},
	farm.EventAgentOffline:    {"An agent has been away for a while.", reflect.TypeFor[AgentData]()},
	farm.EventWebhookDisabled: {"A webhook was switched off, having failed too long. Sent to webhooks without printer_ids and site_ids.", reflect.TypeFor[WebhookDisabledData]()},
	farm.EventWebhookTest:     {"Somebody tests this webhook. Nobody subscribes to it.", reflect.TypeFor[WebhookTestData]()},
}

// documentWebhooks describes what is sent, in the part of the document for that.
func (s *server) documentWebhooks() {
	doc := s.huma.OpenAPI()
	doc.Webhooks = map[string]*huma.PathItem{}
	text := func(about, example string) *huma.Schema {
		return &huma.Schema{Type: huma.TypeString, Description: about, Examples: []any{example}}
	}
	for kind, of := range webhookBodies {
		event := text("What happened.", kind)
		event.Enum = []any{kind}
		at := text("When it happened, UTC.", "2024-01-15T14:30:00Z")
		at.Format = "date-time"
		header := func(name, about, example string) *huma.Param {
			return &huma.Param{Name: name, In: "header", Required: true, Description: about, Schema: text(about, example), Example: example}
		}
		doc.Webhooks[kind] = &huma.PathItem{Post: &huma.Operation{
			OperationID: "on_" + kind, Tags: []string{"Webhooks"}, Summary: kind, Description: of.about, Security: []map[string][]string{},
			Parameters: []*huma.Param{
				header("X-Bambuddy-Event", "The event, as in the body.", kind),
				header("X-Bambuddy-Delivery", "Names the delivery; the same in every try.", "5f0c7a52-6f0e-4d7e-9a53-0d6f4b0f8d11"),
				header("X-Bambuddy-Signature", "Unix seconds of this try, and the hex HMAC-SHA256 of them, a dot and the body, with the webhook's secret.",
					"t=1705329000,v1=fba88ed23b8e957de390c3867a6dc8781fcd664b45255d8ac3e7804a2783c02c"),
			},
			RequestBody: &huma.RequestBody{Required: true, Description: "What happened.", Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{
				Type: huma.TypeObject, Required: []string{"event", "timestamp", "data"},
				Properties: map[string]*huma.Schema{"event": event, "timestamp": at, "data": doc.Components.Schemas.Schema(of.data, true, "")},
			}}}},
			Responses: map[string]*huma.Response{
				"2XX": {Description: "Taken."},
				"4XX": {Description: "Refused for good, except 408, 425 and 429: tried again."},
				"5XX": {Description: "Tried again."},
			},
		}}
	}
}
