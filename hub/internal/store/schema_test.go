package store

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"bambuddy/shared/farm"
)

// schema is the columns of each table, "name TYPE [NOT NULL]", and its indexes.
type schema map[string][]string

var (
	createTable = regexp.MustCompile(`(?s)CREATE TABLE (\w+) \((.*?)\n\);`)
	createIndex = regexp.MustCompile(`CREATE (?:UNIQUE )?INDEX (\w+) ON (\w+)`)
	columnLine  = regexp.MustCompile(`^\s*(\w+)\s+(TEXT|BIGINT|BOOLEAN|DOUBLE PRECISION)\b(.*)$`)
)

// wanted reads schema.sql.
func wanted(t *testing.T) schema {
	t.Helper()
	text, err := os.ReadFile("schema.sql")
	if err != nil {
		t.Fatal(err)
	}
	out := schema{}
	for _, m := range createTable.FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(m[2]) {
			c := columnLine.FindStringSubmatch(strings.TrimRight(line, ",\n"))
			if c == nil {
				continue // a constraint of the table
			}
			notNull := strings.Contains(c[3], "NOT NULL") || strings.Contains(c[3], "PRIMARY KEY")
			out[m[1]] = append(out[m[1]], column(c[1], c[2], notNull))
		}
	}
	for _, m := range createIndex.FindAllStringSubmatch(string(text), -1) {
		out[m[2]] = append(out[m[2]], "index "+m[1])
	}
	return out.sorted()
}

func column(name, kind string, notNull bool) string {
	if notNull {
		return name + " " + kind + " NOT NULL"
	}
	return name + " " + kind
}

func (s schema) sorted() schema {
	for t := range s {
		slices.Sort(s[t])
	}
	return s
}

// found reads what the engine has.
func found(t *testing.T, db *DB) schema {
	t.Helper()
	columns := `SELECT m.name, p.name, p.type, p."notnull" <> 0 OR p.pk <> 0 FROM sqlite_master m JOIN pragma_table_info(m.name) p
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name <> 'goose_db_version' AND m.name NOT LIKE 'print_search%'`
	indexes := `SELECT tbl_name, name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name <> 'goose_db_version' AND tbl_name NOT LIKE 'print_search%'`
	if db.engine == postgres {
		columns = `SELECT table_name, column_name, data_type, is_nullable = 'NO' FROM information_schema.columns
			WHERE table_schema = 'public' AND table_name <> 'goose_db_version' AND table_name <> 'print_search'`
		indexes = `SELECT tablename, indexname FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'goose_db_version' AND tablename <> 'print_search'
			AND indexname NOT LIKE '%_pkey' AND indexname NOT LIKE '%_key'`
	}
	out := schema{}
	for _, c := range must[[][2]string](t)(list(t.Context(), db.read, func(r row) (p [2]string, err error) {
		var name, kind string
		var notNull bool
		err = r.Scan(&p[0], &name, &kind, &notNull)
		kind = strings.NewReplacer("INTEGER", "BIGINT").Replace(strings.ToUpper(kind)) // SQLite's word for an id
		p[1] = column(name, kind, notNull)
		return p, err
	}, columns)) {
		out[c[0]] = append(out[c[0]], c[1])
	}
	for _, i := range must[[][2]string](t)(list(t.Context(), db.read, func(r row) (p [2]string, err error) {
		err = r.Scan(&p[0], &p[1])
		return p, err
	}, indexes)) {
		out[i[0]] = append(out[i[0]], "index "+i[1])
	}
	return out.sorted()
}

func TestTheMigrationsLeadToTheSchema(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		want, got := wanted(t), found(t, db)
		if len(want) < 10 {
			t.Fatalf("schema.sql was not understood: %v", want)
		}
		for table := range want {
			if !slices.Equal(want[table], got[table]) {
				t.Errorf("table %s\n is    %s\n wants %s", table, strings.Join(got[table], ", "), strings.Join(want[table], ", "))
			}
		}
		for table := range got {
			if want[table] == nil {
				t.Errorf("schema.sql lacks table %s", table)
			}
		}
	})
}

// A hub that is upgraded knows who was here as well as the former release did.
func TestAnUpgradeKnowsWhichAgentsWereOnline(t *testing.T) {
	for _, e := range []engine{sqlite, postgres} {
		t.Run(string(e), func(t *testing.T) {
			c := config(t, e)
			db := opened(t, c)
			ctx := t.Context()
			agents := map[string]bool{"with a printer online": true, "with a printer offline": false, "without a printer": false}
			for name, connected := range agents {
				a := agent(t, db, farm.DefaultSiteID, name)
				if name == "without a printer" {
					continue
				}
				p := must[farm.Printer](t)(db.CreatePrinter(ctx, printer(name, a), []byte("x")))
				if err := db.SaveStates(ctx, []farm.PrinterState{{PrinterID: p.ID, Connected: connected, Status: []byte("{}")}}); err != nil {
					t.Fatal(err)
				}
			}
			for _, back := range []string{
				`DROP TABLE deliveries`, `DROP TABLE webhooks`, `DROP INDEX api_keys_owner`, `ALTER TABLE api_keys DROP COLUMN owner_id`, `DROP INDEX s3_credentials_owner`, `ALTER TABLE s3_credentials DROP COLUMN owner_id`, `DROP TABLE sessions`, `DROP TABLE users`,
				`DROP TABLE s3_credentials`, `DROP TABLE print_search`, `DROP TABLE pulls`, `DROP TABLE object_intents`, `DROP TABLE objects`, `DROP TABLE print_files`,
				`DROP TABLE outbox_marks`, `DROP TABLE print_runs`, `DROP TABLE print_counts`, `DROP TABLE print_tags`, `DROP TABLE prints`, `DROP TABLE projects`,
				`DROP TABLE audit`, `ALTER TABLE agents DROP COLUMN online`, `DELETE FROM goose_db_version WHERE version_id >= 2`,
			} {
				if _, err := db.write.ExecContext(ctx, back); err != nil {
					t.Fatal(err)
				}
			}
			for _, a := range must[[]farm.Agent](t)(opened(t, c).Agents(ctx)) {
				if a.Online != agents[a.Name] {
					t.Errorf("agent %s: online is %v after the upgrade", a.Name, a.Online)
				}
			}
		})
	}
}

func TestANewerSchemaIsLeftAlone(t *testing.T) {
	for _, e := range []engine{sqlite, postgres} {
		t.Run(string(e), func(t *testing.T) {
			c := config(t, e)
			db := opened(t, c)
			if _, err := db.write.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, TRUE)`); err != nil {
				t.Fatal(err)
			}
			_, err := Open(t.Context(), c)
			wantCode(t, err, farm.Invalid)
		})
	}
}

// The SQLite driver crashes on some processors beside another libc than the one
// it was built for, so the module must not raise it by itself.
func TestLibcIsTheOneOfTheSQLiteDriver(t *testing.T) {
	module := func(path string) (m struct{ Version, GoMod string }) {
		out, err := exec.Command("go", "list", "-m", "-json", path).Output()
		if err != nil {
			t.Skipf("go list is not to be had here: %v", err)
		}
		if err := json.Unmarshal(out, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	driver, libc := module("modernc.org/sqlite"), module("modernc.org/libc")
	text, err := os.ReadFile(filepath.Clean(driver.GoMod))
	if err != nil {
		t.Skipf("the driver's go.mod is not to be had here: %v", err)
	}
	if want := fmt.Sprintf("modernc.org/libc %s\n", libc.Version); !strings.Contains(string(text), want) {
		t.Errorf("go.mod has libc %s, sqlite %s wants another one", libc.Version, driver.Version)
	}
}
