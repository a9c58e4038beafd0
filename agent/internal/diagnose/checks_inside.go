package diagnose

import (
	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

// machine is what the printer said of itself, nil before it did.
func (f *findings) machine() *bambu.Machine {
	if f.session == nil {
		return nil
	}
	return &f.session.Status.Machine
}

// untold is a check of something that the printer has not said.
func (f *findings) untold(id, title string) wire.Check {
	switch s := f.session; {
	case s == nil || s.Connection.State != wire.Online:
		return flaw(wire.Skip, id, title, f.mendSession(), "The printer's own report is needed for this, and there is none.")
	case s.Partial:
		return flaw(wire.Skip, id, title, mendRunning, "Not known here.")
	}
	return flaw(wire.Skip, id, title, "Ask the printer for a full report (refresh), and look again.", "The printer has not told.")
}

func (f *findings) checkDeveloperMode() wire.Check {
	const id, title = "developer_mode", "Developer mode"
	m := f.machine()
	const mend = "Switch on LAN only mode and then developer mode on the printer's screen (Settings > Network > LAN only mode). The access code changes with it: enter the new one."
	switch {
	case m == nil:
		return f.untold(id, title)
	case m.SignedCommands == bambu.Some(true), m.DeveloperMode == bambu.Some(false):
		return flaw(wire.Warn, id, title, mend, "The printer's firmware only obeys its maker's programs: it can be watched, but not told anything.")
	case m.DeveloperMode == bambu.Some(true), m.SignedCommands == bambu.Some(false), f.target.Model.Lenient(m.Firmware):
		return pass(id, title, "The printer obeys commands over the network.")
	case m.Firmware == "":
		return f.untold(id, title)
	default:
		return flaw(wire.Skip, id, title, "Look on the printer's screen whether developer mode is on (Settings > Network > LAN only mode), or switch the light by the hub and see whether it obeys.", "This firmware (%s) does not tell.", printable(m.Firmware, 40))
	}
}

func (f *findings) checkFirmware() wire.Check {
	const id, title = "firmware", "Firmware"
	m := f.machine()
	switch {
	case m == nil || m.Firmware == "":
		return f.untold(id, title)
	case m.UpdateAvailable != "":
		return pass(id, title, "%s; %s is offered.", printable(m.Firmware, 40), printable(m.UpdateAvailable, 40))
	default:
		return pass(id, title, "%s.", printable(m.Firmware, 40))
	}
}

func (f *findings) checkStorage() wire.Check {
	const id, title = "storage", "Card or stick"
	m := f.machine()
	switch {
	case f.files != nil && f.files.Writable:
		return pass(id, title, "There, and it can be written.")
	case m == nil || !m.Storage.Known:
		return f.untold(id, title)
	case m.Storage.Value:
		return pass(id, title, "The printer says that it is there.")
	default:
		return flaw(wire.Fail, id, title, "Put a card (A1, P1, X1) or a USB stick (P2S, H2, X2D) into the printer, formatted as FAT32 or exFAT by the printer itself (Settings > Storage).", "There is none, so nothing can be printed from here.")
	}
}

func (f *findings) checkFilesPort() wire.Check {
	return f.checkPort("files_port", "File port (FTPS)", f.filesPort,
		"Switch on LAN only mode, and switch the printer off and on. Check that the FTPS port is the printer's (990).")
}

func (f *findings) checkFiles() wire.Check {
	const id, title = "files", "Files"
	switch err := f.filesErr; {
	case f.files != nil && !f.files.Tried:
		return pass(id, title, "Login and list (%d entries) work. Whether it can be written was not tried.", f.files.Entries)
	case f.files != nil && !f.files.Writable:
		why := printable(f.files.WriteError, maxReason)
		if why == "" {
			why = "nothing could be written"
		}
		return flaw(wire.Fail, id, title, "Check that a card or stick is in the printer, has room, and is not write protected; format it on the printer's screen if it was never used there.", "The login works, but %s.", why)
	case f.files != nil && !f.files.Encrypted:
		return pass(id, title, "Login, list (%d entries) and writing work. This printer only moves files without encryption.", f.files.Entries)
	case f.files != nil:
		return pass(id, title, "Login, list (%d entries) and writing work.", f.files.Entries)
	case err == nil:
		return flaw(wire.Skip, id, title, mendRunning, "Not looked at.")
	case farm.Is(err, farm.PrinterBusy):
		return flaw(wire.Warn, id, title, "Wait for the transfer that is under way, and look again.", "The printer is busy with another transfer.")
	case f.filesPort.state != open:
		return flaw(wire.Skip, id, title, mendEarlier, "The file port cannot be reached.")
	default:
		return flaw(wire.Fail, id, title, "If it speaks of the access code, enter it again. Check that a card or stick is in the printer. Close other programs that move files to it, and switch the printer off and on.", "%s.", sentence(f.reason(err)))
	}
}

func (f *findings) checkCameraPort() wire.Check {
	const id, title = "camera_port", "Camera port"
	if cameraPort(f.target) == 0 {
		return f.noCamera(id, title)
	}
	closed := "Switch the printer off and on. A camera that was just switched on needs a minute."
	if f.target.Model.Camera == bambu.CameraRTSP {
		closed = mendLiveView
	}
	return f.checkPort(id, title, f.cameraPort, closed)
}

const mendLiveView = "Switch on the LAN live view on the printer's screen (Settings > LAN only mode > LAN only live view)."

// noCamera is for a printer of which no camera is known.
func (f *findings) noCamera(id, title string) wire.Check {
	if f.target.Model.Code == "" {
		return flaw(wire.Skip, id, title, "Enter the printer's model, or wait until the agent has connected: the printer tells it.", "The printer's model is not known, and with it where its camera is.")
	}
	return flaw(wire.Skip, id, title, "Nothing is wrong.", "No camera of the %s is known.", f.target.Model.Name)
}

func (f *findings) checkCamera() wire.Check {
	const id, title = "camera", "Picture"
	rtsp := f.target.Model.Camera == bambu.CameraRTSP
	switch err := f.pictureErr; {
	case cameraPort(f.target) == 0:
		return f.noCamera(id, title)
	case f.picture && rtsp && f.ffmpeg == "":
		return flaw(wire.Warn, id, title, MendFFmpeg, "The video comes, but without ffmpeg there are no pictures of it.")
	case f.picture:
		return pass(id, title, "It comes.")
	case err == nil:
		return flaw(wire.Skip, id, title, mendRunning, "Not looked at.")
	case farm.Is(err, farm.FFmpegMissing):
		return flaw(wire.Warn, id, title, MendFFmpeg, "ffmpeg is missing on the agent's machine, so there are no pictures of this model's video.")
	case f.cameraPort.state != open:
		return flaw(wire.Skip, id, title, mendEarlier, "The camera port cannot be reached.")
	case rtsp:
		return flaw(wire.Fail, id, title, mendLiveView+" If it is on, close other viewers, and switch the printer off and on.", "%s.", sentence(f.reason(err)))
	default:
		return flaw(wire.Fail, id, title, "Close other viewers of this camera (slicer, phone): it bears one. Check the access code, and the camera's cable.", "%s.", sentence(f.reason(err)))
	}
}

// MendFFmpeg is what to do without ffmpeg.
const MendFFmpeg = "Install ffmpeg on the agent's machine (Debian: apt install ffmpeg) and start the agent again."

// weakSignal is when transfers begin to break off.
const weakSignal = -70 // dBm

func (f *findings) checkWiFi() wire.Check {
	const id, title = "wifi", "Network signal"
	if f.session == nil {
		return f.untold(id, title)
	}
	signal := f.session.Status.Signal.WiFi
	switch {
	case f.session.Status.Machine.Wired:
		return pass(id, title, "The printer is on a cable.")
	case !signal.Known:
		return f.untold(id, title)
	case signal.Value < weakSignal:
		return flaw(wire.Warn, id, title, "Bring an access point closer to the printer, or use a cable where the model has a socket. Transfers break off with a signal below -70 dBm.", "WLAN at %d dBm is weak.", signal.Value)
	default:
		return pass(id, title, "WLAN at %d dBm.", signal.Value)
	}
}
