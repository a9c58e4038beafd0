package settings

import (
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"bambuddy/shared/farm"
)

// Values are all settings. A snapshot is shared: nobody changes one.
type Values struct {
	Limits   LimitSettings   `json:"limits" doc:"Requests a minute, by class of route."`
	Sessions SessionSettings `json:"sessions" doc:"How long people stay signed in."`

	CORSOrigins []string `json:"cors_origins" maxItems:"50" doc:"Pages of these origins may call the API from a browser, with a key; [\"*\"]: of every one. Empty: none." example:"[\"https://tools.example\"]"`

	PrinterOfflineSeconds int   `json:"printer_offline_seconds" minimum:"1" maximum:"86400" doc:"How long a printer or an agent must be away before that is an event."`
	Milestones            []int `json:"milestones" maxItems:"19" doc:"Percent at which print_progress is told, each once per print: multiples of 5, from 5 to 95. Empty: never."`

	Webhooks WebhookSettings `json:"webhooks" doc:"How events are delivered."`

	EventsKeepDays int `json:"events_keep_days" minimum:"1" maximum:"3650" doc:"How long events are kept."`
	AuditKeepDays  int `json:"audit_keep_days" minimum:"0" maximum:"36500" doc:"How long the audit is kept; 0: for ever."`

	Currency       string             `json:"currency" doc:"What costs are in, as ISO 4217 writes it." example:"EUR"`
	FilamentPrices map[string]float64 `json:"filament_prices" doc:"Price per kg of each type of filament; a type that is not here costs filament_price."`
	FilamentPrice  float64            `json:"filament_price" minimum:"0" maximum:"100000" doc:"Price per kg of every other type."`
	MachineRate    float64            `json:"machine_rate" minimum:"0" maximum:"100000" doc:"What an hour of printing costs besides."`
}

// LimitSettings are requests a minute.
type LimitSettings struct {
	Read    int `json:"read" minimum:"1" maximum:"1000000000" doc:"Reads of a key that has no limit of its own, and of an address without a key."`
	Write   int `json:"write" minimum:"1" maximum:"1000000000" doc:"The same for writes."`
	Control int `json:"control" minimum:"1" maximum:"1000000000" doc:"The same for commands to printers and agents."`
	Session int `json:"session" minimum:"1" maximum:"1000000000" doc:"Requests of any class by a person who is signed in."`
}

// Keys are the limits of keys.
func (l LimitSettings) Keys() farm.Limits {
	return farm.Limits{Read: l.Read, Write: l.Write, Control: l.Control}
}

// SessionSettings are about people who are signed in.
type SessionSettings struct {
	IdleMinutes  int `json:"idle_minutes" minimum:"5" maximum:"525600" doc:"Signed out after so long without a request."`
	AbsoluteDays int `json:"absolute_days" minimum:"1" maximum:"365" doc:"Signed out after so long in any case."`

	FailedSignIns int `json:"failed_sign_ins" minimum:"1" maximum:"1000000" doc:"So many sign-ins of one account, and from one address, may fail in 15 minutes before more are refused."`
}

// Idle is how long a session lasts without a request.
func (s SessionSettings) Idle() time.Duration { return time.Duration(s.IdleMinutes) * time.Minute }

// Absolute is how long a session lasts at most.
func (s SessionSettings) Absolute() time.Duration { return days(s.AbsoluteDays) }

// WebhookSettings are about the delivery of events.
type WebhookSettings struct {
	AllowPrivate      bool `json:"allow_private" doc:"Endpoints may be in private networks."`
	RetryHours        int  `json:"retry_hours" minimum:"1" maximum:"168" doc:"A delivery is tried for so long."`
	DisableAfterHours int  `json:"disable_after_hours" minimum:"1" maximum:"8760" doc:"A webhook is disabled when for so long nothing has been delivered."`
	KeepDays          int  `json:"keep_days" minimum:"1" maximum:"365" doc:"How long deliveries are kept."`
}

// Defaults are the values of a hub that nobody has set anything of: the one source
// of them.
func Defaults() Values {
	return Values{
		Limits:                LimitSettings{Read: 100, Write: 30, Control: 10, Session: 6000},
		Sessions:              SessionSettings{IdleMinutes: 7 * 24 * 60, AbsoluteDays: 30, FailedSignIns: 10},
		CORSOrigins:           []string{},
		PrinterOfflineSeconds: 60,
		Milestones:            []int{25, 50, 75},
		Webhooks:              WebhookSettings{RetryHours: 24, DisableAfterHours: 72, KeepDays: 30},
		EventsKeepDays:        30,
		AuditKeepDays:         365,
		Currency:              "EUR",
		FilamentPrices:        map[string]float64{},
		FilamentPrice:         25,
	}
}

// OfflineAfter is how long a printer must be away before that is an event.
func (v Values) OfflineAfter() time.Duration {
	return time.Duration(v.PrinterOfflineSeconds) * time.Second
}

// EventsKeep is how long events are kept.
func (v Values) EventsKeep() time.Duration { return days(v.EventsKeepDays) }

// AuditKeep is how long the audit is kept; 0: for ever.
func (v Values) AuditKeep() time.Duration { return days(v.AuditKeepDays) }

// Prices are what a print costs.
func (v Values) Prices() farm.Prices {
	return farm.Prices{Types: v.FilamentPrices, PerKG: v.FilamentPrice, PerHour: v.MachineRate}
}

// AllowsOrigin tells whether pages of an origin may call.
func (v Values) AllowsOrigin(origin string) bool {
	if len(v.CORSOrigins) == 0 {
		return false
	}
	return slices.Contains(v.CORSOrigins, "*") || slices.Contains(v.CORSOrigins, strings.ToLower(origin))
}

func days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

// What lists may hold.
const (
	maxOrigins   = 50
	maxPrices    = 200
	maxPriceName = 32
	maxPrice     = 100_000
	maxLimit     = 1_000_000_000
)

// check brings values into form, and tells which of them cannot be.
func (v *Values) check() error {
	for _, n := range []struct {
		name        string
		value       int
		least, most int
	}{
		{"limits.read", v.Limits.Read, 1, maxLimit},
		{"limits.write", v.Limits.Write, 1, maxLimit},
		{"limits.control", v.Limits.Control, 1, maxLimit},
		{"limits.session", v.Limits.Session, 1, maxLimit},
		{"sessions.idle_minutes", v.Sessions.IdleMinutes, 5, 525_600},
		{"sessions.absolute_days", v.Sessions.AbsoluteDays, 1, 365},
		{"sessions.failed_sign_ins", v.Sessions.FailedSignIns, 1, 1_000_000},
		{"printer_offline_seconds", v.PrinterOfflineSeconds, 1, 86_400},
		{"webhooks.retry_hours", v.Webhooks.RetryHours, 1, 168},
		{"webhooks.disable_after_hours", v.Webhooks.DisableAfterHours, 1, 8_760},
		{"webhooks.keep_days", v.Webhooks.KeepDays, 1, 365},
		{"events_keep_days", v.EventsKeepDays, 1, 3_650},
		{"audit_keep_days", v.AuditKeepDays, 0, 36_500},
	} {
		if n.value < n.least || n.value > n.most {
			return farm.Errorf(farm.Invalid, "%s: from %d to %d", n.name, n.least, n.most)
		}
	}
	if err := v.checkOrigins(); err != nil {
		return err
	}
	if err := v.checkMilestones(); err != nil {
		return err
	}
	return v.checkPrices()
}

func (v *Values) checkMilestones() error {
	out := make([]int, 0, len(v.Milestones))
	for i, m := range v.Milestones {
		switch {
		case m%5 != 0 || m < 5 || m > 95:
			return farm.Errorf(farm.Invalid, "milestones[%d]: a multiple of 5, from 5 to 95", i)
		case slices.Contains(out, m):
			return farm.Errorf(farm.Invalid, "milestones[%d]: is there twice", i)
		}
		out = append(out, m)
	}
	slices.Sort(out)
	v.Milestones = out
	return nil
}

var currency = regexp.MustCompile(`^[A-Z]{3}$`)

func (v *Values) checkPrices() error {
	if !currency.MatchString(v.Currency) {
		return farm.Errorf(farm.Invalid, "currency: three capital letters, as EUR")
	}
	if len(v.FilamentPrices) > maxPrices {
		return farm.Errorf(farm.Invalid, "filament_prices: at most %d", maxPrices)
	}
	if v.FilamentPrices == nil {
		v.FilamentPrices = map[string]float64{}
	}
	for name, price := range v.FilamentPrices {
		if name == "" || len(name) > maxPriceName || strings.TrimSpace(name) != name || strings.ContainsFunc(name, odd) {
			return farm.Errorf(farm.Invalid, "filament_prices: a type has 1 to %d characters", maxPriceName)
		}
		if err := checkPrice("filament_prices."+name, price); err != nil {
			return err
		}
	}
	if err := checkPrice("filament_price", v.FilamentPrice); err != nil {
		return err
	}
	return checkPrice("machine_rate", v.MachineRate)
}

func odd(r rune) bool { return r < ' ' || r > '~' }

func checkPrice(name string, price float64) error {
	if math.IsNaN(price) || price < 0 || price > maxPrice {
		return farm.Errorf(farm.Invalid, "%s: from 0 to %d", name, maxPrice)
	}
	return nil
}

func (v *Values) checkOrigins() error {
	if len(v.CORSOrigins) > maxOrigins {
		return farm.Errorf(farm.Invalid, "cors_origins: at most %d", maxOrigins)
	}
	out := make([]string, 0, len(v.CORSOrigins))
	for i, given := range v.CORSOrigins {
		origin, err := originOf(given)
		if err != nil {
			return farm.Errorf(farm.Invalid, "cors_origins[%d]: %v", i, err)
		}
		if !slices.Contains(out, origin) {
			out = append(out, origin)
		}
	}
	v.CORSOrigins = out
	return nil
}

var hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)

// originOf brings an origin into the form in which browsers send it.
func originOf(given string) (string, error) {
	if given == "*" {
		return given, nil
	}
	wrong := fmt.Errorf("an origin, as https://tools.example or http://10.0.0.5:3000, or *")
	u, err := url.Parse(given)
	if err != nil || len(given) > 300 || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" ||
		strings.ContainsAny(given, "?#") || strings.HasSuffix(u.Host, ":") {
		return "", wrong
	}
	scheme, host, port := strings.ToLower(u.Scheme), strings.ToLower(u.Hostname()), u.Port()
	if scheme != "http" && scheme != "https" {
		return "", wrong
	}
	switch ip, err := netip.ParseAddr(host); {
	case err == nil && ip.Zone() == "" && strings.HasPrefix(u.Host, "[") == ip.Is6():
		if host = ip.String(); ip.Is6() {
			host = "[" + host + "]"
		}
	case err == nil, !hostName.MatchString(host):
		return "", wrong
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return "", wrong
		}
		if (scheme == "http" && n != 80) || (scheme == "https" && n != 443) {
			host += ":" + strconv.FormatUint(n, 10)
		}
	}
	return scheme + "://" + host, nil
}
