package threemf

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// refused checks that a file is refused for a reason that a person can read, with
// little memory: what it holds at any time, and all that it ever allocated.
func refused(t *testing.T, name string, b []byte, kind Kind) {
	t.Helper()
	watch := newWatched(bytes.NewReader(b))
	_, err := Open(watch, int64(len(b)))
	held, all := watch.end()
	switch {
	case !Is(err, kind):
		t.Errorf("%s: %v, want %s", name, err, kind)
	case len(err.Error()) > 500 || strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }):
		t.Errorf("%s: its reason is not for people: %q", name, err)
	}
	if held > 16<<20 || all > 160<<20 {
		t.Errorf("%s: it held %d KiB and took %d KiB in all", name, held>>10, all>>10)
	}
	t.Logf("%s: %v (held %d KiB, took %d KiB)", name, err, held>>10, all>>10)
}

func TestBrokenFiles(t *testing.T) {
	whole := pack(t, parts()...)
	storedWhole := packAs(t, zip.Store, parts()...)
	middle := bytes.Index(whole, []byte("PK\x01\x02"))
	for name, c := range map[string]struct {
		data []byte
		kind Kind
	}{
		"empty":               {nil, Damaged},
		"one byte":            {[]byte("P"), Damaged},
		"no ZIP":              {[]byte(strings.Repeat("G1 X1\n", 100)), Damaged},
		"zeros":               {make([]byte, 1<<20), Damaged},
		"another ZIP":         {pack(t, part{"a.txt", "x"}), Not3MF},
		"an empty ZIP":        {pack(t), Not3MF},
		"cut":                 {whole[:len(whole)/2], Damaged},
		"without its end":     {whole[:len(whole)-endSize], Damaged},
		"without a byte":      {whole[:len(whole)-1], Damaged},
		"its end alone":       {whole[len(whole)-endSize:], Damaged},
		"its directory alone": {whole[middle:], Damaged},
		"a hole in it":        {slices.Concat(whole[:100], whole[200:]), Damaged},
		"wrong sum":           {bytes.Replace(storedWhole, []byte(`name="Würfel"`), []byte(`name="Wörfel"`), 1), Damaged},
		"not packed at all":   {raw(t, zip.FileHeader{Name: "Metadata/slice_info.config", Method: zip.Deflate, UncompressedSize64: 4}, "\xff\xff\xff\xff", parts()[2]), Damaged},
		"packed in its way":   {raw(t, zip.FileHeader{Name: "Metadata/slice_info.config", Method: 93}, "zstd", parts()[2]), Damaged},
		"an unknown entity":   {pack(t, but("Metadata/slice_info.config", `<config>&b;</config>`)...), Damaged},
		"XML that is cut":     {pack(t, but("Metadata/slice_info.config", sliceInfo[:900])...), Damaged},
	} {
		refused(t, name, c.data, c.kind)
	}
	for n := range len(whole) { // whatever is missing
		if _, err := Open(bytes.NewReader(whole[:n]), int64(n)); !Is(err, Damaged) {
			t.Fatalf("the first %d of %d bytes: %v", n, len(whole), err)
		}
	}
}

func TestHostileNames(t *testing.T) {
	link := zip.FileHeader{Name: "link"}
	link.SetMode(fs.ModeSymlink | 0o777)
	for name, b := range map[string][]byte{
		"parent folder":      pack(t, but("../3D/x", "x")...),
		"parent in between":  pack(t, but("3D/../../x", "x")...),
		"parent alone":       pack(t, but("..", "x")...),
		"a dot":              pack(t, but("3D/./x", "x")...),
		"two slashes":        pack(t, but("3D//x", "x")...),
		"absolute":           pack(t, but("/etc/passwd", "x")...),
		"drive":              pack(t, but("C:/x", "x")...),
		"backslash":          pack(t, but(`3D\..\x`, "x")...),
		"control character":  pack(t, but("a\nb", "x")...),
		"zero":               pack(t, but("Metadata/plate_1.gcode\x00.png", "x")...),
		"no name":            pack(t, but("", "x")...),
		"long":               pack(t, but(strings.Repeat("a", maxName+1), "x")...),
		"twice":              pack(t, append(parts(), part{"3D/3dmodel.model", model})...),
		"twice but for case": pack(t, append(parts(), part{"3d/3DMODEL.model", model})...),
		"a link":             raw(t, link, "/etc/passwd", parts()...),
		"encrypted":          raw(t, zip.FileHeader{Name: "x", Flags: encrypted}, "secret", parts()...),
		"many members":       many(t, maxMembers+1),
	} {
		refused(t, name, b, Hostile)
	}
}

func TestHostileContainers(t *testing.T) {
	whole := pack(t, parts()...)
	le := binary.LittleEndian
	changed := func(change func(b []byte, end int)) []byte {
		b := slices.Clone(whole)
		change(b, len(b)-endSize)
		return b
	}
	for name, b := range map[string][]byte{
		"something before it":   append([]byte("#!/bin/sh\nrm -rf /\n"), whole...),
		"a directory elsewhere": changed(func(b []byte, end int) { le.PutUint32(b[end+16:], u32(b, end+16)-1) }),
		"a large directory":     changed(func(b []byte, end int) { le.PutUint32(b[end+12:], maxDirectory+1) }),
		"fewer than there are":  changed(func(b []byte, end int) { le.PutUint16(b[end+10:], 1) }),
		"the same bytes twice":  overlap(t, 0),
		"bytes within others":   overlap(t, 40),
		"two ZIPs in one":       kernel(t),
		"another name inside":   other(t, func(b []byte, at int) { copy(b[at+memberHead:], "Metadata/slice_jnfo") }),
		"another method inside": other(t, func(b []byte, at int) { b[at+8] = stored }),
		"a secret inside":       other(t, func(b []byte, at int) { b[at+6] |= encrypted }),
		"more than it says":     raw(t, zip.FileHeader{Name: "Metadata/slice_info.config", UncompressedSize64: 4}, "<a/><b/>", parts()[2]),
	} {
		refused(t, name, b, Hostile)
	}
	refused(t, "more than there are", changed(func(b []byte, end int) { le.PutUint16(b[end+10:], 500) }), Damaged)
	refused(t, "something behind it", slices.Concat(whole, []byte("junk")), Damaged)
	refused(t, "longer inside", other(t, func(b []byte, at int) { le.PutUint16(b[at+28:], 60_000) }), Hostile)
}

// other changes a member's own header and not the directory.
func other(t *testing.T, change func(b []byte, at int)) []byte {
	b := pack(t, parts()...)
	change(b, bytes.Index(b, []byte("Metadata/slice_info.config"))-memberHead)
	return b
}

// overlap lets the directory say of the second member that it begins within the first.
func overlap(t *testing.T, at uint32) []byte {
	b := pack(t, part{"3D/3dmodel.model", model}, part{"Metadata/plate_1.gcode", gcode})
	second := bytes.LastIndex(b, []byte("PK\x01\x02"))
	binary.LittleEndian.PutUint32(b[second+42:], at)
	return b
}

// kernel is the bomb whose members are all the same bytes: each has its own header,
// and holds the headers of those behind it.
func kernel(t *testing.T) []byte {
	t.Helper()
	const n = 50
	le := binary.LittleEndian
	seed := pack(t, part{"a", strings.Repeat("\x00", 1<<20)})
	packed := int(u32(seed, bytes.Index(seed, []byte("PK\x01\x02"))+20))
	var out, list []byte
	for i := range n {
		name := fmt.Sprintf("Metadata/%04d.png", i)
		head := make([]byte, memberHead)
		le.PutUint32(head, memberSignature)
		le.PutUint16(head[8:], deflated)
		le.PutUint16(head[26:], uint16(len(name)))
		entry := make([]byte, entryHead)
		le.PutUint32(entry, entrySignature)
		le.PutUint16(entry[10:], deflated)
		le.PutUint32(entry[20:], uint32((n-1-i)*(memberHead+len(name))+packed))
		le.PutUint32(entry[24:], 1<<20)
		le.PutUint16(entry[28:], uint16(len(name)))
		le.PutUint32(entry[42:], uint32(len(out)))
		out, list = append(append(out, head...), name...), append(append(list, entry...), name...)
	}
	out = append(out, make([]byte, packed)...)
	end := make([]byte, endSize)
	le.PutUint32(end, endSignature)
	le.PutUint16(end[10:], n)
	le.PutUint32(end[12:], uint32(len(list)))
	le.PutUint32(end[16:], uint32(len(out)))
	return slices.Concat(out, list, end)
}

func many(t *testing.T, n int) []byte {
	var all []part
	for i := range n {
		all = append(all, part{fmt.Sprint("a/", i), ""})
	}
	return packAs(t, zip.Store, all...)
}

func TestBombs(t *testing.T) {
	lie := func(name string, packed, size uint64) []byte {
		return raw(t, zip.FileHeader{Name: name, Method: zip.Deflate, UncompressedSize64: size}, strings.Repeat("x", int(packed)), parts()[2])
	}
	for name, b := range map[string][]byte{
		"zeros":               pack(t, but("Metadata/plate_2.gcode", strings.Repeat("\x00", 10<<20))...),
		"a picture of zeros":  pack(t, but("Metadata/plate_2.png", strings.Repeat("\x00", 5<<20))...),
		"by its ratio":        lie("x", 1<<18, 65<<20),
		"by its size":         lie("x", 1000, 5<<30),
		"more than any":       lie("x", 1000, 1<<61),
		"of many small parts": smallBombs(t),
	} {
		refused(t, name, b, Hostile)
	}
	// What is no bomb: a file that packs well and has a size that files have.
	f := open(t, pack(t, but("Metadata/plate_2.gcode", gcode+strings.Repeat("G1 X100 Y100 E1\n", 1<<18))...))
	if !f.Sliced() {
		t.Error("4 MiB of the same line are a bomb")
	}
}

// smallBombs are parts of which each is small enough.
func smallBombs(t *testing.T) []byte {
	zeros := pack(t, part{"x", strings.Repeat("\x00", smallMember)})
	packed := zeros[memberHead+1:][:u32(zeros, bytes.Index(zeros, []byte("PK\x01\x02"))+20)]
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for i := range 17 {
		w, err := z.CreateRaw(&zip.FileHeader{
			Name: fmt.Sprintf("Metadata/%d.bin", i), Method: zip.Deflate,
			CompressedSize64: uint64(len(packed)), UncompressedSize64: smallMember, CRC32: crc32.ChecksumIEEE(make([]byte, smallMember)),
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(packed); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestHostileParts(t *testing.T) {
	dtd := `<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>`
	info, settings := "Metadata/slice_info.config", "Metadata/project_settings.config"
	for name, all := range map[string][]part{
		"entities":               but(info, dtd+`<config>&b;</config>`),
		"entities from outside":  but(info, `<!DOCTYPE x SYSTEM "file:///etc/passwd"><config/>`),
		"entities in the model":  but("3D/3dmodel.model", dtd+`<model/>`),
		"entities in settings":   but("Metadata/model_settings.config", dtd+`<model/>`),
		"deep XML":               but(info, strings.Repeat("<a>", 200)),
		"deep model":             but("3D/3dmodel.model", strings.Repeat("<a>", 200)),
		"large XML":              but(info, noise(maxXML+1)),
		"an endless document":    but(info, "<config><!DOCTYPE "+strings.Repeat("<", 1<<20)),
		"an endless attribute":   but(info, `<config a="`+strings.ReplaceAll(noise(2<<20), "<", "")),
		"an endless name":        but(info, "<"+strings.Repeat("abcdefg", 1<<18)),
		"an endless text":        but(info, "<a>"+strings.Repeat("abcdefg ", 1<<17)),
		"an endless comment":     but(info, "<!--"+strings.Repeat("abcdefg ", 1<<17)),
		"many attributes":        but(info, "<config"+strings.Repeat(" a=''", 1<<18)),
		"many elements":          but(info, "<config>"+strings.Repeat("<a/>", maxElements)),
		"deep JSON":              but(settings, strings.Repeat("[", 100_000)),
		"deep JSON objects":      but(settings, strings.Repeat(`{"a":`, 100_000)),
		"deep JSON of a plate":   but("Metadata/plate_2.json", strings.Repeat("[", 100_000)),
		"large JSON":             but(settings, `["`+noise(maxJSON)+`"]`),
		"a large sum":            but("Metadata/plate_2.gcode.md5", noise(1000)),
		"many plates":            plates(maxPlates + 1),
		"many plates of a MiB":   append(plates(100), boxes(100)...),
		"plates within plates":   but(info, strings.Repeat("<plate>", maxDepth+1)),
		"a thousand plates told": but(info, "<config>"+told(5000)+strings.Repeat("<a>", 70)+"</config>"),
	} {
		if name == "a large sum" {
			if _, err := open(t, pack(t, all...)).GcodeMD5(2); !Is(err, Hostile) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		refused(t, name, packAs(t, zip.Store, all...), Hostile)
	}
}

func plates(n int) (all []part) {
	for i := range n {
		all = append(all, part{gcodePath(i + 1), gcode})
	}
	return all
}

// boxes are about a MiB each, of which no part is too much.
func boxes(n int) (all []part) {
	text := `["` + strings.ReplaceAll(noise(1<<20), "'", "") + `"]`
	for i := range n {
		all = append(all, part{fmt.Sprintf("Metadata/plate_%d.json", i+1), text})
	}
	return all
}

func told(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `<plate><metadata key="index" value="%d"/><object identify_id="1"/></plate>`, i+1)
	}
	return b.String()
}

// noise is text that packs badly enough to be no bomb.
func noise(n int) string {
	var b strings.Builder
	for x := uint32(1); b.Len() < n; {
		x = x*1664525 + 1013904223
		b.WriteString("<a b='" + strconv.FormatUint(uint64(x), 16) + "'/>")
	}
	return b.String()
}

// However much a file tells, only so much of it is kept.
func TestWhatIsKept(t *testing.T) {
	var b strings.Builder
	b.WriteString(`<config>` + told(5000) + `<plate><metadata key="index" value="1"/>`)
	for i := range 2 * maxObjects {
		fmt.Fprintf(&b, `<object identify_id="%d"/>`, i)
	}
	for i := range 2 * maxFilaments {
		fmt.Fprintf(&b, `<filament id="%d"/>`, i)
	}
	b.WriteString(`</plate></config>`)
	f := open(t, pack(t, but("Metadata/slice_info.config", b.String())...))
	objects := 0
	for _, p := range f.Plates() {
		objects += len(p.Objects)
	}
	if p, _ := f.Plate(1); len(f.Plates()) != maxPlates || objects > maxObjects || len(p.Filaments) != maxFilaments {
		t.Errorf("%d plates, %d objects, %d filaments", len(f.Plates()), objects, len(p.Filaments))
	}
}
