package farm

import (
	"slices"
	"testing"
)

func TestWhatAWebhookWants(t *testing.T) {
	type event struct {
		kind          string
		printer, site int64
	}
	events := map[string]event{
		"print at 1": {EventPrintStarted, 1, 1}, "print at 2": {EventPrintFailed, 2, 2}, "of a removed printer": {EventPrintComplete, 0, 1},
		"agent of site 1": {EventAgentOffline, 0, 1}, "agent of site 2": {EventAgentOffline, 0, 2}, "of nothing": {EventWebhookDisabled, 0, 0},
		"not a webhook's": {EventPrinterAdded, 1, 1}, "a test": {EventWebhookTest, 0, 0}, "a printer of no site": {EventPrinterOnline, 1, 0},
	}
	for name, c := range map[string]struct {
		w    Webhook
		want []string
	}{
		"everything":      {Webhook{}, []string{"print at 1", "print at 2", "of a removed printer", "agent of site 1", "agent of site 2", "of nothing", "a printer of no site"}},
		"no event":        {Webhook{Events: []string{}}, nil},
		"some events":     {Webhook{Events: []string{EventPrintFailed, EventAgentOffline}}, []string{"print at 2", "agent of site 1", "agent of site 2"}},
		"a kind of ours":  {Webhook{Events: []string{EventPrinterAdded, EventWebhookTest}}, nil},
		"no printer":      {Webhook{Printers: []int64{}}, nil},
		"no site":         {Webhook{Sites: []int64{}}, nil},
		"printer 1":       {Webhook{Printers: []int64{1}}, []string{"print at 1", "a printer of no site"}},
		"site 1":          {Webhook{Sites: []int64{1}}, []string{"print at 1", "of a removed printer", "agent of site 1"}},
		"1 of site 1":     {Webhook{Printers: []int64{1}, Sites: []int64{1}}, []string{"print at 1"}},
		"1 of site 2":     {Webhook{Printers: []int64{1}, Sites: []int64{2}}, nil},
		"a zero in lists": {Webhook{Printers: []int64{0}, Sites: []int64{0}}, nil},
	} {
		var got []string
		for about, e := range events {
			if c.w.Wants(e.kind, e.printer, e.site) {
				got = append(got, about)
			}
		}
		slices.Sort(got)
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s wants %q, not %q", name, got, c.want)
		}
	}
}
