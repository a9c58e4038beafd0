package bambu

import (
	"slices"
	"strconv"
	"strings"
)

// signedSince is the first firmware of a model that only obeys signed commands
// unless developer mode is on. Models that are not listed had it from the start.
var signedSince = map[string][]int{
	"A1": {1, 5}, "A1MINI": {1, 5},
	"P1P": {1, 8, 2}, "P1S": {1, 8, 2},
	"X1": {1, 8, 50, 32}, "X1C": {1, 8, 50, 32},
	"H2D": {1, 1},
}

// Lenient tells whether a firmware is so old that it obeys commands in every
// mode. Of a model or a version that is not known it is false.
func (m Model) Lenient(firmware string) bool {
	since, listed := signedSince[m.Code]
	v, ok := ParseFirmware(firmware)
	return listed && ok && slices.Compare(v, since) < 0
}

// ParseFirmware reads a version like "01.08.02.00" into numbers that compare with
// slices.Compare.
func ParseFirmware(s string) ([]int, bool) {
	if len(s) > 32 {
		return nil, false
	}
	var v []int
	for part := range strings.SplitSeq(s, ".") {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return nil, false
		}
		v = append(v, int(n))
	}
	return v, len(v) >= 2
}
