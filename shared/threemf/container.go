package threemf

import (
	"bytes"
	"cmp"
	"hash/crc32"
	"io"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of a file. Real ones have some dozens of members, projects some hundreds; the
// largest part is G-code, which packs to a fifth.
const (
	maxMembers   = 10_000
	maxDirectory = 4 << 20
	maxName      = 1024
	maxMember    = 4 << 30 // unpacked
	maxTotal     = 16 << 30

	// What unpacks to more than bombSize and more than bombRatio times its size is a
	// bomb, and so is a part of some size that packs as nothing but a bomb does.
	bombSize    = 64 << 20
	bombRatio   = 200
	smallMember = 4 << 20
	maxRatio    = 900
)

// member is one part of a file.
type member struct {
	name   string // as it is called
	raw    string // as its own header spells that
	flags  uint16
	method uint16
	sum    uint32
	packed int64
	size   int64
	header int64 // where it begins
	limit  int64 // where the next thing begins
	plain  bool  // neither a link nor a device
}

// The methods of packing.
const (
	stored   = 0
	deflated = 8
)

// Flags of a member.
const (
	encrypted = 1 << 0
	isUTF8    = 1 << 11
)

func (m *member) short() string { return path.Base(m.name) }

// readContainer checks a ZIP and gives its members by name.
func readContainer(r io.ReaderAt, size int64) (map[string]*member, error) {
	if size <= 0 {
		return nil, refuse(Damaged, "it is empty")
	}
	d, err := findDirectory(r, size)
	if err != nil {
		return nil, err
	}
	list, err := d.at(r, d.offset, d.length)
	if err != nil {
		return nil, err
	}
	all, err := entries(list, d)
	if err != nil {
		return nil, err
	}
	if err := checkLayout(all, d.offset, size); err != nil {
		return nil, err
	}
	return byName(all)
}

// entries reads the directory.
func entries(list []byte, d directory) ([]*member, error) {
	all := make([]*member, 0, min(d.entries, int64(len(list)/entryHead)))
	for range d.entries {
		m, length, err := entry(list)
		if err != nil {
			return nil, err
		}
		all, list = append(all, m), list[length:]
	}
	if len(list) > 0 {
		return nil, refuse(Hostile, "its directory holds more than it says")
	}
	return all, nil
}

// entry reads the first entry of the rest of a directory, and gives its length.
func entry(b []byte) (*member, int, error) {
	if len(b) < entryHead || u32(b, 0) != entrySignature {
		return nil, 0, refuse(Damaged, "its directory holds less than it says")
	}
	name, extra, comment := int(u16(b, 28)), int(u16(b, 30)), int(u16(b, 32))
	length := entryHead + name + extra + comment
	if len(b) < length {
		return nil, 0, refuse(Damaged, "its directory is cut short")
	}
	m := &member{
		raw: string(b[entryHead:][:name]), flags: u16(b, 8), method: u16(b, 10), sum: u32(b, 16),
		packed: int64(u32(b, 20)), size: int64(u32(b, 24)), header: int64(u32(b, 42)),
	}
	m.name, m.plain = m.raw, isPlain(b[5], u32(b, 38))
	if err := m.extras(b[entryHead+name:][:extra]); err != nil {
		return nil, 0, err
	}
	return m, length, m.check()
}

// isPlain tells from what a system says of a member that it is a file or a folder.
func isPlain(system byte, attributes uint32) bool {
	const unix, darwin = 3, 19
	if system != unix && system != darwin {
		return true
	}
	switch attributes >> 28 { // the type of a file in st_mode
	case 0, 4, 8: // not told, folder, file
		return true
	default:
		return false
	}
}

// extras reads the numbers that do not fit, and the name in Unicode. Other extras are
// of no interest, nor are those that nobody can read.
func (m *member) extras(b []byte) error {
	const large, unicodePath = 0x0001, 0x7075
	full := m.full()
	for len(b) >= 4 {
		tag, n := u16(b, 0), int(u16(b, 2))
		if b = b[4:]; n > len(b) {
			break
		}
		field := b[:n]
		b = b[n:]
		switch {
		case tag == large && len(full) > 0:
			for len(full) > 0 && len(field) >= 8 {
				v := u64(field, 0)
				if v > 1<<62 {
					return refuse(Damaged, "a member lies beyond its end")
				}
				*full[0], full, field = int64(v), full[1:], field[8:]
			}
		case tag == unicodePath && n > 5 && field[0] == 1 && u32(field, 1) == crc32.ChecksumIEEE([]byte(m.raw)):
			m.name = string(field[5:])
		}
	}
	if len(full) > 0 {
		return refuse(Damaged, "a member lies beyond its end")
	}
	return nil
}

// full are the numbers that did not fit, in the order in which an extra tells them.
func (m *member) full() (out []*int64) {
	for _, v := range []*int64{&m.size, &m.packed, &m.header} {
		if *v == 0xffffffff {
			out = append(out, v)
		}
	}
	return out
}

// check refuses a member by what the directory says of it.
func (m *member) check() error {
	if err := checkName(m.raw); err != nil {
		return err
	}
	if m.name != m.raw {
		if err := checkName(m.name); err != nil {
			return err
		}
		if !bytes.ContainsFunc([]byte(m.raw), func(r rune) bool { return r >= utf8.RuneSelf }) || m.flags&isUTF8 != 0 {
			return refuse(Hostile, "a member has two names: %.80q and %.80q", m.raw, m.name)
		}
	}
	switch {
	case m.flags&encrypted != 0:
		return refuse(Hostile, "%.80q is encrypted", m.name)
	case !m.plain:
		return refuse(Hostile, "%.80q is no plain file", m.name)
	case m.size > maxMember:
		return refuse(Hostile, "%.80q unpacks to %d bytes, more than %d", m.name, m.size, int64(maxMember))
	case m.size > bombSize && m.size/bombRatio > m.packed, m.size > smallMember && m.size/maxRatio > m.packed:
		return refuse(Hostile, "%.80q is a ZIP bomb: %d bytes unpack to %d", m.name, m.packed, m.size)
	}
	return nil
}

// checkName refuses names that lead out of a folder, wherever they are unpacked.
func checkName(name string) error {
	whole := strings.TrimSuffix(name, "/") // of a folder
	readable := utf8.ValidString(name)     // else a backslash may be half a letter
	switch {
	case len(name) > maxName || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return refuse(Hostile, "a member has a name that no file can have: %.80q", name)
	case whole == "" || path.IsAbs(whole) || path.Clean(whole) != whole || whole == "." || whole == ".." || strings.HasPrefix(whole, "../"),
		readable && strings.Contains(name, `\`), len(name) > 1 && name[1] == ':':
		return refuse(Hostile, "a member's name leads out of the archive: %.80q", name)
	}
	return nil
}

// checkLayout refuses members that share bytes, which could otherwise stand for any
// number of them, and tells each where it must end. The rest of that is checked when a
// member is opened: only its own header tells to the byte where it begins.
func checkLayout(all []*member, end, size int64) error {
	total := int64(0)
	order := slices.Clone(all)
	slices.SortFunc(order, func(a, b *member) int { return cmp.Compare(a.header, b.header) })
	for i, m := range order {
		if total += m.size; total > maxTotal || total > bombSize && total/bombRatio > size {
			return refuse(Hostile, "it is a ZIP bomb: %d bytes unpack to %d and more", size, total)
		}
		if m.limit = end; i+1 < len(order) {
			m.limit = order[i+1].header
		}
		least := m.header + memberHead + int64(len(m.raw))
		switch {
		case least > end || m.packed > end-least:
			return refuse(Damaged, "a member lies beyond its end")
		case least+m.packed > m.limit:
			return refuse(Hostile, "members overlap")
		}
	}
	return nil
}

// byName gives the files among members, by their names in lower case. Those whose
// names nobody can read are of no interest.
func byName(all []*member) (map[string]*member, error) {
	out := make(map[string]*member, len(all))
	for _, m := range all {
		if strings.HasSuffix(m.name, "/") || !utf8.ValidString(m.name) {
			continue
		}
		low := strings.ToLower(m.name)
		if out[low] != nil {
			return nil, refuse(Hostile, "it holds %.80q twice", m.name)
		}
		out[low] = m
	}
	return out, nil
}
