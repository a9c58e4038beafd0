package sheet

import (
	"bytes"
	"encoding/csv"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/xuri/excelize/v2"
)

var columns = []Column[int]{
	{"id", func(i int) any { return int64(i) }},
	{"text", func(i int) any { return strings.Repeat("ü", i) }},
	{"none", func(int) any { return nil }},
}

func upTo(from, to int) func(add func(int) error) error {
	return func(add func(int) error) error {
		for i := from; i < to; i++ {
			if err := add(i); err != nil {
				return err
			}
		}
		return nil
	}
}

// More rows than a sheet holds go on on the next one.
func TestASecondSheet(t *testing.T) {
	var out bytes.Buffer
	if err := XLSX(&out, Book{Name: "Numbers", Dir: t.TempDir(), Most: 11}, columns, upTo(101, 126)); err != nil {
		t.Fatal(err)
	}
	book, err := excelize.OpenReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = book.Close() }()
	var ids []string
	for i, name := range []string{"Numbers", "Numbers 2", "Numbers 3"} {
		got, err := book.GetRows(name)
		if err != nil || len(got) != []int{11, 11, 6}[i] || got[0][0] != "id" {
			t.Fatalf("%s: %d rows, %v", name, len(got), err)
		}
		for _, row := range got[1:] {
			ids = append(ids, row[0])
		}
	}
	if len(ids) != 25 || ids[0] != "101" || ids[24] != "125" || !slices.IsSorted(ids) {
		t.Errorf("%q", ids)
	}
}

func TestATextThatIsTooLongForACell(t *testing.T) {
	var out bytes.Buffer
	if err := XLSX(&out, Book{Name: "A", Dir: t.TempDir()}, columns, upTo(20_000, 20_001)); err != nil {
		t.Fatal(err)
	}
	book, err := excelize.OpenReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = book.Close() }()
	if got, err := book.GetCellValue("A", "B2"); err != nil || len(got) != maxSheetText-1 || !utf8.ValidString(got) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestCSV(t *testing.T) {
	var out bytes.Buffer
	texts := []Column[string]{{"a", func(s string) any { return s }}, {"b", func(string) any { return -1.5 }}}
	given := []string{"=1", "+1", "-1", "@x", "\tx", "\rx", "a,b", `"`, "'", "", "1"}
	err := CSV(&out, texts, func(add func(string) error) error {
		for _, s := range given {
			if err := add(s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(strings.NewReader(out.String())).ReadAll()
	if err != nil || len(lines) != len(given)+1 {
		t.Fatalf("%q, %v", lines, err)
	}
	for i, want := range []string{"'=1", "'+1", "'-1", "'@x", "'\tx", "'x", "a,b", `"`, "'", "", "1"} {
		if got := lines[i+1]; got[0] != want || got[1] != "-1.5" { // a number is no formula; csv.Reader drops a lone CR
			t.Errorf("%q: %q", given[i], got)
		}
	}
	broken := errors.New("broken")
	if err := CSV(&out, texts, func(func(string) error) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

func TestValues(t *testing.T) {
	n, f := int64(5), 0.5
	for i, c := range []struct{ got, want any }{
		{Time(time.Time{}), nil},
		{Time(time.Unix(0, 0)), "1970-01-01T00:00:00Z"},
		{ID(0), nil},
		{ID(7), int64(7)},
		{Number[int64](nil), nil},
		{Number(&n), n},
		{Number(&f), f},
	} {
		if c.got != c.want {
			t.Errorf(strconv.Itoa(i)+": %v, want %v", c.got, c.want)
		}
	}
}
