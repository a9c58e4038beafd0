package app

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"bambuddy/agent/internal/diagnose"
	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// Room on the agent's disk, in bytes, below which captured files and queued
// events come into danger.
const (
	littleRoom = 500 << 20
	noRoom     = 20 << 20
)

const mib = 1 << 20

func (d *doctor) checkDataDir() wire.Check {
	const id, title = "data", "Data directory"
	info, err := os.Stat(d.DataDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return flaw(wire.Fail, id, title, "Check --data (or BAMBUDDY_DATA). A new agent is enrolled with `bambuddy-agent enroll`, which makes it.", "%s does not exist.", d.DataDir)
	case err != nil:
		return flaw(wire.Fail, id, title, "Run the doctor as the user that the agent runs as.", "%s cannot be looked at: %v.", d.DataDir, err)
	case !info.IsDir():
		return flaw(wire.Fail, id, title, "Name a directory with --data (or BAMBUDDY_DATA).", "%s is not a directory.", d.DataDir)
	}
	if err := tryWriting(d.DataDir); err != nil {
		return flaw(wire.Fail, id, title, "Let the user that the agent runs as own the directory, and see that the disk is neither full nor read-only.", "Nothing can be written in %s: %v.", d.DataDir, err)
	}
	free, known := freeSpace(d.DataDir)
	switch {
	case known && free < noRoom:
		return flaw(wire.Fail, id, title, "Make room on the disk.", "The disk of %s is full: %d MB are free.", d.DataDir, free/mib)
	case known && free < littleRoom:
		return flaw(wire.Warn, id, title, "Make room on the disk.", "The disk of %s is nearly full: %d MB are free.", d.DataDir, free/mib)
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		return flaw(wire.Warn, id, title, "chmod 700 the directory: it holds the key to the printers' access codes.", "Other users of this machine may look into %s (%v).", d.DataDir, info.Mode().Perm())
	}
	return well(id, title, "%s can be written.", d.DataDir)
}

// tryWriting makes a file and takes it away again.
func tryWriting(dir string) error {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func (d *doctor) checkIdentity() wire.Check {
	const id, title = "identity", "Enrollment"
	switch err := d.notEnrolled; {
	case err == nil:
		return well(id, title, "Agent %s of %s.", d.identity.AgentID, d.identity.HubURL)
	case farm.Is(err, farm.NotFound):
		return flaw(wire.Fail, id, title, "Make a token in the hub and run `bambuddy-agent enroll --token …`.", "This agent is not enrolled with a hub.")
	case errors.Is(err, fs.ErrPermission):
		return flaw(wire.Fail, id, title, "Run the doctor as the user that the agent runs as.", "The agent's identity may not be read.")
	default:
		return flaw(wire.Fail, id, title, "Restore the file from a backup, or enroll again with --force.", "%v.", err)
	}
}

func (d *doctor) checkRunning() wire.Check {
	const id, title = "running", "Agent"
	switch err := d.notRunning; {
	case err == nil:
		return well(id, title, "It runs: version %s, process %d, since %s.", d.running.Version, d.running.PID, d.running.Started.Local().Format(time.DateTime))
	case errors.Is(err, ErrNotRunning):
		return flaw(wire.Warn, id, title, "Start it: `bambuddy-agent run`, or the service that does.", "No agent runs on this data directory.")
	default:
		return flaw(wire.Warn, id, title, "Look again in a minute, as the user that the agent runs as.", "How the agent stands cannot be read: %v.", err)
	}
}

// tool is a program beside ours.
type tool struct{ path, version string }

// findFFmpeg looks for ffmpeg and sees whether it starts.
func findFFmpeg(ctx context.Context) tool {
	path, err := exec.LookPath("ffmpeg")
	if err != nil {
		return tool{}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "-hide_banner", "-version").Output()
	if err != nil {
		return tool{}
	}
	return tool{path: path, version: versionIn(string(out))}
}

// versionIn is the version in "ffmpeg version 5.1.9 Copyright …".
func versionIn(text string) string {
	words := strings.Fields(text[:min(len(text), 200)])
	if len(words) < 3 {
		return "unknown version"
	}
	return words[2]
}

func (d *doctor) checkFFmpeg() wire.Check {
	const id, title = "ffmpeg", "ffmpeg"
	if d.ffmpeg.path != "" {
		return well(id, title, "%s, %s.", d.ffmpeg.path, d.ffmpeg.version)
	}
	for _, c := range d.kept.Config.Printers {
		if m := modelOf(c); m.Camera == bambu.CameraRTSP {
			return flaw(wire.Warn, id, title, diagnose.MendFFmpeg, "It is missing or does not start: there are no pictures of printers like the %s.", m.Name)
		}
	}
	return flaw(wire.Warn, id, title, diagnose.MendFFmpeg, "It is missing or does not start. No printer here needs it today; X1, P2S, H2 and X2D do for pictures.")
}
