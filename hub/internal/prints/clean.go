package prints

import (
	"strings"
	"unicode/utf8"

	"bambuddy/shared/wire"
)

// Bounds of what is taken over from printers' reports.
const (
	maxID   = 100
	maxName = 300
	maxText = 1000
)

// clean brings the texts of a record into what every database takes: PostgreSQL knows
// no zero byte, and one text it refuses would hold up all records behind it.
func clean(r wire.OutboxRecord) wire.OutboxRecord {
	r.Serial = tidy(r.Serial, maxID)
	if p := r.Print; p != nil {
		c := *p
		c.RunID, c.SubtaskID, c.PrintKind = tidy(c.RunID, maxID), tidy(c.SubtaskID, maxID), tidy(c.PrintKind, maxID)
		c.Name, c.File, c.Reason = tidy(c.Name, maxName), tidy(c.File, maxText), tidy(c.Reason, maxText)
		r.Print = &c
	}
	if f := r.File; f != nil {
		c := *f
		c.RunID, c.Name, c.Reason = tidy(c.RunID, maxID), tidy(c.Name, maxName), tidy(c.Reason, maxText)
		r.File = &c
	}
	if f := r.Fault; f != nil {
		c := *f
		c.Code, c.Severity, c.Message = tidy(c.Code, maxID), tidy(c.Severity, maxID), tidy(c.Message, maxText)
		r.Fault = &c
	}
	return r
}

// tidy takes out what no text holds, and cuts it to so many bytes.
func tidy(s string, limit int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "�"), "\x00", "")
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
