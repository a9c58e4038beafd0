package simcam

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"slices"
	"sync"
)

// The films of the A and P series: small pictures, one by one.
const (
	aviWidth  = 320
	aviHeight = 180
	aviFrames = 24
	aviRate   = 12 // frames a second
)

// AVI is a short film as the printers with a JPEG camera record it. Its title is in
// it, so that no two films are the same.
func AVI(title string) []byte {
	info := list("INFO", chunk("INAM", append([]byte(title), 0)))
	head, rest := aviHead(), aviBody()
	return chunk("RIFF", slices.Concat([]byte("AVI "), head, info, rest))
}

// Still is a small picture of a finished print, as it lies beside a film.
func Still() []byte { return slices.Clone(aviPictures()[aviFrames-1]) }

// aviPictures are the frames: an object that grows.
var aviPictures = sync.OnceValue(func() [][]byte {
	canvas := image.NewRGBA(image.Rect(0, 0, aviWidth, aviHeight))
	paint := func(r image.Rectangle, c color.RGBA) {
		draw.Draw(canvas, r, image.NewUniform(c), image.Point{}, draw.Src)
	}
	out := make([][]byte, aviFrames)
	for i := range out {
		paint(canvas.Rect, color.RGBA{44, 46, 50, 255})
		paint(image.Rect(60, 150, 260, 156), color.RGBA{120, 120, 120, 255})
		paint(image.Rect(130, 150-(i+1)*110/aviFrames, 190, 150), color.RGBA{232, 126, 36, 255})
		var b bytes.Buffer
		_ = jpeg.Encode(&b, canvas, &jpeg.Options{Quality: 60}) // a buffer takes everything
		out[i] = b.Bytes()
	}
	return out
})

// aviHead tells how the film is made.
func aviHead() []byte {
	most := len(slices.MaxFunc(aviPictures(), func(a, b []byte) int { return len(a) - len(b) }))
	const hasIndex = 0x10
	main := little(1_000_000/aviRate, uint32(most*aviRate), 0, hasIndex, aviFrames, 0, 1, uint32(most), aviWidth, aviHeight, 0, 0, 0, 0)
	stream := slices.Concat([]byte("vidsMJPG"), little(0, 0, 0, 1, aviRate, 0, aviFrames, uint32(most), 0xFFFFFFFF, 0, 0, aviWidth|aviHeight<<16))
	format := slices.Concat(little(40, aviWidth, aviHeight, 1|24<<16), []byte("MJPG"), little(aviWidth*aviHeight*3, 0, 0, 0, 0))
	return list("hdrl", chunk("avih", main), list("strl", chunk("strh", stream), chunk("strf", format)))
}

// aviBody is the frames and where each lies.
func aviBody() []byte {
	var frames, index []byte
	for _, p := range aviPictures() {
		const key = 0x10
		index = append(append(index, "00dc"...), little(key, uint32(4+len(frames)), uint32(len(p)))...)
		frames = append(frames, chunk("00dc", p)...)
	}
	return append(list("movi", frames), chunk("idx1", index)...)
}

// chunk is a part of a film; its length is made even.
func chunk(name string, body []byte) []byte {
	out := append(append([]byte(name), little(uint32(len(body)))...), body...)
	if len(body)%2 == 1 {
		out = append(out, 0)
	}
	return out
}

func list(kind string, parts ...[]byte) []byte {
	return chunk("LIST", append([]byte(kind), slices.Concat(parts...)...))
}

func little(numbers ...uint32) []byte {
	var out []byte
	for _, n := range numbers {
		out = binary.LittleEndian.AppendUint32(out, n)
	}
	return out
}
