package camera

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
)

// track is the H.264 track of a description.
type track struct {
	format  uint8    // RTP payload type
	control string   // its address, often relative
	params  [][]byte // SPS and PPS, when they are told here
}

// parseSDP finds the first H.264 track.
func parseSDP(text string) (track, error) {
	var t track
	inVideo, found := false, false
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\r", ""), "\n") {
		if media, ok := strings.CutPrefix(line, "m="); ok {
			if found {
				break
			}
			t = track{}
			inVideo = strings.HasPrefix(media, "video ")
			continue
		}
		attribute, ok := strings.CutPrefix(line, "a=")
		if !ok || !inVideo {
			continue
		}
		name, value, _ := strings.Cut(attribute, ":")
		switch name {
		case "control":
			t.control = strings.TrimSpace(value)
		case "rtpmap":
			format, codec, _ := strings.Cut(value, " ")
			n, err := strconv.ParseUint(format, 10, 7)
			if err == nil && strings.HasPrefix(strings.ToUpper(codec), "H264/") && !found {
				t.format, found = uint8(n), true
			}
		case "fmtp":
			t.params = append(t.params, spropSets(value)...)
		}
	}
	if !found {
		return t, errors.New("a description without an H.264 track")
	}
	return t, nil
}

// spropSets reads the parameter sets in "96 packetization-mode=1;sprop-parameter-sets=Z0…,aO…".
func spropSets(fmtp string) [][]byte {
	_, list, _ := strings.Cut(fmtp, " ")
	var sets [][]byte
	for part := range strings.SplitSeq(list, ";") {
		value, ok := strings.CutPrefix(strings.TrimSpace(part), "sprop-parameter-sets=")
		if !ok {
			continue
		}
		for text := range strings.SplitSeq(value, ",") {
			if set, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text)); err == nil && len(set) > 0 {
				sets = append(sets, set)
			}
		}
	}
	return sets
}
