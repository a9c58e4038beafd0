package farm

import (
	"slices"
	"time"
)

// EventWebhookDisabled tells that a webhook was switched off because it failed too long.
const EventWebhookDisabled = "webhook_disabled"

// WebhookEvents are the kinds of events that webhooks deliver, in the order they are
// shown. Others are news for the dashboard alone.
var WebhookEvents = []string{
	EventPrintStarted, EventPrintProgress, EventPrintPaused, EventPrintResumed, EventPrintComplete, EventPrintFailed, EventPrintStopped,
	EventPrinterOnline, EventPrinterOffline, EventPrinterError, EventErrorCleared,
	EventAgentOnline, EventAgentOffline, EventWebhookDisabled,
}

// EventWebhookTest is the event of a test delivery. Nobody subscribes to it.
const EventWebhookTest = "test"

// Webhook is an endpoint of somebody's that wants to be told of events. Its secret is
// kept sealed and handed out once.
type Webhook struct {
	ID        int64
	OwnerID   int64  // the person it belongs to: it is told of no more than they may see, and ends with them; 0: the hub itself
	UID       string // names it for the seal of its secret
	Name      string
	URL       string
	Events    []string // kinds; nil: all of WebhookEvents, empty: none
	Printers  []int64  // allow-list; nil: all, empty: none
	Sites     []int64  // allow-list; nil: all, empty: none
	CreatedBy string   // the name of who made it
	Enabled   bool

	DisabledReason string    // "" while enabled
	FailingSince   time.Time // of the first failure since the last success; zero: none
	Failures       int64     // deliveries that failed since the last success
	SinceEvent     int64     // only events after this one are its
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// Wants tells whether an event is the webhook's to deliver: of a kind it asked for and
// within its allow-lists. What is of no printer is heard by who is not limited to
// certain printers, what is of no site either by who is not limited at all.
func (w Webhook) Wants(kind string, printerID, siteID int64) bool {
	if !slices.Contains(WebhookEvents, kind) || w.Events != nil && !slices.Contains(w.Events, kind) {
		return false
	}
	return w.Covers(printerID, siteID)
}

// Covers tells whether what is of a printer (0: none) and a site (0: none) lies within
// the webhook's allow-lists.
func (w Webhook) Covers(printerID, siteID int64) bool {
	return covers(w.Printers, printerID) && covers(w.Sites, siteID)
}

func covers(list []int64, id int64) bool { return list == nil || id != 0 && slices.Contains(list, id) }

// DeliveryState is how far a delivery is.
type DeliveryState string

// The states of a delivery.
const (
	DeliveryPending   DeliveryState = "pending"
	DeliveryDelivered DeliveryState = "delivered"
	DeliveryDead      DeliveryState = "dead" // given up; a person may send it again
)

// Delivery is one event on its way to one webhook.
type Delivery struct {
	ID        int64
	UID       string // the same in every try
	WebhookID int64
	EventID   int64
	Event     string
	PrinterID int64     // 0: none
	SiteID    int64     // 0: none
	At        time.Time // when the event happened
	Body      []byte    // what is sent, byte for byte

	State     DeliveryState
	Tries     int64
	Since     time.Time // what tries are counted from: when it was made, or sent again
	NextAt    time.Time // not tried before; of a pending one
	TriedAt   time.Time // zero: never
	EndedAt   time.Time // delivered or given up; zero while pending
	CreatedAt time.Time
	Last      Attempt // the last try
}

// Attempt is one try of a delivery and how it ended.
type Attempt struct {
	Status   int    // of the answer; 0: none came
	Request  string // the head of what was sent
	Response string // the beginning of what was answered
	Error    string // why it failed; "": it did not
	Took     time.Duration
}

// DeliveryHead is a pending delivery that waits for no other one.
type DeliveryHead struct {
	ID     int64
	NextAt time.Time // not before
}

// DeliveryOutcome is what became of a try.
type DeliveryOutcome struct {
	Delivery Delivery // as it was claimed
	Claim    string
	At       time.Time
	Attempt  Attempt
	State    DeliveryState // pending: to be tried again
	NextAt   time.Time     // of a pending one

	// DisableAfter switches the webhook off that has failed that long.
	DisableAfter time.Duration
}
