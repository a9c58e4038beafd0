package ftpserver

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// chunk is how a file lies in memory: in pieces, so that it grows without being copied.
const chunk = 64 << 10

// Memory is a bounded storage in memory. It takes no room before it is used.
// Make one with NewMemory. Its methods may be called at the same time.
type Memory struct {
	capacity int64
	dirs     []string

	mu    sync.Mutex
	used  int64 // uploads on their way in included
	made  int
	nodes map[string]*node // nil before the first use
}

// NewMemory makes a storage that holds up to capacity bytes of files, in the
// root and the directories given.
func NewMemory(capacity int64, dirs ...string) *Memory {
	return &Memory{capacity: capacity, dirs: dirs}
}

// node is one file or directory. It never changes once it is in the storage.
type node struct {
	name     string
	dir      bool
	size     int64
	chunks   [][]byte
	sum      string // SHA-256, hexadecimal
	modified time.Time
	order    int
}

func (n *node) Name() string       { return n.name }
func (n *node) Size() int64        { return n.size }
func (n *node) ModTime() time.Time { return n.modified }
func (n *node) IsDir() bool        { return n.dir }
func (*node) Sys() any             { return nil }

func (n *node) Mode() fs.FileMode {
	if n.dir {
		return fs.ModeDir | 0o755
	}
	return 0o644
}

// all are the nodes by path. The caller holds the lock.
func (m *Memory) all() map[string]*node {
	if m.nodes == nil {
		m.nodes = map[string]*node{}
		for _, d := range append([]string{"/"}, m.dirs...) {
			m.put(d, &node{dir: true, modified: time.Now()})
		}
	}
	return m.nodes
}

func (m *Memory) put(name string, n *node) {
	m.made++
	n.name, n.order = path.Base(name), m.made
	m.all()[name] = n
}

func (m *Memory) find(name string) (*node, error) {
	n := m.all()[name]
	if n == nil {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return n, nil
}

// file finds one that is no directory.
func (m *Memory) file(name string) (*node, error) {
	n, err := m.find(name)
	if err == nil && n.dir {
		return nil, fmt.Errorf("%s is a directory: %w", name, fs.ErrInvalid)
	}
	return n, err
}

// room checks that a file or directory may be made under this name.
func (m *Memory) room(name string) error {
	parent, err := m.find(path.Dir(name))
	if err == nil && !parent.dir {
		err = fmt.Errorf("%s lies in no directory: %w", name, fs.ErrInvalid)
	}
	return err
}

// Stat tells of a file or directory.
func (m *Memory) Stat(name string) (fs.FileInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(name)
	if err != nil {
		return nil, err // not a nil node in an interface
	}
	return n, nil
}

// ReadDir lists a directory in the order in which things were made.
func (m *Memory) ReadDir(name string) ([]fs.FileInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(name)
	if err != nil {
		return nil, err
	}
	if !n.dir {
		return nil, fmt.Errorf("%s is no directory: %w", name, fs.ErrInvalid)
	}
	var in []*node
	for p, n := range m.nodes {
		if p != "/" && path.Dir(p) == name {
			in = append(in, n)
		}
	}
	slices.SortFunc(in, func(a, b *node) int { return a.order - b.order })
	out := make([]fs.FileInfo, len(in))
	for i, n := range in {
		out[i] = n
	}
	return out, nil
}

// Open reads a file, as it is now: neither a deletion nor a new one disturbs.
func (m *Memory) Open(name string) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.file(name)
	if err != nil {
		return nil, err
	}
	return &reader{rest: n.chunks}, nil
}

// Sum is the SHA-256 of a file, in hexadecimal.
func (m *Memory) Sum(name string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.file(name)
	if err != nil {
		return "", err
	}
	return n.sum, nil
}

// Free is how many more bytes it takes.
func (m *Memory) Free() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.capacity - m.used
}

// Put stores a file at once.
func (m *Memory) Put(name string, data []byte) error {
	u, err := m.Create(name)
	if err != nil {
		return err
	}
	defer u.Discard()
	if _, err := u.Write(data); err != nil {
		return fmt.Errorf("store %s: %w", name, err)
	}
	return u.Commit()
}

// Create begins a file.
func (m *Memory) Create(name string) (Upload, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.vacant(name); err != nil {
		return nil, err
	}
	return &upload{memory: m, path: name, hash: sha256.New()}, nil
}

// vacant checks that a file may take this name.
func (m *Memory) vacant(name string) error {
	if err := m.room(name); err != nil {
		return err
	}
	if old := m.nodes[name]; old != nil && old.dir {
		return fmt.Errorf("%s is a directory: %w", name, fs.ErrExist)
	}
	return nil
}

// Remove deletes a file.
func (m *Memory) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.file(name)
	if err != nil {
		return err
	}
	m.used -= n.size
	delete(m.nodes, name)
	return nil
}

// RemoveDir deletes an empty directory, but not the root.
func (m *Memory) RemoveDir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(name)
	if err != nil {
		return err
	}
	if !n.dir || name == "/" || m.below(name) {
		return fmt.Errorf("%s is no empty directory: %w", name, fs.ErrInvalid)
	}
	delete(m.nodes, name)
	return nil
}

func (m *Memory) below(name string) bool {
	for p := range m.nodes {
		if strings.HasPrefix(p, name+"/") {
			return true
		}
	}
	return false
}

// Mkdir makes a directory.
func (m *Memory) Mkdir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all()[name] != nil {
		return fmt.Errorf("%s: %w", name, fs.ErrExist)
	}
	if err := m.room(name); err != nil {
		return err
	}
	m.put(name, &node{dir: true, modified: time.Now()})
	return nil
}

// Rename moves a file, over another one if need be, or an empty directory.
func (m *Memory) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(from)
	if err != nil {
		return err
	}
	if n.dir && (m.nodes[to] != nil || from == "/" || m.below(from) || strings.HasPrefix(to, from+"/")) {
		return fmt.Errorf("%s cannot become %s: %w", from, to, fs.ErrInvalid)
	}
	if err := m.vacant(to); err != nil || from == to {
		return err
	}
	if old := m.nodes[to]; old != nil {
		m.used -= old.size
	}
	moved := *n
	moved.name = path.Base(to)
	delete(m.nodes, from)
	m.nodes[to] = &moved
	return nil
}

// upload is a file on its way into a Memory.
type upload struct {
	memory *Memory
	path   string
	file   node
	hash   hash.Hash
	ended  bool
}

func (u *upload) Write(b []byte) (int, error) {
	u.memory.mu.Lock()
	full := u.memory.used+int64(len(b)) > u.memory.capacity
	if !full {
		u.memory.used += int64(len(b))
	}
	u.memory.mu.Unlock()
	if full {
		return 0, ErrFull
	}
	u.file.size += int64(len(b))
	_, _ = u.hash.Write(b) // it never fails
	for rest := b; len(rest) > 0; {
		last := len(u.file.chunks) - 1
		if last < 0 || len(u.file.chunks[last]) == chunk {
			u.file.chunks = append(u.file.chunks, make([]byte, 0, chunk))
			last++
		}
		n := min(len(rest), chunk-len(u.file.chunks[last]))
		u.file.chunks[last] = append(u.file.chunks[last], rest[:n]...)
		rest = rest[n:]
	}
	return len(b), nil
}

func (u *upload) Commit() error {
	m := u.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	if u.ended {
		return fmt.Errorf("%s: %w", u.path, fs.ErrClosed)
	}
	if err := m.vacant(u.path); err != nil { // its directory went meanwhile
		return err
	}
	u.ended = true
	if old := m.nodes[u.path]; old != nil {
		m.used -= old.size
	}
	if last := len(u.file.chunks) - 1; last >= 0 {
		u.file.chunks[last] = bytes.Clone(u.file.chunks[last]) // small files take little
	}
	u.file.sum, u.file.modified = hex.EncodeToString(u.hash.Sum(nil)), time.Now()
	m.put(u.path, &u.file)
	return nil
}

func (u *upload) Discard() {
	if u.ended {
		return
	}
	u.ended = true
	u.memory.mu.Lock()
	u.memory.used -= u.file.size
	u.memory.mu.Unlock()
}

// reader reads a file's chunks.
type reader struct {
	rest [][]byte
	at   int
}

func (r *reader) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, r.rest[0][r.at:])
	if r.at += n; r.at == len(r.rest[0]) {
		r.rest, r.at = r.rest[1:], 0
	}
	return n, nil
}

func (*reader) Close() error { return nil }
