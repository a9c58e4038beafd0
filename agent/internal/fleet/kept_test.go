package fleet

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"bambuddy/shared/wire"
)

func TestReadKept(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadKept(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of an empty folder: %v", err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("it left %v, %v", files, err)
	}
	log := slog.New(slog.DiscardHandler)
	f, err := New(Options{Dir: dir, HubID: "hub", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKept(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before a configuration: %v", err)
	}
	c := wire.PrinterConfig{Serial: "22E00A000000001", Address: "p", MQTTPort: 8883, FTPSPort: 990, AccessCode: "12345678", Fence: 1}
	if _, err := f.Apply(t.Context(), wire.Config{HubID: "hub", Generation: 1, Revision: 2, Printers: []wire.PrinterConfig{c}}); err != nil {
		t.Fatal(err)
	}
	if err := f.pins.Pin(c.Serial, c.AccessCode, "abcd"); err != nil {
		t.Fatal(err)
	}
	f.pins.save()
	kept, err := ReadKept(dir)
	if err != nil || !slices.Equal(kept.Config.Printers, []wire.PrinterConfig{c}) || kept.Config.Revision != 2 {
		t.Fatalf("%+v, %v", kept.Config, err)
	}
	if got, ok := kept.Pins.Pinned(c.Serial, c.AccessCode); !ok || got != "abcd" {
		t.Errorf("pinned %q %v", got, ok)
	}
	for _, name := range []string{configFile, keyFile} {
		path := filepath.Join(dir, name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, whole[:len(whole)/2], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKept(dir); !errors.Is(err, errUnreadable) {
			t.Errorf("with half of %s: %v", name, err)
		}
		if got, err := os.ReadFile(path); err != nil || len(got) != len(whole)/2 {
			t.Errorf("%s was changed: %v", name, err)
		}
	}
}
