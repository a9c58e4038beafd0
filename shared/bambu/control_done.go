package bambu

import (
	"slices"
	"strings"
)

// Done tells whether a status shows the effect of c. visible is false for acts
// that leave no trace in a report. A change of filament counts once it goes on.
func (c Control) Done(s Status) (done, visible bool) {
	switch c.Do {
	case DoPause:
		return s.Job.GcodeState == "PAUSE", true
	case DoResume:
		return s.Job.printing(), true
	case DoStop:
		return s.Job.GcodeState != "" && !s.Job.printing() && !s.Job.paused(), true
	case DoSpeed:
		return s.Job.SpeedLevel == Some(c.Level), true
	case DoLight:
		return c.lit(s), true
	case DoTemperature:
		return target(c.Nozzle, s.Temps.NozzleTarget) && target(c.Nozzle2, s.Temps.Nozzle2Target) &&
			target(c.Bed, s.Temps.BedTarget) && target(c.Chamber, s.Temps.ChamberTarget), true
	case DoFan:
		speed := map[string]Opt[int]{"part": s.Fans.Part, "aux": s.Fans.Aux, "aux_2": s.Fans.Aux2, "chamber": s.Fans.Chamber}[c.Fan]
		return speed.Known && max(speed.Value-c.Percent, c.Percent-speed.Value) <= 5, true // reports may be rounded to tens
	case DoLoad:
		a, ok := s.active()
		return s.changingFilament() || ok && a.Slot == c.slot() && sameUnit(a.Unit, c.ams()), true
	case DoUnload:
		a, ok := s.active()
		return s.changingFilament() || ok && a.Unit < 0, true
	case DoDrying:
		u, ok := s.Filament.Unit(c.ams())
		return ok && u.Drying.Known && u.Drying.Value > 0 == (c.Hours > 0), true
	case DoFilament:
		return c.filled(s), true
	case DoSkipObjects:
		return !slices.ContainsFunc(c.Objects, func(id int) bool { return !slices.Contains(s.Job.Skipped, id) }), true
	case DoClearError:
		return s.Faults.PrintError == 0, true
	}
	return false, false
}

func target(wanted *int, is Opt[float64]) bool {
	return wanted == nil || is == Some(float64(*wanted))
}

func (c Control) lit(s Status) bool {
	lamps := c.lamps(s)
	for _, l := range s.Lights {
		if slices.Contains(lamps, l.Node) && l.Mode != c.lightMode() {
			return false
		}
	}
	return len(s.Lights) > 0
}

func (c Control) filled(s Status) bool {
	slot, ok := s.Filament.Slot(c.ams(), c.slot())
	wanted := c.Filament.complete()
	if !ok || slot.Type != wanted.Type || slot.PresetID != wanted.PresetID {
		return false
	}
	return wanted.Type == "" || strings.EqualFold(slot.Color, wanted.Color)
}

// sameUnit: of a machine with one external spool either id means it.
func sameUnit(a, b int) bool { return a == b || External(a) && External(b) }

// printing: a word that a newer firmware made up may mean anything, so that it counts
// as a print for everything that must not happen during one.
func (j Job) printing() bool {
	switch j.GcodeState {
	case "", "IDLE", "FINISH", "FAILED", "PAUSE":
		return false
	}
	return true
}

func (j Job) paused() bool { return j.GcodeState == "PAUSE" }

// changingFilament is what ams_status says while filament moves.
func (s Status) changingFilament() bool { return s.Filament.Status.Or(0)>>8 == 1 }
