package bambu

import "encoding/json"

// PushAll asks for a full report. seq is a decimal number as a string, 20000…29999
// by custom. There is no answer but the report itself. P1 and A1 series take it
// badly when asked more often than Model.PushallBudget.
func PushAll(seq string) []byte {
	return []byte(`{"pushing":{"sequence_id":` + quote(seq) + `,"command":"pushall","version":1,"push_target":1}}`)
}

// GetVersion asks for the list of modules: model, serial number and firmware of
// the printer and of its AMS units. The answer is a payload of KindVersion.
func GetVersion(seq string) []byte {
	return []byte(`{"info":{"sequence_id":` + quote(seq) + `,"command":"get_version"}}`)
}

func quote(s string) string {
	b, _ := json.Marshal(s) // a string always marshals
	return string(b)
}
