package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"bambuddy/shared/farm"
)

// The bounds of a request's body.
const (
	maxBody     = 1 << 20
	maxDepth    = 32
	bodyTimeout = 10 * time.Second
)

// readBody takes in a JSON body, whole and bounded, before anything looks at it:
// huma alone would echo parts of it in errors and tell a slow one with a status
// that is not ours. Where a body may be absent, none is as good as {}.
func readBody(required bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isJSON(r.Header.Get("Content-Type")) {
			writeError(w, r, farm.Errorf(farm.UnsupportedType, "send the body as application/json, in UTF-8"))
			return
		}
		b, err := readAll(w, r)
		if err == nil && !required && len(bytes.TrimSpace(b)) == 0 {
			b = []byte("{}")
		}
		if err == nil {
			err = checkObject(b)
		}
		if err != nil {
			writeError(w, r, err)
			return
		}
		noteFields(r.Context(), b)
		r.Header.Set("Content-Type", "application/json")
		r.Body = io.NopCloser(bytes.NewReader(b))
		next.ServeHTTP(w, r)
	})
}

// readQuery refuses parameters of a query that are no text, or hold a NUL. Those that an
// operation does not know are ignored, whatever they hold.
func readQuery(op *huma.Operation, next http.Handler) http.Handler {
	var names []string
	for _, p := range op.Parameters {
		if p.In == "query" {
			names = append(names, p.Name)
		}
	}
	if len(names) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given := r.URL.Query()
		for _, name := range names {
			for _, v := range given[name] {
				if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
					writeError(w, r, farm.Errorf(farm.Invalid, "%s: is not text in UTF-8", name))
					return
				}
			}
		}
		next.ServeHTTP(w, r)
	})
}

func isJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	t, params, err := mime.ParseMediaType(contentType)
	charset, given := params["charset"]
	return err == nil && t == "application/json" && (!given || strings.EqualFold(charset, "utf-8"))
}

func readAll(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > maxBody { // said before it is sent
		w.Header().Set("Connection", "close") // or the rest would be read and thrown away
		return nil, errTooLarge()
	}
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(bodyTimeout)) // a writer without deadlines is a test's
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	_ = rc.SetReadDeadline(time.Time{}) // or it would end the request's context later on
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, errTooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		return nil, farm.Wrap(farm.RequestTimeout, err, "the body did not arrive within %d s", int(bodyTimeout.Seconds()))
	case err != nil:
		return nil, farm.Wrap(farm.Invalid, err, "the body did not arrive whole")
	}
	return b, nil
}

func errTooLarge() error {
	return farm.Errorf(farm.TooLarge, "the body is larger than %d bytes", maxBody)
}

// checkObject tells what is wrong with a body's form: it is one JSON object in
// UTF-8, not too deep, names no field twice, and holds no NUL, which PostgreSQL does
// not take.
func checkObject(b []byte) error {
	if len(bytes.TrimSpace(b)) == 0 {
		return farm.Errorf(farm.Invalid, "body: a JSON object is needed")
	}
	dec := jsontext.NewDecoder(bytes.NewReader(b))
	if kind := dec.PeekKind(); kind != '{' && kind != 0 {
		return farm.Errorf(farm.Invalid, "body: expected a JSON object")
	}
	for {
		token, err := dec.ReadToken()
		var syntax *jsontext.SyntacticError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, jsontext.ErrDuplicateName):
			return farm.Errorf(farm.Invalid, "body: the same field is there twice (byte %d)", dec.InputOffset())
		case errors.As(err, &syntax):
			return farm.Errorf(farm.Invalid, "body: is not JSON in UTF-8 (byte %d)", syntax.ByteOffset)
		case err != nil:
			return farm.Wrap(farm.Invalid, err, "body: is not JSON")
		case token.Kind() == '"' && strings.ContainsRune(token.String(), 0):
			return farm.Errorf(farm.Invalid, "body: holds a NUL character (byte %d)", dec.InputOffset())
		case dec.StackDepth() > maxDepth:
			return farm.Errorf(farm.Invalid, "body: nested more than %d deep", maxDepth)
		case dec.StackDepth() == 0 && len(bytes.TrimSpace(b[dec.InputOffset():])) > 0:
			return farm.Errorf(farm.Invalid, "body: is not JSON: something follows the object (byte %d)", dec.InputOffset())
		}
	}
}

// encode writes an answer in one go. A client that went away is not an error of
// ours: net/http ends the request by itself.
func encode(w io.Writer, v any) error {
	if ready, ok := v.(interface{ AppendJSON(b []byte) []byte }); ok {
		_, _ = w.Write(append(ready.AppendJSON(nil), '\n'))
		return nil
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, _ = w.Write(buf.Bytes())
	return nil
}

// anyNumber takes a number of any size where no field is meant yet: huma reads a
// body twice, first to hold it against the schema. One too large for a float
// stays too large for every field, and does no harm in an unknown one.
var anyNumber = jsonv2.WithUnmarshalers(jsonv2.UnmarshalFromFunc(func(dec *jsontext.Decoder, v *any) error {
	if dec.PeekKind() != '0' {
		return errors.ErrUnsupported // to the usual way
	}
	t, err := dec.ReadToken()
	if err != nil {
		return err
	}
	f, err := strconv.ParseFloat(t.String(), 64)
	if errors.Is(err, strconv.ErrRange) {
		f = math.Copysign(math.MaxFloat64, f)
	}
	*v = f
	return nil
}))

// decode reads a body that readBody has found to be JSON, without repeating
// anything of it in an error. Names of fields match exactly, which encoding/json
// cannot be told.
func decode(b []byte, v any) error {
	err := jsonv2.Unmarshal(b, v, anyNumber)
	var wrong *jsonv2.SemanticError
	switch {
	case errors.As(err, &wrong):
		return farm.Errorf(farm.Invalid, "%s: is not a value this field can hold", fieldName(wrong.JSONPointer))
	case err != nil:
		return farm.Errorf(farm.Invalid, "body: cannot be read")
	}
	return nil
}

// fieldName is a place in a body as our errors write it: tags[1].
func fieldName(p jsontext.Pointer) string {
	var out strings.Builder
	for token := range p.Tokens() {
		if _, err := strconv.Atoi(token); err == nil {
			out.WriteString("[" + token + "]")
			continue
		}
		if out.Len() > 0 {
			out.WriteByte('.')
		}
		out.WriteString(token)
	}
	if out.Len() == 0 {
		return "body"
	}
	return out.String()
}
