package outbox

import (
	"encoding/json"
	"hash/crc32"
	"strings"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// longText is what is kept of a text in a record that would be too long: no record
// stays away because a printer was given a silly name.
const longText = 512

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) int64 { return int64(crc32.Checksum(b, castagnoli)) }

// seal is the checksum of a record: of its body and its number. It moves with the
// number when another epoch begins.
func seal(n int64, body []byte) int64 { return checksum(body) + n }

// encode gives the body of a record, in which its number does not stand.
func encode(r wire.OutboxRecord) ([]byte, error) {
	r.N = 0
	body, err := json.Marshal(r)
	if err != nil || len(body) <= wire.MaxOutboxRecord {
		return body, err
	}
	if body, err = json.Marshal(shorten(r)); err != nil || len(body) <= wire.MaxOutboxRecord {
		return body, err
	}
	return nil, farm.Errorf(farm.TooLarge, "a record of %d bytes", len(body))
}

// decode reads a record; one that is damaged becomes a gap in its place.
func (b *Outbox) decode(n int64, body []byte, sealed int64) wire.OutboxRecord {
	var r wire.OutboxRecord
	if seal(n, body) == sealed && json.Unmarshal(body, &r) == nil {
		r.N = n
		return r
	}
	b.log.Error("a record of the journal is damaged", "n", n)
	now := b.clock()
	return wire.OutboxRecord{
		N: n, WallMS: now.WallMS, MonoMS: now.MonoMS, ProcessID: now.ProcessID, Kind: wire.GapKind,
		Gap: &wire.GapRecord{From: n, To: n, Reason: "the agent's journal was damaged"},
	}
}

// shorten gives a copy of a record with its texts cut.
func shorten(r wire.OutboxRecord) wire.OutboxRecord {
	if r.Print != nil {
		p := *r.Print
		cut(&p.SubtaskID, &p.Name, &p.File, &p.PrintKind, &p.Reason)
		r.Print = &p
	}
	if r.Fault != nil {
		f := *r.Fault
		cut(&f.Code, &f.Module, &f.Message)
		r.Fault = &f
	}
	if r.File != nil {
		f := *r.File
		cut(&f.Name, &f.Reason)
		r.File = &f
	}
	return r
}

func cut(texts ...*string) {
	for _, t := range texts {
		if len(*t) > longText {
			*t = strings.ToValidUTF8((*t)[:longText], "")
		}
	}
}
