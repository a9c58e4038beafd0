package fleet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"sync"
	"time"

	"bambuddy/shared/farm"
)

const pinsFile = "pins.sealed"

// savePinsEvery bounds how often the pins are written while many printers log in
// for the first time. A pin lost in between is made anew at the next login.
const savePinsEvery = time.Second

// pin is the certificate a printer showed when it accepted an access code.
type pin struct {
	Code        string `json:"code"`        // hash of serial and access code
	Fingerprint string `json:"fingerprint"` // SHA-256 of the certificate
}

// pins implement printer.Pins: one per serial number, sealed on disk.
type pins struct {
	vault *vault
	log   *slog.Logger
	dirty chan struct{} // holds one

	mu  sync.Mutex
	all map[string]pin
}

func openPins(v *vault, log *slog.Logger) (*pins, error) {
	p := &pins{vault: v, log: log, dirty: make(chan struct{}, 1), all: map[string]pin{}}
	data, err := v.read(pinsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &p.all)
	} else if !errors.Is(err, errUnreadable) {
		return nil, fmt.Errorf("read the printers' certificates: %w", err)
	}
	if err != nil {
		log.Error("the printers' certificates cannot be read and were set aside; each is trusted anew", "err", err)
		p.all = map[string]pin{}
		return p, v.setAside(pinsFile)
	}
	return p, nil
}

// Pinned gives the fingerprint kept for a printer and access code.
func (p *pins) Pinned(serial string, code farm.Secret) (fingerprint string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept, ok := p.all[serial]
	return kept.Fingerprint, ok && kept.Code == codeHash(serial, code)
}

// Pin keeps it; the file follows within a second.
func (p *pins) Pin(serial string, code farm.Secret, fingerprint string) error {
	fresh := pin{Code: codeHash(serial, code), Fingerprint: fingerprint}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all[serial] != fresh {
		p.all[serial] = fresh
		p.touch()
	}
	return nil
}

// forget drops the pin of a printer that was taken away.
func (p *pins) forget(serial string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.all[serial]; ok {
		delete(p.all, serial)
		p.touch()
	}
}

func (p *pins) touch() {
	select {
	case p.dirty <- struct{}{}:
	default:
	}
}

// run writes changes until ctx ends, and the last ones then.
func (p *pins) run(ctx context.Context) {
	for {
		select {
		case <-p.dirty:
			p.save()
		case <-ctx.Done():
			select {
			case <-p.dirty:
				p.save()
			default:
			}
			return
		}
		pause := time.NewTimer(savePinsEvery)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
}

func (p *pins) save() {
	p.mu.Lock()
	all := maps.Clone(p.all)
	p.mu.Unlock()
	data, err := json.Marshal(all)
	if err == nil {
		err = p.vault.write(pinsFile, data)
	}
	if err != nil {
		p.log.Error("the printers' certificates could not be saved", "err", err)
	}
}

func codeHash(serial string, code farm.Secret) string {
	sum := sha256.Sum256([]byte(serial + "\x00" + code.Reveal()))
	return hex.EncodeToString(sum[:])
}
