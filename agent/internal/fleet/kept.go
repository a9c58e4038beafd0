package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"bambuddy/agent/internal/printer"
	"bambuddy/shared/wire"
)

// Kept is what an agent keeps on disk of its printers.
type Kept struct {
	Config wire.Config  // with access codes
	Pins   printer.Pins // what is pinned here goes no further than this process
}

// ReadKept reads it without changing anything, also beside an agent that runs.
// fs.ErrNotExist: no configuration has come yet.
func ReadKept(dir string) (Kept, error) {
	key, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return Kept{}, fmt.Errorf("read the agent's key: %w", err)
	}
	if len(key) != keySize {
		return Kept{}, fmt.Errorf("read the agent's key: %w", errUnreadable)
	}
	v, err := vaultOf(dir, key)
	if err != nil {
		return Kept{}, err
	}
	k := Kept{}
	if err := v.decode(configFile, &k.Config); err != nil {
		return Kept{}, fmt.Errorf("read the configuration held: %w", err)
	}
	known := &pins{vault: v, dirty: make(chan struct{}, 1), all: map[string]pin{}}
	if err := v.decode(pinsFile, &known.all); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Kept{}, fmt.Errorf("read the printers' certificates: %w", err)
	}
	k.Pins = known
	return k, nil
}

// decode reads the named file's JSON.
func (v *vault) decode(name string, into any) error {
	data, err := v.read(name)
	if err != nil {
		return err
	}
	if json.Unmarshal(data, into) != nil {
		return errUnreadable // the cause may quote a secret
	}
	return nil
}
