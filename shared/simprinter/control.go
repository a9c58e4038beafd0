package simprinter

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// longest bounds what may be asked for: longer times would not fit a duration.
const longest = 365 * 24 * time.Hour

// maxCapture bounds the body of a replay.
const maxCapture = 64 << 20

// Control is the HTTP API by which tests and people move the printers: state,
// prints, faults, and the ledger of what really happened.
//
//	GET  /printers                   each as State
//	GET  /ledger                     every print, see LedgerEntry
//	GET  /inventory                  the bodies of POST /printers of a hub
//	POST /printers/{serial}/print    a PrintJob: {"name","plate","plates","minutes","source","file","timelapse"}
//	POST /printers/{serial}/pause    also resume, stop: as a person at the screen
//	POST /printers/{serial}/fault    {"kind","seconds","value"}: 0 is for good, -1 ends it; value is for kinds that have one
//	POST /printers/{serial}/replay   a capture
//	POST /printers/{serial}/limits   {"real"}: those of real firmware
//
// All but the lists answer with the printer's State, errors with {"detail"}.
func (f *Farm) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /printers", func(w http.ResponseWriter, _ *http.Request) {
		out := []State{}
		for _, p := range f.printers {
			out = append(out, p.State())
		}
		reply(w, http.StatusOK, out)
	})
	mux.HandleFunc("GET /ledger", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, f.Ledger()) })
	mux.HandleFunc("GET /inventory", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, f.Inventory()) })
	for name, do := range map[string]func(*Printer, *http.Request) error{
		"print": controlPrint, "fault": controlFault, "replay": controlReplay, "limits": controlLimits,
		"pause":  func(p *Printer, _ *http.Request) error { return p.Pause() },
		"resume": func(p *Printer, _ *http.Request) error { return p.Resume() },
		"stop":   func(p *Printer, _ *http.Request) error { return p.Stop() },
	} {
		mux.HandleFunc("POST /printers/{serial}/"+name, func(w http.ResponseWriter, r *http.Request) {
			p := f.Printer(r.PathValue("serial"))
			if p == nil {
				reply(w, http.StatusNotFound, obj{"detail": "there is no printer " + r.PathValue("serial")})
				return
			}
			if err := do(p, r); err != nil {
				status := http.StatusConflict
				if errors.Is(err, errBody) {
					status = http.StatusBadRequest
				}
				reply(w, status, obj{"detail": err.Error()})
				return
			}
			reply(w, http.StatusOK, p.State())
		})
	}
	return mux
}

var errBody = errors.New("the body is not right")

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client went away
}

func controlPrint(p *Printer, r *http.Request) error {
	j := PrintJob{Source: "slicer", Name: "benchy"}
	if err := json.NewDecoder(r.Body).Decode(&j); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %w", errBody, err)
	}
	switch j.Source {
	case "slicer", "screen", "cloud":
	default:
		return fmt.Errorf("%w: source is slicer, screen or cloud", errBody)
	}
	if j.Minutes < 0 || j.Minutes > longest.Minutes() {
		return fmt.Errorf("%w: minutes are 0 to %.0f", errBody, longest.Minutes())
	}
	if j.Plate < 0 || j.Plates < 0 || j.Plates > maxPlates {
		return fmt.Errorf("%w: a print has a plate of up to %d", errBody, maxPlates)
	}
	if err := j.read(); err != nil {
		return fmt.Errorf("%w: %w", errBody, err)
	}
	return p.Start(j)
}

func controlFault(p *Printer, r *http.Request) error {
	var in struct {
		Kind    string   `json:"kind"`
		Seconds float64  `json:"seconds"`
		Value   *float64 `json:"value"` // of faults that have one
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return fmt.Errorf("%w: %w", errBody, err)
	}
	if in.Seconds > longest.Seconds() {
		return fmt.Errorf("%w: seconds are up to %.0f", errBody, longest.Seconds())
	}
	if in.Value != nil {
		if err := p.FaultValue(in.Kind, *in.Value); err != nil {
			return fmt.Errorf("%w: %w", errBody, err)
		}
	}
	err := p.Fault(in.Kind, time.Duration(max(-1, in.Seconds)*float64(time.Second)))
	if _, known := faultKinds[in.Kind]; err != nil && !known {
		return fmt.Errorf("%w: %w", errBody, err)
	}
	return err
}

// controlLimits switches the limits of real firmware for one printer.
func controlLimits(p *Printer, r *http.Request) error {
	var in struct {
		Real *bool `json:"real"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return fmt.Errorf("%w: %w", errBody, err)
	}
	if in.Real == nil {
		return fmt.Errorf("%w: real is true or false", errBody)
	}
	p.SetRealLimits(*in.Real)
	return nil
}

func controlReplay(p *Printer, r *http.Request) error {
	b, err := io.ReadAll(io.LimitReader(r.Body, maxCapture))
	if err != nil {
		return fmt.Errorf("%w: %w", errBody, err)
	}
	frames, err := readCapture(b)
	if err != nil {
		return fmt.Errorf("%w: %w", errBody, err)
	}
	return p.play(frames)
}
