package simcam

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"strings"
	"sync"
	"time"
)

// Width and Height are the size of a JPEG picture.
const (
	Width  = 1280
	Height = 720
)

// Scene is what there is to see.
type Scene struct {
	Serial  string
	Name    string
	State   string // gcode_state
	Percent int    // of the print
}

// tone is a colour: brightness, and two differences.
type tone struct{ y, cb, cr byte }

var (
	white  = tone{235, 128, 128}
	grey   = tone{120, 128, 128}
	green  = tone{150, 70, 60}
	orange = tone{160, 60, 190}
)

// wall is the empty chamber, grainy as the pictures of a cheap camera are. It is
// painted once and copied since.
var wall = sync.OnceValue(func() *image.YCbCr {
	m := image.NewYCbCr(image.Rect(0, 0, Width, Height), image.YCbCrSubsampleRatio420)
	seed := uint32(1)
	for y := range Height {
		for x := range Width {
			seed = seed*1664525 + 1013904223
			m.Y[y*m.YStride+x] = byte(40 + y/16 + x/64 + int(seed>>29))
		}
	}
	for i := range m.Cb {
		m.Cb[i], m.Cr[i] = 130, 124
	}
	return m
})

// painter draws and packs pictures, with buffers of its own. One goroutine uses it.
type painter struct {
	canvas *image.YCbCr
	packed bytes.Buffer
	out    bytes.Buffer
}

func newPainter() *painter {
	return &painter{canvas: image.NewYCbCr(image.Rect(0, 0, Width, Height), image.YCbCrSubsampleRatio420)}
}

// jfif is the segment that marks the file as JFIF 1.1. Go's encoder leaves it out,
// but readers look for FF D8 FF E0.
var jfif = []byte{0xFF, 0xE0, 0, 16, 'J', 'F', 'I', 'F', 0, 1, 1, 0, 0, 1, 0, 1, 0, 0}

// paint gives a baseline JPEG, which holds until the next call.
func (p *painter) paint(s Scene) ([]byte, error) {
	p.draw(s, time.Now())
	p.out.Reset()
	p.packed.Reset()
	if err := jpeg.Encode(&p.packed, p.canvas, &jpeg.Options{Quality: 75}); err != nil {
		return nil, fmt.Errorf("pack the picture: %w", err)
	}
	b := p.packed.Bytes()
	p.out.Write(b[:2])
	p.out.Write(jfif)
	p.out.Write(b[2:])
	return p.out.Bytes(), nil
}

// draw shows the plate with as much of the object as is printed, the head, and
// what is written in the corners.
func (p *painter) draw(s Scene, now time.Time) {
	w := wall()
	copy(p.canvas.Y, w.Y)
	copy(p.canvas.Cb, w.Cb)
	copy(p.canvas.Cr, w.Cr)

	const plate = 600
	percent := min(max(s.Percent, 0), 100)
	tall := percent * 340 / 100
	p.fill(image.Rect(340, plate, 940, plate+16), grey)
	p.fill(image.Rect(520, plate-tall, 760, plate), orange)
	head := 640
	if s.State == "RUNNING" {
		head = 480 + int(now.UnixMilli()/4%320)
	}
	p.fill(image.Rect(head-30, plate-tall-70, head+30, plate-tall-14), grey)
	p.fill(image.Rect(head-6, plate-tall-14, head+6, plate-tall), white)

	p.fill(image.Rect(40, 664, 1240, 688), tone{24, 128, 128})
	p.fill(image.Rect(40, 664, 40+12*percent, 688), green)
	p.write(40, 32, 6, s.Serial)
	p.write(40, 96, 4, s.Name)
	p.write(40, 620, 4, fmt.Sprintf("%s %d%%", s.State, percent))
	p.write(776, 32, 4, now.UTC().Format("2006-01-02 15:04:05"))
}

// fill paints a rectangle; its edges are at even numbers, as its colour is.
func (p *painter) fill(r image.Rectangle, t tone) {
	r = r.Intersect(p.canvas.Rect)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		line := p.canvas.Y[p.canvas.YOffset(r.Min.X, y):][:r.Dx()]
		for x := range line {
			line[x] = t.y
		}
	}
	for y := r.Min.Y / 2; y < r.Max.Y/2; y++ {
		for x := r.Min.X / 2; x < r.Max.X/2; x++ {
			p.canvas.Cb[y*p.canvas.CStride+x], p.canvas.Cr[y*p.canvas.CStride+x] = t.cb, t.cr
		}
	}
}

// write paints text, with dots of that many pixels. Signs without a glyph are
// left out.
func (p *painter) write(x, y, dot int, text string) {
	for _, sign := range strings.ToUpper(text) {
		for row, bits := range glyphs[sign] {
			for column := range glyphWidth {
				if bits>>(glyphWidth-1-column)&1 == 1 {
					p.fill(image.Rect(x+column*dot, y+row*dot, x+(column+1)*dot, y+(row+1)*dot), white)
				}
			}
		}
		x += (glyphWidth + 1) * dot
	}
}
