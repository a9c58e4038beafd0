package ftps

import (
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 6, 20, 12, 0, 0, 0, time.UTC)

func TestParseLine(t *testing.T) {
	day := func(y int, m time.Month, d, hh, mm int) time.Time { return time.Date(y, m, d, hh, mm, 0, 0, time.UTC) }
	for line, want := range map[string]Entry{
		"-rw-r--r--    1 1000     1000      1632221 Jun 17  2025 video_2025-06-17_12-12-18.mp4": {"video_2025-06-17_12-12-18.mp4", false, 1632221, day(2025, 6, 17, 0, 0)},
		"-rw-r--r--    1 1000     1000      1632221 Jun 18 00:27 name":                          {"name", false, 1632221, day(2026, 6, 18, 0, 27)},
		"-rw-r--r--    1 1000     1000            1 Dec 31 23:59 last year":                     {"last year", false, 1, day(2025, 12, 31, 23, 59)},
		"-rw-r--r--    1 1000     1000            1 Jun 21 20:00 ahead":                         {"ahead", false, 1, day(2026, 6, 21, 20, 0)},
		"drwxr-xr-x    2 root     root         4096 Jun 18 00:27 cache":                         {"cache", true, 0, day(2026, 6, 18, 0, 27)},
		"-rw-r--r--    1 1000     1000           12 Jun 17  2025  two  spaces ":                 {" two  spaces ", false, 12, day(2025, 6, 17, 0, 0)},
		"-rw-r--r--    1 1000     1000           12 Jun 17  2025 Jun 17  2025 x":                {"Jun 17  2025 x", false, 12, day(2025, 6, 17, 0, 0)},
		"-rw-r--r--    1 Jun      Dec            12 Jun 17  2025 owners":                        {"owners", false, 12, day(2025, 6, 17, 0, 0)},
		"-rw-r--r--    1 1000           12 Jan  0  1980 no group, no day":                       {"no group, no day", false, 12, time.Time{}},
		"-rw-r--r--    1 1000     1000           12 Feb 29 10:00 leap":                          {"leap", false, 12, time.Time{}},
		"-rw-r--r--    1 1000     1000   4294967296 Jan  1  1970 Größe 🙂.3mf":                   {"Größe 🙂.3mf", false, 1 << 32, day(1970, 1, 1, 0, 0)},
		"lrwxrwxrwx    1 0        0              11 Jan  1  1970 link -> target":                {"link", false, 11, day(1970, 1, 1, 0, 0)},
	} {
		if got, ok := parseLine(line, now); !ok || got != want {
			t.Errorf("%s\n got %+v %v\nwant %+v", line, got, ok, want)
		}
	}
	for _, line := range []string{
		"", "total 12", "-", "-rw-r--r--", "nonsense of five words and more",
		"-rw-r--r-- 1 a b 12 Jun 17 2025", "-rw-r--r-- 1 a b 12 Jun 17 2025 ",
		"-rw-r--r-- 1 a b -12 Jun 17 2025 x", "-rw-r--r-- 1 a b 99999999999999999999 Jun 17 2025 x",
		"-rw-r--r-- 1 a b 12 Jun 17 2025 ..", "-rw-r--r-- 1 a b 12 Jun 17 2025 .", "-rw-r--r-- 1 a b 12 Jun 17 2025 ../x",
		"-rw-r--r-- 1 a b 12 Jun 17 2025 /etc/passwd", `-rw-r--r-- 1 a b 12 Jun 17 2025 ..\x`,
		"-rw-r--r-- 1 a b 12 Jun 17 2025 a\x1b[31m", "-rw-r--r-- 1 a b 12 Jun 17 2025 a\x00b", "-rw-r--r-- 1 a b 12 Jun 17 2025 a\rb",
		"crw-r--r-- 1 a b 12 Jun 17 2025 device", "-rw-r--r-- 1 a b 12 Jun 17 2025 " + strings.Repeat("x", 800),
	} {
		if got, ok := parseLine(line, now); ok {
			t.Errorf("%q became %+v", line, got)
		}
	}
}

func TestListing(t *testing.T) {
	line := "-rw-r--r-- 1 a b 12 Jun 17 2025 "
	l := listing{now: now}
	text := "total 3\r\n" + line + "one\r\n" + line + "caf\xe9\n" + line + strings.Repeat("long", 5000) + "\n" + line + "no line end"
	if err := l.read(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range l.entries {
		names = append(names, e.Name)
	}
	if got := strings.Join(names, "|"); got != "one|café|no line end" || l.dropped != 2 {
		t.Errorf("%s, %d dropped", got, l.dropped)
	}
	for what, text := range map[string]string{
		"entries": strings.Repeat(line+"x\n", maxEntries+1), "bytes": strings.Repeat("nonsense\n", maxListing/8),
		"one line": strings.Repeat("x", maxListing+1),
	} {
		if err := (&listing{now: now}).read(strings.NewReader(text)); err == nil {
			t.Errorf("too many %s were taken", what)
		}
	}
}

func TestPaths(t *testing.T) {
	for _, good := range []string{"/", "/a", "/cache/a b.3mf", "/.hidden", "/…/x", "/a..b"} {
		if err := checkPath(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "a", "a/b", "//", "/a/", "/a//b", "/./a", "/a/..", "/../a", "/..", "/a\r\nDELE b", "/a\x00", "/a\x7f", "/a\u0085", "/a\xff", `/a\b`,
		"/" + strings.Repeat("x", 800), strings.Repeat("/x", 600),
	} {
		if err := checkPath(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if err := checkFile("/"); err == nil {
		t.Error("the root is no file")
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add("-rw-r--r--    1 1000     1000      1632221 Jun 17  2025 video 1.mp4")
	f.Add("drwxr-xr-x    2 root     root         4096 Jun 18 00:27 cache")
	f.Fuzz(func(t *testing.T, line string) {
		e, ok := parseLine(line, now)
		if ok && (checkPath("/"+e.Name) != nil || e.Size < 0) {
			t.Errorf("%q became %+v", line, e)
		}
	})
}

func FuzzParsePassive(f *testing.F) {
	f.Add("Entering Passive Mode (10,0,0,9,195,157).")
	f.Add("(|||50077|)")
	f.Fuzz(func(t *testing.T, text string) {
		if _, port, ok := parsePassive(text); ok && (port < 0 || port > 65535) {
			t.Errorf("%q: port %d", text, port)
		}
		if port, ok := parseExtended(text); ok && (port < 0 || port > 65535) {
			t.Errorf("%q: port %d", text, port)
		}
	})
}
