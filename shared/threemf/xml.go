package threemf

import (
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"unicode/utf8"
)

// Bounds of XML.
const (
	maxDepth    = 64
	maxElements = 500_000
	maxToken    = 512 << 10 // bytes of one tag or text
)

// walk reads XML piece by piece: fn gets the elements around a piece, outermost first,
// and the start or end of an element or a text. It knows no entities but XML's own,
// and refuses a document type. What is not well-formed ends in errMalformed.
func walk(r io.Reader, name string, fn func(around []string, t xml.Token) error) error {
	feed := &feed{in: bufio.NewReader(r)}
	d := xml.NewDecoder(feed)
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // it is UTF-8 all the same
	var around []string
	for n := 0; ; n++ {
		feed.token = 0
		t, err := d.Token()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case feed.err != nil && !errors.Is(feed.err, io.EOF):
			return feed.err
		case err != nil:
			return fmt.Errorf("%w: %w", errMalformed, err)
		case n > maxElements:
			return refuse(Hostile, "%s has more than %d elements", path.Base(name), maxElements)
		}
		if err := step(&around, t, name, fn); err != nil {
			return err
		}
	}
}

func step(around *[]string, t xml.Token, name string, fn func(around []string, t xml.Token) error) error {
	switch t := t.(type) {
	case xml.Directive:
		return refuse(Hostile, "%s declares a document type", path.Base(name))
	case xml.StartElement:
		if len(*around) >= maxDepth {
			return refuse(Hostile, "%s is nested deeper than %d", path.Base(name), maxDepth)
		}
		if err := fn(*around, t); err != nil {
			return err
		}
		*around = append(*around, t.Name.Local)
	case xml.EndElement:
		*around = (*around)[:max(0, len(*around)-1)]
		return fn(*around, t)
	case xml.CharData:
		return fn(*around, t)
	}
	return nil
}

// feed gives XML to a decoder, byte by byte, and only what XML may hold: slicers write
// names as people typed them. A tag that is too long ends it.
type feed struct {
	in    *bufio.Reader
	token int    // bytes since the last piece
	rest  []byte // of a letter
	err   error
}

var (
	errLongToken = errors.New("a tag or text is too long")
	errMalformed = errors.New("not well-formed")
)

// ReadByte is what the decoder calls.
func (f *feed) ReadByte() (byte, error) {
	if f.token++; f.token > maxToken {
		f.err = errLongToken
		return 0, f.err
	}
	if len(f.rest) > 0 {
		b := f.rest[0]
		f.rest = f.rest[1:]
		return b, nil
	}
	b, err := f.in.ReadByte()
	switch {
	case err != nil:
		f.err = err
		return 0, err
	case b < ' ' && b != '\t' && b != '\n' && b != '\r':
		return ' ', nil
	case b < utf8.RuneSelf:
		return b, nil
	}
	return f.letter()
}

// letter reads one that takes several bytes, and the mark for it when it is none.
func (f *feed) letter() (byte, error) {
	_ = f.in.UnreadByte() // it has just been read
	r, _, err := f.in.ReadRune()
	if err != nil {
		f.err = err
		return 0, err
	}
	if r == '\ufffe' || r == '\uffff' {
		r = utf8.RuneError
	}
	f.rest = utf8.AppendRune(f.rest[:0], r)
	b := f.rest[0]
	f.rest = f.rest[1:]
	return b, nil
}

// Read is for the decoder's signature alone.
func (f *feed) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b, err := f.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = b
	return 1, nil
}

// xmlMember walks a member; one that is not there is empty.
func (l *loader) xmlMember(name string, fn func(around []string, t xml.Token) error) error {
	r, err := l.open(name, maxXML)
	if Is(err, Missing) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	switch err = walk(r, name, fn); {
	case errors.Is(err, errLongToken):
		return refuse(Hostile, "%s has a tag of more than %d bytes", path.Base(name), maxToken)
	case errors.Is(err, errMalformed):
		return refuse(Damaged, "%s is %v", path.Base(name), err)
	default:
		return err
	}
}

// attr is an attribute of an element, "" without it.
func attr(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return clip(a.Value)
		}
	}
	return ""
}

// inside tells whether the innermost elements around a piece are these.
func inside(around []string, names ...string) bool {
	if len(around) < len(names) {
		return false
	}
	for i, name := range names {
		if around[len(around)-len(names)+i] != name {
			return false
		}
	}
	return true
}

const modelPath = "3D/3dmodel.model"

var errEnough = errors.New("enough was read")

// readModel reads the metadata at the head of the model. Its geometry is of no
// interest, nor is it when somebody wrote it badly: it is not what is printed.
func (l *loader) readModel() error {
	r, err := l.open(modelPath, maxMember)
	if Is(err, Missing) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	name, text := "", strings.Builder{}
	err = walk(io.LimitReader(r, maxHead), modelPath, func(around []string, t xml.Token) error {
		switch t := t.(type) {
		case xml.StartElement:
			if t.Name.Local == "resources" || t.Name.Local == "build" {
				return errEnough
			}
			name = attr(t, "name")
			text.Reset()
		case xml.CharData:
			if inside(around, "metadata") && text.Len() < 8*maxText {
				text.Write(t)
			}
		case xml.EndElement:
			if t.Name.Local == "metadata" {
				l.metadata(name, clip(text.String()))
			}
		}
		return nil
	})
	if errors.Is(err, errEnough) || errors.Is(err, errLongToken) || errors.Is(err, errMalformed) {
		return nil
	}
	return err
}

func (l *loader) metadata(name, value string) {
	switch name {
	case "Title":
		l.f.Title = value
	case "Designer":
		l.f.Designer = value
	case "Application":
		l.f.Application = value
	}
}
