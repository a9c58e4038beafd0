package webhook

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"bambuddy/shared/farm"
)

// What the data of each event holds, in this order. These are promises to other
// people's programs: what else the event table tells stays here.
var (
	printKeys   = []string{"printer_id", "printer_name", "archive_id", "filename", "duration", "status"}
	printerKeys = []string{"printer_id", "printer_name"}
	faultKeys   = []string{"printer_id", "printer_name", "code", "severity", "message"}
	agentKeys   = []string{"agent_id", "agent_name"}

	keysOf = map[string][]string{
		farm.EventPrintStarted:    printKeys,
		farm.EventPrintProgress:   append(slices.Clone(printKeys), "progress"),
		farm.EventPrintPaused:     printKeys,
		farm.EventPrintResumed:    printKeys,
		farm.EventPrintComplete:   printKeys,
		farm.EventPrintFailed:     append(slices.Clone(printKeys), "failure_reason"),
		farm.EventPrintStopped:    printKeys,
		farm.EventPrinterOnline:   printerKeys,
		farm.EventPrinterOffline:  printerKeys,
		farm.EventPrinterError:    faultKeys,
		farm.EventErrorCleared:    faultKeys,
		farm.EventAgentOnline:     agentKeys,
		farm.EventAgentOffline:    agentKeys,
		farm.EventWebhookDisabled: {"webhook_id", "webhook_name", "reason"},
		farm.EventWebhookTest:     {"webhook_id", "webhook_name", "message"},
	}
)

// Body is what is sent of an event. What is not known is null. Data that is not
// readable is an error, beside a body of which nothing is known.
func Body(kind string, at time.Time, data []byte) ([]byte, error) {
	var known map[string]json.RawMessage
	err := json.Unmarshal(data, &known)
	if err != nil {
		known, err = nil, fmt.Errorf("read the data of %s: %w", kind, err)
	}
	b := fmt.Appendf(nil, `{"event":%q,"timestamp":%q,"data":{`, kind, at.UTC().Format("2006-01-02T15:04:05Z"))
	for i, key := range keysOf[kind] {
		if i > 0 {
			b = append(b, ',')
		}
		value := known[key]
		if len(value) == 0 {
			value = json.RawMessage("null")
		}
		b = fmt.Appendf(b, "%q:%s", key, value)
	}
	return append(b, "}}"...), err
}
