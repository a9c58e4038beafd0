package wire

import (
	"encoding/binary"
	"time"

	"bambuddy/shared/farm"
)

const (
	// CapCamera came 2026-11-24: the pictures of a printer's camera, on the bulk lane:
	//
	//	GET /v1/printers/{serial}/camera/stream?fps=   → frames, each one JPEG
	//	GET /v1/printers/{serial}/camera/h264          → frames, each one access unit of
	//	    H.264 in Annex B; the first is a key frame with its parameter sets.
	//	    UNSUPPORTED where the camera sends JPEG
	//	GET /v1/printers/{serial}/camera/snapshot      → one JPEG
	//
	// A frame is a FrameHeader and its bytes. A reader that is slow misses frames,
	// never parts of one. The agent keeps one session with the camera, however many
	// streams are open, and none when there is no stream.
	CapCamera Capability = "camera.v1"
)

// Limits of pictures.
const (
	MaxFrame        = 10 << 20 // bytes of one frame
	FrameHeaderSize = 16       // bytes
)

// FrameHeader stands before each frame: length (4 bytes), flags (1: key frame) and
// three bytes of 0, Unix milliseconds of its arrival at the agent (8 bytes), all of it
// big end first.
type FrameHeader struct {
	Length int
	Key    bool // it can be shown without those before it; true for every JPEG
	At     time.Time
}

const keyFlag = 1

// Append puts the header behind b.
func (h FrameHeader) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(h.Length)) // a frame is at most MaxFrame
	flags := byte(0)
	if h.Key {
		flags = keyFlag
	}
	b = append(b, flags, 0, 0, 0)
	return binary.BigEndian.AppendUint64(b, uint64(h.At.UnixMilli())) // after 1970
}

// ParseFrameHeader reads a header of FrameHeaderSize bytes.
func ParseFrameHeader(b []byte) (FrameHeader, error) {
	if len(b) < FrameHeaderSize {
		return FrameHeader{}, farm.Errorf(farm.Invalid, "a frame's header has %d bytes, this one %d", FrameHeaderSize, len(b))
	}
	n := binary.BigEndian.Uint32(b)
	if n == 0 || n > MaxFrame {
		return FrameHeader{}, farm.Errorf(farm.Invalid, "a frame of %d bytes: it has 1 to %d", n, MaxFrame)
	}
	ms := int64(binary.BigEndian.Uint64(b[8:])) // any value is a time
	return FrameHeader{Length: int(n), Key: b[4]&keyFlag != 0, At: time.UnixMilli(ms)}, nil
}
