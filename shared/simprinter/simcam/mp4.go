package simcam

import (
	"encoding/binary"
	"slices"
	"sync"
)

// MP4 is a short film as the printers with an H.264 camera record it. Its title is in
// it, so that no two films are the same. As in a file that is written while it is
// filmed, the index comes last: only the whole file plays.
func MP4(title string) []byte {
	return append(slices.Clone(mp4Film()), box("free", []byte(title))...)
}

// mp4Film is what all films have in common.
var mp4Film = sync.OnceValue(func() []byte {
	clip := near()
	out := box("ftyp", []byte("isom\x00\x00\x02\x00isomiso2avc1mp41"))
	first := len(out) + 8
	var data []byte
	var sizes, keys []uint32
	for i, f := range clip.frames {
		before := len(data)
		for _, unit := range f.units {
			if k := kind(unit); k == unitSPS || k == unitPPS { // those are in the index
				continue
			} else if k == unitKey {
				keys = append(keys, uint32(i+1))
			}
			data = append(append(data, long(uint32(len(unit)))...), unit...)
		}
		sizes = append(sizes, uint32(len(data)-before))
	}
	out = append(out, box("mdat", data)...)
	return append(out, mp4Index(clip, sizes, keys, uint32(first))...)
})

// mp4Index is the moov of a film whose frames lie one after the other from first on.
func mp4Index(c clip, sizes, keys []uint32, first uint32) []byte {
	frames := uint32(len(sizes))
	table := box("stbl",
		fullBox("stsd", long(1), mp4Format(c)),
		fullBox("stts", long(1, frames, 1)),
		fullBox("stss", long(uint32(len(keys))), long(keys...)),
		fullBox("stsc", long(1, 1, frames, 1)),
		fullBox("stsz", long(0, frames), long(sizes...)),
		fullBox("stco", long(1, first)))
	here := box("url ", long(1)) // the data is in this file
	media := box("mdia",
		fullBox("mdhd", long(0, 0, rate, frames, 0x55C40000)),
		fullBox("hdlr", long(0), []byte("vide"), make([]byte, 12), []byte("timelapse\x00")),
		box("minf", box("vmhd", long(1), make([]byte, 8)), box("dinf", fullBox("dref", long(1), here)), table))
	track := box("trak", box("tkhd", long(3, 0, 0, 1, 0, frames), make([]byte, 16), matrix(), long(Width<<16, Height<<16)), media)
	return box("moov", fullBox("mvhd", long(0, 0, rate, frames, 0x10000, 0x01000000, 0, 0), matrix(), make([]byte, 24), long(2)), track)
}

// mp4Format says how the frames are coded.
func mp4Format(c clip) []byte {
	codec := []byte{1, c.sps[1], c.sps[2], c.sps[3], 0xFF, 0xE1}
	codec = append(append(codec, short(uint16(len(c.sps)))...), c.sps...)
	codec = append(append(append(codec, 1), short(uint16(len(c.pps)))...), c.pps...)
	return box("avc1", make([]byte, 6), short(1), make([]byte, 16), short(Width, Height), long(72<<16, 72<<16, 0), short(1),
		make([]byte, 32), short(24, 0xFFFF), box("avcC", codec))
}

// matrix leaves the picture as it is.
func matrix() []byte { return long(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000) }

// box is a part of a film, with its length and its name.
func box(name string, parts ...[]byte) []byte {
	body := slices.Concat(parts...)
	return append(append(long(uint32(8+len(body))), name...), body...)
}

// fullBox is one of version 0 without flags.
func fullBox(name string, parts ...[]byte) []byte {
	return box(name, append([][]byte{long(0)}, parts...)...)
}

func long(numbers ...uint32) []byte {
	var out []byte
	for _, n := range numbers {
		out = binary.BigEndian.AppendUint32(out, n)
	}
	return out
}

func short(numbers ...uint16) []byte {
	var out []byte
	for _, n := range numbers {
		out = binary.BigEndian.AppendUint16(out, n)
	}
	return out
}
