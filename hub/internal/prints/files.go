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
	case !farm.FileRole(string(r.File.Role)), r.Kind == wire.FileReady && !farm.IsSHA256(r.File.SHA256):
		return b.pass(r, errBad)
	case r.Kind == wire.FileReady:
		return b.want(p, *r.File)
	case !known:
		return b.pass(r, errNoRun)
	}
	if own, err := b.goesOn(p, r); err != nil || !own || !p.DeletedAt.IsZero() {
		return err // another agent goes on with it, and may still bring the file
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

// want notes a file to be fetched. When there is no such print, or it was deleted, the
// agent is only to be told that nobody wants the file: until then it keeps it.
func (b *batch) want(p farm.Print, f wire.FileRecord) error {
	b.pulls = true
	return b.tx.AddPull(farm.Pull{
		PrintID: p.ID, RunID: f.RunID, AgentID: b.agent.ID, Role: string(f.Role), SHA256: f.SHA256, Size: f.Size, Name: f.Name, NextAt: b.at,
	})
}
