package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// A speed that is no number, or that no clock can run at, is a wrong command line.
func TestSpeedBounds(t *testing.T) {
	for _, speed := range []string{"NaN", "Inf", "1e300", "-1"} {
		var out bytes.Buffer
		err := run(t.Context(), []string{"--address", "127.0.0.1", "--base-port", "0", "--speed=" + speed}, io.Discard, &out)
		var usage usageError
		if !errors.As(err, &usage) || strings.Count(out.String(), "\n") != 1 || !strings.Contains(out.String(), "--speed") {
			t.Errorf("%s: %v: %s", speed, err, out.String())
		}
	}
}

func TestHelp(t *testing.T) {
	var out, log bytes.Buffer
	if err := run(t.Context(), []string{"--help"}, &out, &log); err != nil || log.Len() > 0 {
		t.Errorf("%v %s", err, log.String())
	}
	for _, flag := range []string{"--printers", "--base-port", "--real-ports", "--inventory", "--speed", "--control", "--real-limits", "--ssdp", "--detect", "--spread"} {
		if !strings.Contains(out.String(), flag) {
			t.Errorf("no %s in: %s", flag, out.String())
		}
	}
}
