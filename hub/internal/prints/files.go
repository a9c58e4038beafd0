package prints

import (
	"errors"

	"bambuddy/shared/farm"
	"bambuddy/shared/wire"
)

var (
	errNoRun = errors.New("nothing is known of its print")
	errBad   = errors.New("it names no file that there can be")
)

// file notes what became of a file of a print: it waits at the agent, and a pull
// wants it, or it is not to be had.
func (b *batch) file(r wire.OutboxRecord) error {
	p, _, known, err := b.tx.Run(r.File.RunID)
	switch {
	case err != nil:
		return err
	case !known && r.Kind == wire.FileUnavailable:
		return b.pass(r, errNoRun)
	case known && p.AgentID != b.agent.ID && p.AgentID != 0:
		return b.pass(r, errForeign)
	case !farm.FileRole(string(r.File.Role)), r.Kind == wire.FileReady && !farm.IsSHA256(r.File.SHA256):
		return b.pass(r, errBad)
	}
	if r.Kind == wire.FileReady { // also of a print that is gone: its agent is to be told that nobody wants the file
		b.pulls = true
		return b.tx.AddPull(farm.Pull{
			PrintID: p.ID, RunID: r.File.RunID, AgentID: b.agent.ID, Role: string(r.File.Role),
			SHA256: r.File.SHA256, Size: r.File.Size, Name: r.File.Name, NextAt: b.at,
		})
	}
	if !p.DeletedAt.IsZero() {
		return nil
	}
	if r.File.Role == wire.RoleModel && p.FileStatus != farm.FileStored {
		p.FileStatus, p.FileError = farm.FileMissing, r.File.Reason
		if err := b.save(p); err != nil {
			return err
		}
		b.tell(farm.EventArchiveUpdated, b.at, p, nil)
	}
	return b.tx.PutFile(farm.PrintFile{
		PrintID: p.ID, SiteID: p.SiteID, Role: string(r.File.Role), Path: p.Dir + "/" + farm.FileName(string(r.File.Role), p.Filename),
		Status: farm.FileMissing, Reason: r.File.Reason, CreatedAt: b.at,
	})
}
