package ftpserver

import (
	"errors"
	"io"
	"io/fs"
	"time"
)

// Storage is where a server keeps its files. Names are clean absolute paths with
// slashes: "/cache/part.3mf". Methods may be called at the same time. What is not
// there is fs.ErrNotExist; what a card cannot take is ErrFull or ErrNoCard; all
// other errors are told to clients as a plain refusal.
type Storage interface {
	Stat(name string) (fs.FileInfo, error)
	ReadDir(name string) ([]fs.FileInfo, error) // oldest first
	Open(name string) (io.ReadCloser, error)
	Create(name string) (Upload, error)
	Remove(name string) error    // a file
	RemoveDir(name string) error // an empty directory
	Mkdir(name string) error
	Rename(from, to string) error
}

// Upload is a file on its way in. It shows in the storage, in place of an older
// one of that name, once it is committed. Either Commit or Discard ends it; a
// Discard after a Commit does nothing.
type Upload interface {
	io.Writer
	Commit() error
	Discard()
}

// What a Storage answers besides the errors of package fs.
var (
	ErrFull   = errors.New("the storage is full")
	ErrNoCard = errors.New("there is no storage")
)

// absent is a printer without a card: an empty root that takes nothing.
type absent struct{}

func (absent) Stat(name string) (fs.FileInfo, error) {
	if name == "/" {
		return &node{name: "/", dir: true, modified: time.Now()}, nil
	}
	return nil, fs.ErrNotExist
}

func (absent) ReadDir(name string) ([]fs.FileInfo, error) {
	if name == "/" {
		return nil, nil
	}
	return nil, fs.ErrNotExist
}

func (absent) Open(string) (io.ReadCloser, error) { return nil, fs.ErrNotExist }
func (absent) Create(string) (Upload, error)      { return nil, ErrNoCard }
func (absent) Remove(string) error                { return fs.ErrNotExist }
func (absent) RemoveDir(string) error             { return fs.ErrNotExist }
func (absent) Mkdir(string) error                 { return ErrNoCard }
func (absent) Rename(string, string) error        { return fs.ErrNotExist }
