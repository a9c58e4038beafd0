package api

import (
	"context"
	"encoding/json"
	"fmt"

	"bambuddy/shared/farm"
)

// Delivery is one event on its way to one webhook, and what became of it.
type Delivery struct {
	ID            int64             `json:"id" doc:"Its id." example:"42"`
	WebhookID     int64             `json:"webhook_id" doc:"Whose it is." example:"1"`
	DeliveryID    string            `json:"delivery_id" doc:"As in X-Bambuddy-Delivery; the same in every try." example:"5f0c7a52-6f0e-4d7e-9a53-0d6f4b0f8d11"`
	Event         string            `json:"event" doc:"What happened." example:"print_complete"`
	EventID       *int64            `json:"event_id" doc:"Its id in GET /events; null: a test." example:"1234"`
	PrinterID     *int64            `json:"printer_id" doc:"Of which printer it is; null: of none." example:"1"`
	SiteID        *int64            `json:"site_id" doc:"Of which site it is; null: of none." example:"1"`
	Timestamp     instant           `json:"timestamp" doc:"When the event happened."`
	State         string            `json:"state" enum:"pending,delivered,dead" doc:"dead: given up; it can be sent again by hand." example:"delivered"`
	Tries         int64             `json:"tries" doc:"How often it has been tried." example:"1"`
	Status        *int              `json:"status" doc:"The HTTP status of the last answer; null: none came." example:"200"`
	Error         *string           `json:"error" doc:"Why the last try failed; null: it did not." example:"no answer within 10 s"`
	TookMS        *int64            `json:"took_ms" doc:"Milliseconds the last try took; null: not tried yet." example:"87"`
	CreatedAt     instant           `json:"created_at" doc:"When it was put down."`
	LastAttemptAt nullable[instant] `json:"last_attempt_at" doc:"Null: not tried yet."`
	NextAttemptAt nullable[instant] `json:"next_attempt_at" doc:"Not before; null: it has ended."`
	EndedAt       nullable[instant] `json:"ended_at" doc:"When it was delivered or given up."`
}

// DeliveryDetail is a delivery with what was sent and what was answered.
type DeliveryDetail struct {
	Delivery
	Request  *string         `json:"request" doc:"The head of the last request, its first 2 KiB; null: not tried yet." example:"POST /bambuddy\nHost: hooks.example.com\n"`
	Body     json.RawMessage `json:"body" doc:"What is sent, byte for byte but for white space." example:"{\"event\":\"printer_online\",\"timestamp\":\"2024-01-15T14:30:00Z\",\"data\":{\"printer_id\":1,\"printer_name\":\"Workshop X1C\"}}"`
	Response *string         `json:"response" doc:"The beginning of the last answer: 2 KiB of its head, 4 KiB of its body; null: none came." example:"200 OK\nContent-Type: text/plain\n\nok"`
}

const webhooksAbout = "Every event is sent by `POST` as `{\"event\", \"timestamp\", \"data\"}`, signed, at least once, of each printer in order. The answer holds the secret, once.\n\n" +
	"Events: `%s`. How to receive them, with examples, and what is sent of each, is in docs/webhooks.md. " +
	"An endpoint has 10 s to answer; what it does not take is tried again for 24 hours (a setting), except when it refuses it with 4xx other than 408, 425 and 429. There can be 64 webhooks; one more is 409."

type listDeliveriesInput struct {
	ByID
	State  string `query:"state" enum:"pending,delivered,dead" doc:"Only these." example:"dead"`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"At most this many."`
	Offset int    `query:"offset" minimum:"0" doc:"Skip this many."`
	Cursor int64  `query:"cursor" minimum:"0" doc:"As X-Next-Cursor said."`
}

type listDeliveriesOutput struct {
	Total int    `header:"X-Total-Count" doc:"How many there are in all."`
	Next  string `header:"X-Next-Cursor" doc:"For the next page; absent on the last."`
	Body  []Delivery
}

func (h webhookHandlers) deliveries(ctx context.Context, in *listDeliveriesInput) (*listDeliveriesOutput, error) {
	if _, err := h.one(ctx, in.ID); err != nil {
		return nil, err
	}
	rows, total, err := h.webhooks.Deliveries(ctx, in.ID, farm.DeliveryState(in.State), in.Cursor, in.Limit+1, in.Offset) // one more tells whether there are more
	if err != nil {
		return nil, err
	}
	out := &listDeliveriesOutput{Total: total}
	if len(rows) > in.Limit {
		rows = rows[:in.Limit]
		out.Next = fmt.Sprint(rows[in.Limit-1].ID)
	}
	out.Body = mapped(rows, deliveryOf)
	return out, nil
}

// ByDelivery is the input of what names one delivery of a webhook.
type ByDelivery struct {
	ByID
	DeliveryID int64 `path:"delivery_id" minimum:"1" doc:"The id of the delivery." example:"1"`
}

func (h webhookHandlers) delivery(ctx context.Context, in *ByDelivery) (*body[DeliveryDetail], error) {
	if _, err := h.one(ctx, in.ID); err != nil {
		return nil, err
	}
	v, err := h.webhooks.Delivery(ctx, in.ID, in.DeliveryID)
	if err != nil {
		return nil, err
	}
	return &body[DeliveryDetail]{DeliveryDetail{
		Delivery: deliveryOf(v), Request: orNull(v.Last.Request), Body: v.Body, Response: orNull(v.Last.Response),
	}}, nil
}

func (h webhookHandlers) redeliver(ctx context.Context, in *ByDelivery) (*body[Delivery], error) {
	if _, err := h.one(ctx, in.ID); err != nil {
		return nil, err
	}
	v, err := h.webhooks.Redeliver(ctx, in.ID, in.DeliveryID)
	if err != nil {
		return nil, err
	}
	return &body[Delivery]{deliveryOf(v)}, nil
}

func deliveryOf(v farm.Delivery) Delivery {
	out := Delivery{
		ID: v.ID, WebhookID: v.WebhookID, DeliveryID: v.UID, Event: v.Event, EventID: orNull(v.EventID), PrinterID: orNull(v.PrinterID), SiteID: orNull(v.SiteID),
		Timestamp: instant{v.At}, State: string(v.State), Tries: v.Tries, Status: orNull(v.Last.Status), Error: orNull(v.Last.Error),
		CreatedAt: instant{v.CreatedAt}, LastAttemptAt: someTime(v.TriedAt), EndedAt: someTime(v.EndedAt),
	}
	if !v.TriedAt.IsZero() {
		took := v.Last.Took.Milliseconds()
		out.TookMS = &took
	}
	if v.State == farm.DeliveryPending {
		out.NextAttemptAt = someTime(v.NextAt)
	}
	return out
}
