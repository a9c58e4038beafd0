package blob

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"bambuddy/shared/farm"
)

func randomName() string { return rand.Text() }

// Memory is a Store for tests, that can be made to fail.
type Memory struct {
	mu      sync.Mutex
	objects map[string]object
	fault   func(op, key string) error
	delay   time.Duration
	cut     int64 // how many bytes of a body are given, negative: all
}

type object struct {
	data []byte
	info Info
}

// NewMemory makes an empty one.
func NewMemory() *Memory { return &Memory{objects: map[string]object{}, cut: -1} }

// Break makes operations ("put", "get", "stat", "delete", "list", "check") give what
// fault says, where that is an error; nil mends it.
func (m *Memory) Break(fault func(op, key string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = fault
}

// Slow makes every operation take that long.
func (m *Memory) Slow(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.delay = d
}

// Cut makes the bodies that are read end after so many bytes; negative mends it.
func (m *Memory) Cut(after int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cut = after
}

// trouble is what an operation meets before it does anything.
func (m *Memory) trouble(ctx context.Context, op, key string) error {
	m.mu.Lock()
	fault, delay := m.fault, m.delay
	m.mu.Unlock()
	if delay > 0 {
		wait := time.NewTimer(delay)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-ctx.Done():
		}
	}
	if err := ctx.Err(); err != nil || fault == nil {
		return err
	}
	return fault(op, key)
}

// Put is Store's.
func (m *Memory) Put(ctx context.Context, key string, r io.Reader, size int64, o PutOptions) (Info, error) {
	if err := CheckKey(key); err != nil {
		return Info{}, err
	}
	data, err := io.ReadAll(newBody(ctx, r, size, o.SHA256))
	if err != nil {
		return Info{}, err
	}
	if err := m.trouble(ctx, "put", key); err != nil {
		return Info{}, err
	}
	info := Info{Key: key, Size: int64(len(data)), Modified: time.Now().UTC(), ContentType: o.ContentType}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[key] = object{data, info}
	return info, nil
}

// Get is Store's.
func (m *Memory) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, Info, error) {
	o, err := m.find(ctx, "get", key)
	if err != nil {
		return nil, Info{}, err
	}
	if length, err = span(key, o.info.Size, offset, length); err != nil {
		return nil, Info{}, err
	}
	body := io.Reader(bytes.NewReader(o.data[offset : offset+length]))
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cut >= 0 && m.cut < length {
		body = io.MultiReader(io.LimitReader(body, m.cut), failing{ErrCut})
	}
	return io.NopCloser(body), o.info, nil
}

// failing is a reader that fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// Stat is Store's.
func (m *Memory) Stat(ctx context.Context, key string) (Info, error) {
	o, err := m.find(ctx, "stat", key)
	return o.info, err
}

func (m *Memory) find(ctx context.Context, op, key string) (object, error) {
	if err := CheckKey(key); err != nil {
		return object{}, err
	}
	if err := m.trouble(ctx, op, key); err != nil {
		return object{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[key]
	if !ok {
		return object{}, missing(key)
	}
	return o, nil
}

// Delete is Store's.
func (m *Memory) Delete(ctx context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if err := m.trouble(ctx, "delete", key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, key)
	return nil
}

// List is Store's.
func (m *Memory) List(ctx context.Context, prefix, after string, fn func(Info) error) error {
	if err := m.trouble(ctx, "list", prefix); err != nil {
		return err
	}
	m.mu.Lock()
	objects := maps.Clone(m.objects)
	m.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(objects)) {
		if !strings.HasPrefix(key, prefix) || key <= after {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(objects[key].info); err != nil {
			return err
		}
	}
	return nil
}

// Check is Store's.
func (m *Memory) Check(ctx context.Context) error { return m.trouble(ctx, "check", "") }

// What stores in trouble give: ErrAway and ErrRefused are for Break, ErrCut is Cut's.
var (
	ErrAway    = farm.Errorf(farm.Unavailable, "the object store is away")
	ErrRefused = farm.Errorf(farm.Unavailable, "the object store refuses our key (AccessDenied)")
	ErrCut     = farm.Wrap(farm.Unavailable, io.ErrUnexpectedEOF, "the object store ended early")
)
