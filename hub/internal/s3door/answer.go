package s3door

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// fault is a refusal in S3's words. Its message may be seen by anybody.
type fault struct {
	status  int
	code    string
	message string
	cause   error // for the log
}

// Error is the message, with the cause behind it.
func (f *fault) Error() string {
	if f.cause != nil {
		return f.message + ": " + f.cause.Error()
	}
	return f.message
}

// Unwrap gives the cause.
func (f *fault) Unwrap() error { return f.cause }

func denied(message string) *fault {
	return &fault{http.StatusForbidden, "AccessDenied", message, nil}
}

func invalid(format string, args ...any) *fault {
	return &fault{http.StatusBadRequest, "InvalidArgument", fmt.Sprintf(format, args...), nil}
}

var errMethod = &fault{http.StatusMethodNotAllowed, "MethodNotAllowed", "this service reads with GET and HEAD", nil}

// wrongRegion tells which region to sign for, which many tools then do.
type wrongRegion struct{ region string }

// Error says so.
func (e wrongRegion) Error() string { return "sign for region " + e.region }

// errorBody is S3's form of an error.
type errorBody struct {
	XMLName   xml.Name `xml:"Error"`
	Code      string
	Message   string
	Resource  string
	Region    string `xml:",omitempty"`
	RequestID string `xml:"RequestId"`
	HostID    string `xml:"HostId"`
}

func (c *call) refuse(f *fault) {
	h := c.w.Header()
	if c.r.ContentLength != 0 {
		h.Set("Connection", "close") // or the body, which nobody reads here, would be drained
	}
	switch f.status {
	case http.StatusNotModified:
		c.w.WriteHeader(f.status)
		return
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "5")
	case http.StatusMethodNotAllowed:
		h.Set("Allow", "GET, HEAD")
	}
	e := errorBody{Code: f.code, Message: f.message, Resource: c.r.URL.Path, RequestID: c.id, HostID: "bambuddy"}
	if wrong, ok := f.cause.(wrongRegion); ok { //nolint:errorlint // sign.go puts it there itself, unwrapped
		e.Region = wrong.region
		h.Set("x-amz-bucket-region", wrong.region)
	}
	c.answer(f.status, e)
}

// answer writes an XML answer; to HEAD its header alone. A client that went away is
// no error of ours.
func (c *call) answer(status int, body any) {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	if err := xml.NewEncoder(&b).Encode(body); err != nil {
		status = http.StatusInternalServerError // cannot be: they are all structures of texts and numbers
	}
	h := c.w.Header()
	h.Set("Content-Type", "application/xml")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	c.w.WriteHeader(status)
	if c.r.Method != http.MethodHead {
		_, _ = c.w.Write(b.Bytes())
	}
}

// stamp is a time as S3 writes it in XML.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// owner is whose everything is.
type owner struct {
	ID          string
	DisplayName string
}

var theOwner = owner{"bambuddy", "bambuddy"}
