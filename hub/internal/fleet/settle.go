package fleet

// State and events have a common order: a state tells which record its agent had
// written before it, and until that is applied, the printer is still in the print
// whose end the record tells of. Nobody may take it for free before the end is known.

// Settle notes up to which number an agent's records are applied.
func (f *Fleet) Settle(agentID, n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settled[agentID] = n
	for _, e := range f.printers {
		if v := e.view; v.Printer.AgentID == agentID && f.settledWord(e, *v) != v.State {
			f.change(e, func(*View) {})
		}
	}
}

// settledWord is the word for what a printer does, or still does as far as is
// settled. f.mu is held.
func (f *Fleet) settledWord(e *entry, v View) string {
	word := stateWord(v.Connected, v.Status.Job.GcodeState)
	over := word == Idle || word == Finished || word == Failed
	if over && inPrint(e.did) && v.Outbox > f.settled[v.Printer.AgentID] {
		return e.did
	}
	return word
}

func inPrint(state string) bool {
	return state == Preparing || state == Printing || state == Paused
}
