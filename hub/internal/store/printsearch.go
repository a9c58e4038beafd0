package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"bambuddy/shared/farm"
)

// Bounds of what is indexed and of what somebody may search for at once.
const (
	maxWord  = 64 // bytes
	maxWords = 12
)

// searchText is what an archive is found by.
func searchText(p farm.Print) string {
	parts := []string{p.Name, p.Filename, p.Notes, strings.Join(p.Tags, " "), p.PrinterName, p.FilamentType}
	return strings.Join(words(strings.Join(parts, " ")), " ")
}

// words are the letters and digits of a text in the form they are compared in: lower
// case, without accents, apart by everything else. Scripts that write no blanks between
// words have a word a character.
func words(text string) []string {
	var out []string
	var word strings.Builder
	end := func() {
		if word.Len() > 0 {
			out = append(out, word.String())
			word.Reset()
		}
	}
	for _, r := range norm.NFKD.String(strings.ToLower(strings.ToValidUTF8(text, " "))) {
		switch {
		case unicode.Is(unicode.Mn, r): // what NFKD took off its letter
		case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai):
			end()
			word.WriteRune(r)
			end()
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			end()
		case word.Len()+utf8.RuneLen(r) <= maxWord:
			word.WriteRune(unicode.ToLower(r))
		}
	}
	end()
	return out
}

// filterText is what lists filter an archive by, as words.
func filterText(p farm.Print) string {
	out := []string{
		filterWord('p', p.PrinterID), filterWord('s', p.SiteID), filterWord('j', p.ProjectID), "k" + string(p.Kind), "r" + string(p.Status),
		"o" + p.Source, "f" + string(p.FileStatus), favoriteWord(p.Favorite), filterWord('d', ms(p.CreatedAt)/countedMS),
	}
	for _, tag := range p.Tags {
		out = append(out, tagWord(tag))
	}
	return strings.Join(out, " ")
}

func filterWord(kind byte, id int64) string { return string(kind) + strconv.FormatInt(id, 10) }

func favoriteWord(is bool) string {
	if is {
		return "vyes"
	}
	return "vno"
}

// tagWord stands for a tag, whatever characters that has.
func tagWord(tag string) string {
	sum := sha256.Sum256([]byte(tag))
	return "t" + hex.EncodeToString(sum[:12])
}

// searched are the words of a search as a person typed it. Each is to be there, or the
// beginning of one; none finds nothing.
func searched(search string) []string {
	all := words(search)
	return all[:min(len(all), maxWords)]
}

// tsquery makes PostgreSQL's query out of a search.
func tsquery(search string) string {
	all := searched(search)
	for i, w := range all {
		all[i] = `'` + w + `':*`
	}
	return strings.Join(all, " & ")
}

// ftsquery makes FTS5's query out of a search and all filters that are words.
func ftsquery(q farm.PrintQuery) string {
	var parts []string
	for _, w := range searched(q.Search) {
		parts = append(parts, `words : "`+w+`" *`)
	}
	need := func(words ...string) {
		for i, w := range words {
			words[i] = `filters : "` + strings.Map(wordOnly, w) + `"`
		}
		parts = append(parts, "("+strings.Join(words, " OR ")+")")
	}
	for _, f := range []struct {
		kind byte
		one  int64
		of   []int64
	}{{'p', q.PrinterID, q.Scope.Printers}, {'s', q.SiteID, q.Scope.Sites}, {'j', q.ProjectID, nil}} {
		if f.one != 0 {
			need(filterWord(f.kind, f.one))
		}
		if len(f.of) > 0 {
			any := make([]string, len(f.of))
			for i, id := range f.of {
				any[i] = filterWord(f.kind, id)
			}
			need(any...)
		}
	}
	for _, f := range []struct{ kind, word string }{{"k", string(q.Kind)}, {"r", string(q.Status)}, {"o", q.Source}, {"f", string(q.FileStatus)}} {
		if f.word != "" {
			need(f.kind + f.word)
		}
	}
	if q.Favorite != nil {
		need(favoriteWord(*q.Favorite))
	}
	if q.Tag != "" {
		need(tagWord(q.Tag))
	}
	if days := daysOf(q); days != nil {
		need(days...)
	}
	return strings.Join(parts, " AND ")
}

// maxDays bounds how many of the days that archives are counted by a query names: ten years.
const maxDays = 122

// daysOf are the words of the days that a search's bounds in time touch; nil: they are
// open, or too many.
func daysOf(q farm.PrintQuery) (out []string) {
	first, last := ms(q.From)/countedMS, (ms(q.To)-1)/countedMS
	if q.From.IsZero() || q.To.IsZero() || last < first || last-first >= maxDays {
		return nil
	}
	for ; first <= last; first++ {
		out = append(out, filterWord('d', first))
	}
	return out
}

// wordOnly keeps what filters are written in: whatever a caller asks for is no syntax.
func wordOnly(r rune) rune {
	if r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
		return r
	}
	return 'X'
}

// index puts a print into the search, or takes it out when it is deleted; was: it is in.
func (t *tx) index(ctx context.Context, was bool, p farm.Print) error {
	if was {
		q := `DELETE FROM print_search WHERE rowid = $1`
		if t.engine == postgres {
			q = `DELETE FROM print_search WHERE print_id = $1`
		}
		if _, err := t.ExecContext(ctx, q, p.ID); err != nil {
			return fmt.Errorf("take archive %d out of the search: %w", p.ID, err)
		}
	}
	if !p.DeletedAt.IsZero() {
		return nil
	}
	q, args := `INSERT INTO print_search (rowid, words, filters) VALUES ($1, $2, $3)`, []any{p.ID, searchText(p), filterText(p)}
	if t.engine == postgres {
		// Not by its parser: the words are as they are to be.
		q, args = `INSERT INTO print_search (print_id, words) VALUES ($1, array_to_tsvector(string_to_array($2, ' ')))`, args[:2]
	}
	if _, err := t.ExecContext(ctx, q, args...); err != nil {
		return fmt.Errorf("put archive %d into the search: %w", p.ID, err)
	}
	return nil
}
