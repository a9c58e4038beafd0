package store

import (
	"context"
	"fmt"
	"strings"
	"unicode"

	"bambuddy/shared/farm"
)

// searchText is what an archive is found by.
func searchText(p farm.Print) string {
	parts := []string{p.Name, p.Filename, p.Notes, strings.Join(p.Tags, " "), p.PrinterName, p.FilamentType}
	return strings.Join(words(strings.Join(parts, " ")), " ")
}

// words are the letters and digits of a text, in lower case, apart by everything else.
func words(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.Is(unicode.Mn, r) })
}

// maxWords bounds what somebody may search for at once.
const maxWords = 12

// matching makes the engine's query out of words as a person typed them: each is to
// be there, or the beginning of one. "" finds nothing.
func (d *DB) matching(search string) string {
	all := words(search)
	all = all[:min(len(all), maxWords)]
	for i, w := range all {
		if d.engine == sqlite {
			all[i] = `"` + w + `"*`
		} else {
			all[i] = `'` + w + `':*`
		}
	}
	if d.engine == sqlite {
		return strings.Join(all, " ")
	}
	return strings.Join(all, " & ")
}

// found is the condition that an archive is among those that a search finds; the query
// is the parameter.
func (d *DB) found(parameter string) string {
	if d.engine == sqlite {
		return `id IN (SELECT rowid FROM print_search WHERE print_search MATCH ` + parameter + `)`
	}
	return `id IN (SELECT print_id FROM print_search WHERE words @@ to_tsquery('simple', ` + parameter + `))`
}

// index keeps the search true to a print.
func (t *tx) index(ctx context.Context, p farm.Print, there bool) error {
	if there || !p.DeletedAt.IsZero() {
		if err := t.unindex(ctx, p.ID); err != nil {
			return err
		}
	}
	if !p.DeletedAt.IsZero() {
		return nil
	}
	q := `INSERT INTO print_search (rowid, words) VALUES ($1, $2)`
	if t.engine == postgres {
		q = `INSERT INTO print_search (print_id, words) VALUES ($1, to_tsvector('simple', $2))`
	}
	if _, err := t.ExecContext(ctx, q, p.ID, searchText(p)); err != nil {
		return fmt.Errorf("index archive %d: %w", p.ID, err)
	}
	return nil
}

func (t *tx) unindex(ctx context.Context, id int64) error {
	q := `DELETE FROM print_search WHERE rowid = $1`
	if t.engine == postgres {
		q = `DELETE FROM print_search WHERE print_id = $1`
	}
	if _, err := t.ExecContext(ctx, q, id); err != nil {
		return fmt.Errorf("take archive %d out of the index: %w", id, err)
	}
	return nil
}
