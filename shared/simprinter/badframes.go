package simprinter

import (
	"bytes"
	"strings"
)

// The frames of the faults garbage, non_utf8, oversized and hostile.

func junk() []byte { return []byte("\x00\xff{\"print\":{\"mc_percent\":") }

func brokenText() []byte {
	return []byte("{\"print\":{\"command\":\"push_status\",\"msg\":1,\"subtask_name\":\"W\xfcrfel\"}}")
}

func huge() []byte {
	return append(append([]byte(`{"print":{"command":"push_status","subtask_name":"`), bytes.Repeat([]byte("x"), 2<<20)...), `"}}`...)
}

func nasty() []byte {
	deep := strings.Repeat("[", 20000) + strings.Repeat("]", 20000)
	return []byte(`{"print":{"command":"push_status","msg":1,"mc_percent":"many","layer_num":1e400,"nozzle_temper":{},"ams":[],"hms":{"attr":null},"stg":` + deep + `}}`)
}
