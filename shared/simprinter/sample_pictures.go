package simprinter

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"image"
	"image/color"
	"image/draw"
	"image/png"
)

// The sizes of the pictures of a plate.
const (
	pictureSize = 512
	smallSize   = 128
)

// tones are the colours in which objects are drawn.
var tones = []color.NRGBA{
	{94, 67, 183, 255},
	{211, 41, 65, 255},
	{0, 137, 90, 255},
	{232, 126, 36, 255},
	{0, 118, 188, 255},
	{240, 196, 25, 255},
	{155, 158, 160, 255},
	{120, 72, 40, 255},
}

// toneOf gives each title a colour of its own, so that people can tell prints apart.
func toneOf(title string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(title)) // never fails
	return int(h.Sum32() % uint32(len(tones)))
}

// pictureKey is what a picture depends on.
type pictureKey struct {
	view          string
	tone, objects int
}

// views are the pictures of a plate. They say how many objects are on it, by which
// plates differ. The caller holds the lock.
func (s *samples) views(a sample, p samplePlate) []member {
	var out []member
	for _, v := range []struct{ view, name string }{
		{"plate", "plate_%d.png"}, {"small", "plate_%d_small.png"}, {"dark", "plate_no_light_%d.png"}, {"top", "top_%d.png"}, {"pick", "pick_%d.png"},
	} {
		key := pictureKey{v.view, a.tone, p.objects}
		b, ok := s.pictures[key]
		if !ok {
			b = drawn(key)
			if s.pictures == nil {
				s.pictures = map[pictureKey][]byte{}
			}
			s.pictures[key] = b
		}
		out = append(out, member{"Metadata/" + fmt.Sprintf(v.name, p.number), b})
	}
	return out
}

// drawn shows objects in rows on a see-through ground.
func drawn(key pictureKey) []byte {
	size := pictureSize
	if key.view == "small" {
		size = smallSize
	}
	canvas := image.NewNRGBA(image.Rect(0, 0, size, size))
	paint := func(x0, y0, x1, y1 int, c color.NRGBA) { // in 64ths of the size
		draw.Draw(canvas, image.Rect(x0*size/64, y0*size/64, x1*size/64, y1*size/64), image.NewUniform(c), image.Point{}, draw.Src)
	}
	if key.view == "plate" || key.view == "small" {
		paint(2, 2, 62, 62, color.NRGBA{70, 72, 76, 255})
	}
	for i := range key.objects {
		x, y := 6+14*(i%4), 14+22*(i/4)
		face := tones[key.tone]
		switch key.view {
		case "pick": // the colour says which object it is
			face = color.NRGBA{R: uint8(i + 1), A: 255}
		case "dark":
			face.R, face.G, face.B = face.R/2, face.G/2, face.B/2
		case "plate", "small":
			paint(x+2, y-2, x+12, y+10, color.NRGBA{face.R / 2, face.G / 2, face.B / 2, 255})
		}
		paint(x, y, x+10, y+12, face)
	}
	var out bytes.Buffer
	_ = png.Encode(&out, canvas) // a buffer takes everything
	return out.Bytes()
}
