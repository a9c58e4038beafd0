package simcam

import (
	"bytes"
	_ "embed"
	"sync"
)

// The clips were made with ffmpeg's test source: 1280x720 at 25 frames a second,
// High profile, no B-frames, each key frame with its parameter sets before it.
//
//	X="-pix_fmt yuv420p -c:v libx264 -preset veryslow -profile:v high -level 3.1 -bf 0 -sc_threshold 0 -bsf:v filter_units=remove_types=6 -f h264"
//	ffmpeg -f lavfi -i testsrc=size=1280x720:rate=25       -t 4  -crf 34 -g 25  -keyint_min 25  -x264-params repeat-headers=1:slices=1 $X clips/near.h264
//	ffmpeg -f lavfi -i testsrc=size=1280x720:rate=2,fps=25 -t 10 -crf 36 -g 250 -keyint_min 250 -x264-params repeat-headers=1:slices=1 $X clips/far.h264

//go:embed clips/near.h264
var nearBytes []byte

//go:embed clips/far.h264
var farBytes []byte

// rate is how many frames a second the clips have.
const rate = 25

// clip is a loop of video that begins with a key frame.
type clip struct {
	frames   []frame
	sps, pps []byte // of the first frame
}

// frame is one access unit.
type frame struct {
	units [][]byte // its NAL units
}

// Clips are read when the first viewer asks for them.
var (
	near = sync.OnceValue(func() clip { return readClip(nearBytes) })
	far  = sync.OnceValue(func() clip { return readClip(farBytes) })
)

// The kinds of NAL units that occur.
const (
	unitKey = 5
	unitSPS = 7
	unitPPS = 8
)

func kind(unit []byte) byte { return unit[0] & 0x1F }

// readClip takes an Annex B stream apart. Each frame ends with its only slice.
func readClip(stream []byte) clip {
	var c clip
	var f frame
	for unit := range bytes.SplitSeq(stream, []byte{0, 0, 1}) {
		unit = bytes.TrimRight(unit, "\x00") // the rest of a longer start code
		if len(unit) == 0 {
			continue
		}
		f.units = append(f.units, unit)
		switch kind(unit) {
		case unitSPS:
			c.sps = unit
		case unitPPS:
			c.pps = unit
		default:
			c.frames = append(c.frames, f)
			f = frame{}
		}
	}
	return c
}
