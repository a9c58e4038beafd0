package threemf

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"io"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of a file. Real ones have some dozens of members; the largest part is G-code,
// which packs to a fifth.
const (
	maxMembers   = 20_000
	maxDirectory = 8 << 20
	maxMember    = 8 << 30
	maxTotal     = 32 << 30
	maxRatio     = 1000
	smallMember  = 4 << 20 // of which the ratio is of no interest
	maxName      = 1024
	maxPlates    = 999

	maxXML      = 32 << 20
	maxJSON     = 16 << 20
	maxPicture  = 32 << 20
	maxHead     = 1 << 20  // of the model, before its geometry
	maxGcodeTop = 64 << 10 // of G-code, for its header
)

// container checks a ZIP and gives its members by name.
func container(r io.ReaderAt, size int64) (map[string]*zip.File, error) {
	if size == 0 {
		return nil, refuse(Damaged, "it is empty")
	}
	if err := checkDirectory(r, size); err != nil {
		return nil, err
	}
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, refuse(Damaged, "it is no ZIP file, or a damaged one: %v", err)
	}
	if err := checkLayout(z.File, size); err != nil {
		return nil, err
	}
	members := make(map[string]*zip.File, len(z.File))
	folded := make(map[string]bool, len(z.File))
	for _, m := range z.File {
		if err := checkMember(m); err != nil {
			return nil, err
		}
		if strings.HasSuffix(m.Name, "/") {
			continue // a folder
		}
		low := strings.ToLower(m.Name)
		if folded[low] {
			return nil, refuse(Hostile, "it holds %q twice", m.Name)
		}
		folded[low], members[m.Name] = true, m
	}
	return members, nil
}

// The signatures and sizes of a ZIP's end.
const (
	endSignature     = 0x06054b50
	endSize          = 22
	end64Signature   = 0x06064b50
	locatorSignature = 0x07064b50
	locatorSize      = 20
)

// checkDirectory bounds the directory before it is read: the library reads as many
// entries as there are.
func checkDirectory(r io.ReaderAt, size int64) error {
	tail := make([]byte, min(size, endSize+1<<16))
	if _, err := r.ReadAt(tail, size-int64(len(tail))); err != nil && err != io.EOF {
		return err
	}
	at := bytes.LastIndex(tail, []byte{'P', 'K', 5, 6})
	if at < 0 || len(tail)-at < endSize {
		return refuse(Damaged, "it is no ZIP file, or its end is missing")
	}
	end := tail[at:]
	entries, length, offset := uint64(binary.LittleEndian.Uint16(end[10:])), uint64(binary.LittleEndian.Uint32(end[12:])), uint64(binary.LittleEndian.Uint32(end[16:]))
	endAt := size - int64(len(tail)-at)
	if entries == 0xffff || length == 0xffffffff || offset == 0xffffffff {
		found, err := end64(r, endAt, &entries, &length, &offset)
		if err != nil {
			return err
		}
		if found > 0 {
			endAt = found
		}
	}
	switch {
	case entries > maxMembers:
		return refuse(Hostile, "it holds %d members, more than %d", entries, maxMembers)
	case length > maxDirectory:
		return refuse(Hostile, "its directory has %d bytes, more than %d", length, maxDirectory)
	case offset > uint64(endAt) || length > uint64(endAt)-offset: //nolint:gosec // endAt is a position
		return refuse(Damaged, "its directory is not where it says")
	case offset+length != uint64(endAt): //nolint:gosec // as above
		return refuse(Hostile, "something stands before or behind its directory")
	}
	return nil
}

// end64 reads the end of a large ZIP, which stands before the other; 0 without one.
func end64(r io.ReaderAt, endAt int64, entries, length, offset *uint64) (int64, error) {
	if endAt < locatorSize {
		return 0, nil
	}
	locator := make([]byte, locatorSize)
	if _, err := r.ReadAt(locator, endAt-locatorSize); err != nil {
		return 0, err
	}
	if binary.LittleEndian.Uint32(locator) != locatorSignature {
		return 0, nil
	}
	at := binary.LittleEndian.Uint64(locator[8:])
	if at > uint64(endAt) { //nolint:gosec // a position
		return 0, refuse(Damaged, "its end is not where it says")
	}
	end := make([]byte, 56)
	if _, err := r.ReadAt(end, int64(at)); err != nil { //nolint:gosec // checked
		return 0, refuse(Damaged, "its end is cut short")
	}
	if binary.LittleEndian.Uint32(end) != end64Signature {
		return 0, refuse(Damaged, "its end is not where it says")
	}
	*entries, *length, *offset = binary.LittleEndian.Uint64(end[32:]), binary.LittleEndian.Uint64(end[40:]), binary.LittleEndian.Uint64(end[48:])
	return int64(at), nil //nolint:gosec // checked
}

// checkLayout refuses members that share bytes: a few bytes could otherwise stand for
// any number of them.
func checkLayout(files []*zip.File, size int64) error {
	type stretch struct{ from, to int64 }
	var all []stretch
	total := uint64(0)
	for _, m := range files {
		if total += m.UncompressedSize64; total > maxTotal || m.UncompressedSize64 > maxMember {
			return refuse(Hostile, "unpacked it would have more than %d bytes", int64(maxTotal))
		}
		from, err := m.DataOffset()
		if err != nil || m.CompressedSize64 > uint64(size) || from+int64(m.CompressedSize64) > size { //nolint:gosec // the comparison before
			return refuse(Damaged, "a member lies beyond its end")
		}
		if m.CompressedSize64 > 0 {
			all = append(all, stretch{from, from + int64(m.CompressedSize64)}) //nolint:gosec // as above
		}
	}
	slices.SortFunc(all, func(a, b stretch) int { return int(min(max(a.from-b.from, -1), 1)) })
	for i := 1; i < len(all); i++ {
		if all[i].from < all[i-1].to {
			return refuse(Hostile, "members overlap")
		}
	}
	return nil
}

func checkMember(m *zip.File) error {
	name := strings.TrimSuffix(m.Name, "/")
	switch {
	case len(m.Name) > maxName || !utf8.ValidString(m.Name) || strings.ContainsFunc(m.Name, func(r rune) bool { return r < ' ' }):
		return refuse(Hostile, "a member has a name that no file can have")
	case name == "" || path.IsAbs(name) || path.Clean(name) != name || name == ".." || strings.HasPrefix(name, "../"),
		strings.Contains(name, `\`), len(name) > 1 && name[1] == ':':
		return refuse(Hostile, "a member's name leads out of the archive: %.80q", m.Name)
	case m.Flags&1 != 0:
		return refuse(Hostile, "%.80q is encrypted", m.Name)
	case m.Method != zip.Store && m.Method != zip.Deflate:
		return refuse(Damaged, "%.80q is packed in an unknown way", m.Name)
	case !m.Mode().IsRegular() && !m.Mode().IsDir():
		return refuse(Hostile, "%.80q is no plain file", m.Name)
	case m.UncompressedSize64 > smallMember && m.UncompressedSize64/maxRatio > m.CompressedSize64:
		return refuse(Hostile, "%.80q unpacks to more than %d times its size", m.Name, maxRatio)
	}
	return nil
}
