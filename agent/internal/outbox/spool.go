package outbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"bambuddy/shared/atomicfile"
	"bambuddy/shared/farm"
)

// ErrFull is what writing gives when captured files may take no more: those that the
// hub has not fetched are never given up for others.
var ErrFull = farm.Errorf(farm.Unavailable, "agent storage full")

const tempPrefix = "part-"

// files is the folder of captured files and how many bytes it may take.
type files struct {
	dir     string
	quota   int64
	reserve int64 // of the disk, that they leave to the journal

	mu   sync.Mutex
	used int64           // of files that are there, and being written
	held map[string]bool // kept again, until the Commit that names them
}

func (f *files) open(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of captured files: %w", err)
	}
	f.dir, f.held = dir, map[string]bool{}
	return nil
}

// limit sets how many bytes the files may take, when it is known what is there.
func (f *files) limit(quota int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	free, known := diskFree(f.dir)
	if known {
		f.reserve = min(mostReserve, free/10)
	}
	if f.quota = quota; quota > 0 {
		return
	}
	f.quota = 10 << 30
	if known {
		f.quota = min(f.quota, (free+f.used)/5)
	}
}

// mostReserve is enough for a journal at its cap.
const mostReserve = 512 << 20

// take reserves bytes, false when there are none left.
func (f *files) take(n int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.used+n > f.quota {
		return false
	}
	if free, known := diskFree(f.dir); known && free-n < f.reserve {
		return false // others fill the disk too
	}
	f.used += n
	return true
}

// hold keeps a file that nobody refers to from being removed, or lets it go again.
func (f *files) hold(sha string, yes bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if delete(f.held, sha); yes {
		f.held[sha] = true
	}
}

// heldNow gives what is held, as JSON.
func (f *files) heldNow() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	list, _ := json.Marshal(slices.AppendSeq([]string{}, maps.Keys(f.held))) // hashes; an empty list, not null
	return string(list)
}

func (f *files) give(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.used -= n
}

// path is where a file is. The name is a hash, checked by the caller.
func (f *files) path(sha string) string { return filepath.Join(f.dir, sha) }

// Spool is a file being captured. It belongs to one goroutine, which ends it with Keep
// or Abort.
type Spool struct {
	b    *Outbox
	ctx  context.Context //nolint:containedctx // io.Writer has none
	file *os.File
	hash hash.Hash
	size int64
}

// Create begins a file.
func (b *Outbox) Create(ctx context.Context) (*Spool, error) {
	file, err := os.CreateTemp(b.files.dir, tempPrefix)
	if err != nil {
		return nil, fmt.Errorf("begin a captured file: %w", err)
	}
	return &Spool{b: b, ctx: ctx, file: file, hash: sha256.New()}, nil
}

// Write is io.Writer's: ErrFull when captured files may take no more.
func (s *Spool) Write(p []byte) (int, error) {
	if err := s.b.room(s.ctx, int64(len(p))); err != nil {
		return 0, err
	}
	n, err := s.put(p)
	s.b.files.give(int64(len(p) - n))
	return n, err
}

// put writes. When the disk is full, files that nobody refers to make room.
func (s *Spool) put(p []byte) (n int, err error) {
	for {
		more, err := s.file.Write(p[n:])
		s.hash.Write(p[n : n+more])
		n, s.size = n+more, s.size+int64(more)
		if err == nil || !isNoSpace(err) {
			return n, err
		}
		if err := s.b.makeRoom(s.ctx); err != nil {
			return n, err
		}
	}
}

// room reserves so many bytes, and gives up files for it that nobody refers to.
func (b *Outbox) room(ctx context.Context, n int64) error {
	for !b.files.take(n) {
		if err := b.makeRoom(ctx); err != nil {
			return err
		}
	}
	return nil
}

// makeRoom gives up one file; ErrFull when all are needed.
func (b *Outbox) makeRoom(ctx context.Context) error {
	given, err := b.evict(ctx)
	if err == nil && !given {
		b.setCrowded(true)
		return ErrFull
	}
	return err
}

// ReadAt is io.ReaderAt's.
func (s *Spool) ReadAt(p []byte, off int64) (int, error) { return s.file.ReadAt(p, off) }

// Size is how many bytes were written.
func (s *Spool) Size() int64 { return s.size }

// Keep makes the file durable under its hash. It is a print's with the Commit that
// names it; without one it goes at the next start.
func (s *Spool) Keep() (NewFile, error) {
	if err := s.file.Sync(); isNoSpace(err) {
		s.b.setCrowded(true)
		return NewFile{}, ErrFull
	} else if err != nil {
		return NewFile{}, fmt.Errorf("keep a captured file: %w", err)
	}
	kept := NewFile{SHA256: hex.EncodeToString(s.hash.Sum(nil)), Size: s.size}
	to := s.b.files.path(kept.SHA256)
	s.b.writing.Lock() // nobody removes a file meanwhile
	s.b.files.hold(kept.SHA256, true)
	there := exists(to)
	s.b.writing.Unlock()
	if there { // the same content: one is enough
		s.Abort()
		s.b.setCrowded(false)
		return kept, nil
	}
	if err := s.file.Close(); err != nil {
		return NewFile{}, fmt.Errorf("keep a captured file: %w", err)
	}
	if err := os.Rename(s.file.Name(), to); err != nil {
		return NewFile{}, fmt.Errorf("keep a captured file: %w", err)
	}
	if err := atomicfile.SyncDir(s.b.files.dir); err != nil {
		return NewFile{}, fmt.Errorf("keep a captured file: %w", err)
	}
	s.size = 0
	s.b.setCrowded(false)
	return kept, nil
}

// Abort gives the file up. After Keep it does nothing.
func (s *Spool) Abort() {
	_ = s.file.Close()
	if err := os.Remove(s.file.Name()); err == nil {
		s.b.files.give(s.size)
		s.size = 0
	}
}

// OpenFile opens a captured file by its hash: FILE_UNAVAILABLE when there is none. The
// caller closes it.
func (b *Outbox) OpenFile(_ context.Context, sha string) (*os.File, int64, error) {
	if !farm.IsSHA256(sha) {
		return nil, 0, farm.Errorf(farm.Invalid, "sha256: 64 lower-case hex digits")
	}
	f, err := os.Open(b.files.path(sha))
	if errors.Is(err, os.ErrNotExist) {
		return nil, 0, farm.Errorf(farm.FileUnavailable, "this agent has no such file")
	}
	if err != nil {
		return nil, 0, fmt.Errorf("open a captured file: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

var (
	_ io.Writer   = (*Spool)(nil)
	_ io.ReaderAt = (*Spool)(nil)
)
