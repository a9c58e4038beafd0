package hublink

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"bambuddy/shared/atomicfile"
	"bambuddy/shared/wire"
)

const (
	journalFile = "commands.journal"
	maxJournal  = 8 << 20 // bytes that are read; a journal of ours is far smaller
)

// Journal remembers on disk which commands were begun, so that a command that
// comes again after a restart does not act again. It holds the newest ids only. A
// file that was damaged is kept beside it for a person to look at, and what can
// be read of it is used.
//
// The file has a line per command: a checksum in hexadecimal and a JSON object.
type Journal struct {
	path string
	most int // entries at which the older half goes
	log  *slog.Logger

	mu      sync.Mutex
	file    *os.File
	size    int64
	entries []journalEntry // oldest first
	written int64          // entries ever appended

	syncing sync.Mutex // held while syncing, and taken before mu
	synced  int64      // of written
}

// journalEntry is a command that was begun.
type journalEntry struct {
	ID     string           `json:"id"`
	Serial string           `json:"serial"`
	Kind   wire.CommandKind `json:"kind"`
}

// OpenJournal reads the journal of a data directory, or begins one. Close it.
func OpenJournal(dir string, log *slog.Logger) (*Journal, error) {
	return openJournal(dir, maxCommands, log)
}

func openJournal(dir string, most int, log *slog.Logger) (*Journal, error) {
	j := &Journal{path: filepath.Join(dir, journalFile), most: most, log: log}
	whole, err := j.read()
	if err != nil {
		return nil, fmt.Errorf("open the journal of commands: %w", err)
	}
	if len(j.entries) > most {
		j.entries, whole = j.entries[len(j.entries)-most:], false
	}
	if !whole {
		err = j.rewrite()
	} else {
		err = j.open()
	}
	if err != nil {
		return nil, fmt.Errorf("open the journal of commands: %w", err)
	}
	return j, nil
}

// Close ends the use of the file.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	return err
}

// read takes in what the file holds. whole: it can be appended to as it is.
func (j *Journal) read() (whole bool, err error) {
	info, err := os.Stat(j.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case info.Size() > maxJournal:
		j.log.Error("the journal of commands is not ours and was set aside; commands of before the restart may be carried out again", "bytes", info.Size())
		return false, os.Rename(j.path, j.path+".unusable")
	}
	data, err := os.ReadFile(j.path)
	if err != nil {
		return false, err
	}
	damaged := 0
	for line := range bytes.Lines(data) {
		if e, ok := parseLine(line); ok {
			j.entries = append(j.entries, e)
		} else {
			damaged++
		}
	}
	if damaged == 0 {
		return true, nil
	}
	j.log.Warn("the journal of commands was damaged, as by a power cut; a copy was set aside", "lines_lost", damaged, "lines_kept", len(j.entries))
	return false, atomicfile.WriteFile(j.path+".unusable", data, 0o600)
}

// rewrite replaces the file by the entries held.
func (j *Journal) rewrite() error {
	var all []byte
	for _, e := range j.entries {
		all = append(all, e.line()...)
	}
	if err := atomicfile.WriteFile(j.path, all, 0o600); err != nil {
		return err
	}
	return j.open()
}

func (j *Journal) open() error {
	f, err := os.OpenFile(j.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return err
	}
	j.file, j.size = f, info.Size()
	return nil
}

// note writes an entry down, and returns once it would outlive a power cut. Those
// who come at the same time share one sync.
func (j *Journal) note(e journalEntry) error {
	mine, err := j.append(e)
	if err != nil {
		return fmt.Errorf("note a command: %w", err)
	}
	j.syncing.Lock()
	defer j.syncing.Unlock()
	if j.synced >= mine {
		return nil
	}
	j.mu.Lock()
	file, written := j.file, j.written
	j.mu.Unlock()
	if err := file.Sync(); err != nil {
		return fmt.Errorf("note a command: %w", err)
	}
	j.synced = written
	return j.shrink()
}

func (j *Journal) append(e journalEntry) (number int64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return 0, fs.ErrClosed
	}
	line := e.line()
	if _, err := j.file.WriteAt(line, j.size); err != nil {
		_ = j.file.Truncate(j.size) // the next line is written over what is left of this one
		return 0, err
	}
	j.size += int64(len(line))
	j.entries = append(j.entries, e)
	j.written++
	return j.written, nil
}

// shrink drops the older half of a full journal. The caller holds syncing.
func (j *Journal) shrink() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.entries) < j.most || j.file == nil {
		return nil
	}
	j.entries = append([]journalEntry(nil), j.entries[len(j.entries)-j.most/2:]...)
	_ = j.file.Close() // synced; and some systems do not replace an open file
	j.file = nil
	err := j.rewrite()
	if err == nil {
		j.synced = j.written
		return nil
	}
	j.log.Error("the journal of commands could not be shortened", "err", err)
	if err := j.open(); err != nil { // the old file still holds all of it
		return fmt.Errorf("note a command: %w", err)
	}
	return nil
}

// begun gives the entries held, oldest first.
func (j *Journal) begun() []journalEntry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]journalEntry(nil), j.entries...)
}

var journalSums = crc32.MakeTable(crc32.Castagnoli)

func (e journalEntry) line() []byte {
	body, _ := json.Marshal(e) // three strings
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(body, journalSums), body)
}

func parseLine(line []byte) (e journalEntry, ok bool) {
	sum, body, found := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
	if !found || !bytes.HasSuffix(line, []byte("\n")) ||
		string(sum) != fmt.Sprintf("%08x", crc32.Checksum(body, journalSums)) {
		return e, false
	}
	return e, json.Unmarshal(body, &e) == nil && e.ID != ""
}
