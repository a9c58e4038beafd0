package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
)

// The list of abuses in ../shared/knowledge/peers.md, §5.4, and the tests that commit them:
//
//	 1  TestEveryRouteIsDeclaredHere, TestEveryRouteWithEveryCaller
//	 2  hub/internal/api TestNobodyIsLetInWhileTheDatabaseIsAway, TestARequestThatWasGivenUp
//	 3  TestEveryRouteWithEveryCaller, TestNothingOfAnotherSiteInLists, TestACursorOfSomebodyElse,
//	    TestNothingOfAnotherSiteOnTheStream, TestUploadsAreNotHeardOfByKeysOfPrinters, TestADuplicateAtAnotherSite
//	 4  TestEveryRouteWithEveryCaller (keys of nothing), TestNobodyMakesAStrongerKey,
//	    TestNobodyMakesAStrongerPersonOrCredential, TestAKeyFollowsItsOwner
//	15  TestForgedAddresses, TestStrangeHosts
//	16  TestWhatEndsACallerEndsAllOfIt, TestTheLogHoldsNoSecret
//	17  TestEveryRouteWithEveryCaller (browsers of another site), TestSignInFromAnotherSite, TestFormsOfAnotherSite
//	18  TestGuessingAPassword, TestGuessingTheSetupToken, TestGuessingAnEnrolmentToken
//	22  TestAMediaLinkOpensOnePath, TestMediaLinksOfEveryPath
//	23  TestAThousandThumbnailsAtOnce, TestExportsOfManyRowsAtOnce, TestEvilSearches
//	28  TestTheFirstPerson
//	29  TestNoRouteChangesTheAudit

// statuses calls at the same time and counts the answers.
func statuses(n int, call func(i int) int) map[int]int {
	var mu sync.Mutex
	var wg sync.WaitGroup
	out := map[int]int{}
	for i := range n {
		wg.Go(func() {
			status := call(i)
			mu.Lock()
			out[status]++
			mu.Unlock()
		})
	}
	wg.Wait()
	return out
}

// try asks from an address; what it says of where it comes from is in the headers.
func (r *archives) try(c *http.Client, method, path, body string, header ...string) (int, http.Header, []byte) {
	req, err := http.NewRequestWithContext(r.ctx, method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Error(err)
		return 0, nil, nil
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	res, err := c.Transport.RoundTrip(req) // no redirect is followed
	if err != nil {
		r.t.Error(err)
		return 0, nil, nil
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Error(err)
	}
	return res.StatusCode, res.Header, b
}

const login = "/api/v1/auth/login"

func signInAs(username, password string) string {
	return string(object("username", username, "password", password))
}

// forged are headers by which a proxy would tell where a request comes from.
func forged(i int) []string {
	address := fmt.Sprintf("203.0.113.%d", i)
	return []string{"X-Forwarded-For", address, "X-Real-Ip", address, "Forwarded", "for=" + address, "True-Client-Ip", address, "Cf-Connecting-Ip", address}
}

// Who is counted is the peer of the connection, whatever the request says of that.
func TestForgedAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runArchivesInMemory(t, func(o *Options) { o.Limits = farm.Limits{Read: 20, Write: 1e6, Control: 1e6} })
		one, other := r.from("10.0.0.1"), r.from("10.0.0.2")
		got := statuses(40, func(i int) int {
			status, _, _ := r.try(one, "GET", "/api/v1/printers", "", forged(i)...)
			return status
		})
		if got[401] != 20 || got[429] != 20 {
			t.Errorf("requests of nobody: %v", got)
		}
		if status, _, _ := r.try(other, "GET", "/api/v1/printers", "", "X-Forwarded-For", "10.0.0.1"); status != 401 {
			t.Errorf("from elsewhere: %d", status)
		}
		got = statuses(30, func(i int) int {
			status, _, _ := r.try(one, "POST", login, signInAs(fmt.Sprintf("name%d", i), "wrong password"), forged(i)...)
			return status
		})
		if got[401] != 10 || got[429] != 20 {
			t.Errorf("sign-ins: %v", got)
		}
	})
}

// A strange Host makes no redirect, no error of ours and no address of anybody else's.
func TestStrangeHosts(t *testing.T) {
	r := runArchivesInMemory(t, nil)
	c := r.from("10.0.0.1")
	for _, host := range []string{"evil.example", "evil.example:99999", "[::1", "a b", "evil.example/..", "<script>", "%00", strings.Repeat("a", 5000), "127.0.0.1@evil.example"} {
		for _, path := range []string{"/", "/login", "/login?next=//evil.example", "//evil.example/", "/api/v1/printers", "/api/v1/printers/", "/health", "/setup"} {
			status, header, body := r.try(c, "GET", path, "", "Host", host)
			if status >= 300 && status < 400 || status >= 500 || header.Get("Location") != "" || bytes.Contains(body, []byte("evil.example")) || bytes.Contains(body, []byte("<script>alert")) {
				t.Errorf("%q %s: %d %v %.200s", host, path, status, header, body)
			}
		}
	}
}

// written is a log in memory.
type written struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *written) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

func (l *written) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

func (l *written) into(o *Options) {
	o.Log = slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Whatever is sent as a secret, in whatever place, the log does not hold it.
func TestTheLogHoldsNoSecret(t *testing.T) {
	log := &written{}
	w := settle(runArchives(t, log.into))
	cookie := w.person("bert", farm.Administrator)
	var made struct{ Key string }
	w.with(cookie, "POST", "/api-keys", `{"name":"K","permissions":["read"]}`).want(201).into(&made)
	header := []string{"Cookie", cookie}
	link := w.link(header, fmt.Sprintf("/archives/%d/thumbnail", w.workshop.of["archive"]))
	w.look(nil, "GET", link, nil).want(200)
	w.look(nil, "GET", link+"tampered", nil).want(401)
	tap := w.open(nil, w.link(header, fmt.Sprintf("/printers/%d/camera/stream", w.workshop.of["printer"])))
	tap.await("Workshop")
	tap.stop()
	<-tap.ended
	_, query, _ := strings.Cut(link, "?")
	token := strings.TrimPrefix(cookie, "bambuddy_session=")
	wrong := "bb_" + strings.Repeat("Z", 43)
	w.look([]string{"X-API-Key", made.Key}, "GET", "/printers", nil).want(200)
	w.look([]string{"X-API-Key", wrong}, "GET", "/printers", nil).want(401)
	w.look(nil, "GET", "/printers?api_key="+made.Key+"&token="+token, nil).want(401)
	w.look(nil, "POST", "/auth/login", []byte(signInAs("bert", "a wrong secret"))).want(401)
	w.look(nil, "POST", "/auth/setup", object("token", "a wrong token", "username", "eve", "password", "a secret of eve")).want(403)
	w.look(header, "POST", "/auth/password", object("current_password", "an old secret", "new_password", "a new secret")).want(403)
	w.ask("PATCH", fmt.Sprintf("/printers/%d", w.workshop.of["printer"]), object("access_code", "87654321")).want(200)
	w.look(nil, "GET", "/openapi.json", nil).want(200)
	text := log.text()
	if !strings.Contains(text, "/thumbnail") || !strings.Contains(text, "/camera/stream") || !strings.Contains(text, "caller=K") {
		t.Fatalf("the log is not of these requests: %.1000s", text)
	}
	for _, secret := range []string{
		w.key, made.Key, token, wrong, battery, "a wrong secret", "a wrong token", "a secret of eve", "an old secret", "a new secret", "87654321", "12345678", "signature=", query, "tampered",
	} {
		if i := strings.Index(text, secret); i >= 0 {
			t.Errorf("%q is in the log: …%.200s", secret, text[max(0, i-100):])
		}
	}
}

// Nobody is signed in, or makes the first person, by another site's page.
func TestSignInFromAnotherSite(t *testing.T) {
	log := &written{}
	r := runArchivesInMemory(t, log.into)
	token := regexp.MustCompile(`/setup#(\S+)`).FindStringSubmatch(log.text())[1]
	for name, header := range map[string][]string{
		"cross-site": {"Sec-Fetch-Site", "cross-site"}, "same-site": {"Sec-Fetch-Site", "same-site"}, "an origin": {"Origin", "https://evil.example"}, "no origin": {"Origin", "null"},
		"another port": {"Origin", "http://127.0.0.1:8080"},
	} {
		setup := string(object("token", token, "username", "eve", "password", battery))
		for path, body := range map[string]string{"/api/v1/auth/setup": setup, login: signInAs("eve", battery)} {
			status, got, b := r.try(r.from("10.0.0.1"), "POST", path, body, header...)
			if status != 403 || got.Get("Set-Cookie") != "" {
				t.Errorf("%s, %s: %d %s", name, path, status, b)
			}
		}
	}
}

// What a form of a page can send is no body of ours, whatever the browser tells of it.
func TestFormsOfAnotherSite(t *testing.T) {
	w := newWorld(t)
	cookie := w.person("anna", farm.Administrator)
	for _, op := range w.operations() {
		d := deeds[op.id]
		if op.method == "GET" || d.body == "" || d.body == "{}" {
			continue
		}
		for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} {
			v := visitor{header: []string{"Content-Type", kind, "Cookie", cookie}}
			id := w.workshop.of[d.kind]
			path := strings.NewReplacer("{id}", itoa(id)).Replace(op.path)
			if a := w.look(v.header, op.method, path, []byte(d.body)); a.status != 415 && a.status != 400 {
				t.Errorf("%s as %s: %d %s", op.id, kind, a.status, a.body)
			}
		}
	}
}

// Guesses are few, however many are made at once: of one account from everywhere, and of
// all accounts from one address. Nothing tells which accounts there are.
func TestGuessingAPassword(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runArchivesInMemory(t, nil)
		r.person("bert", farm.Operator)
		r.person("anna", farm.Administrator)
		var mu sync.Mutex
		bodies := map[string]string{}
		for _, name := range []string{"bert", "nobody"} {
			got := statuses(50, func(i int) int {
				status, _, b := r.try(r.from(fmt.Sprintf("10.0.%d.%d", len(name), i)), "POST", login, signInAs(name, fmt.Sprint("guess number ", i)))
				if status == 401 {
					mu.Lock()
					bodies[name] = string(b)
					mu.Unlock()
				}
				return status
			})
			if got[401] != 10 || got[429] != 40 {
				t.Errorf("%s: %v", name, got)
			}
		}
		if bodies["bert"] != bodies["nobody"] || bodies["bert"] == "" {
			t.Errorf("they differ: %q", bodies)
		}
		status, header, _ := r.try(r.from("10.0.9.9"), "POST", login, signInAs("bert", battery))
		if status != 429 || header.Get("Retry-After") == "" {
			t.Errorf("the right one, after them: %d %v", status, header)
		}
		one := r.from("10.0.8.8")
		got := statuses(50, func(i int) int {
			status, _, _ := r.try(one, "POST", login, signInAs(fmt.Sprint("user", i), "guess number 1"))
			return status
		})
		if got[401] != 10 || got[429] != 40 {
			t.Errorf("from one address: %v", got)
		}
		if status, _, _ := r.try(r.from("10.0.7.7"), "POST", login, signInAs("anna", battery)); status != 200 {
			t.Errorf("somebody else from elsewhere: %d", status)
		}
		<-time.After(31 * time.Minute)
		if status, _, _ := r.try(r.from("10.0.9.9"), "POST", login, signInAs("bert", battery)); status != 200 {
			t.Errorf("the right one, half an hour later: %d", status)
		}
	})
}

// The token of the setup link cannot be guessed, and those who try do not keep the owner
// from setting up.
func TestGuessingTheSetupToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &written{}
		r := runArchivesInMemory(t, log.into)
		token := regexp.MustCompile(`/setup#(\S+)`).FindStringSubmatch(log.text())[1]
		one := r.from("10.0.0.1")
		got := statuses(50, func(i int) int {
			status, _, _ := r.try(one, "POST", "/api/v1/auth/setup", string(object("token", fmt.Sprintf("%043d", i), "username", "eve", "password", battery)))
			return status
		})
		if got[403] != 10 || got[429] != 40 {
			t.Errorf("%v", got)
		}
		status, _, b := r.try(r.from("10.0.0.2"), "POST", "/api/v1/auth/setup", string(object("token", token, "username", "anna", "password", battery)))
		if status != 201 {
			t.Errorf("the owner: %d %s", status, b)
		}
	})
}

// Who finds the hub first cannot take it: it needs the token of the log, which works
// once, also for many at once, and of which nothing else tells.
func TestTheFirstPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &written{}
		r := runArchivesInMemory(t, log.into)
		found := regexp.MustCompile(`/setup#(\S+)`).FindAllStringSubmatch(log.text(), -1)
		if len(found) != 1 {
			t.Fatalf("%d links in the log", len(found))
		}
		token := found[0][1]
		c := r.from("10.0.0.1")
		for _, path := range []string{"/", "/setup", "/login", "/api/v1/auth/setup", "/health", "/openapi.json"} {
			if _, header, b := r.try(c, "GET", path, ""); bytes.Contains(b, []byte(token)) || strings.Contains(fmt.Sprint(header), token) {
				t.Errorf("%s tells the token", path)
			}
		}
		for _, body := range []string{`{"username":"eve","password":"` + battery + `"}`, `{"token":"","username":"eve","password":"` + battery + `"}`, `{"token":null,"username":"eve","password":"` + battery + `"}`} {
			if status, header, b := r.try(c, "POST", "/api/v1/auth/setup", body); status != 403 && status != 400 || header.Get("Set-Cookie") != "" {
				t.Errorf("%s: %d %s", body, status, b)
			}
		}
		got := statuses(20, func(i int) int {
			status, _, _ := r.try(r.from(fmt.Sprintf("10.0.1.%d", i)), "POST", "/api/v1/auth/setup", string(object("token", token, "username", fmt.Sprint("user", i), "password", battery)))
			return status
		})
		if got[201] != 1 || got[409]+got[403] != 19 {
			t.Errorf("all at once: %v", got)
		}
		if users, err := r.db.Users(t.Context()); err != nil || len(users) != 1 {
			t.Errorf("%d people, %v", len(users), err)
		}
		if status, _, _ := r.try(r.from("10.0.2.1"), "POST", "/api/v1/auth/setup", string(object("token", token, "username", "eve", "password", battery))); status != 403 && status != 409 {
			t.Errorf("later: %d", status)
		}
	})
}

// The secret of an enrolment is tried a few times a minute and no more.
func TestGuessingAnEnrolmentToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runArchivesInMemory(t, nil)
		key := bytes.Repeat([]byte{1}, 32)
		one := r.from("10.0.0.1")
		got := statuses(50, func(i int) int {
			status, _, _ := r.try(one, "POST", "/agent/v1/enrol", string(object("secret", fmt.Sprintf("bbt_%043d", i), "public_key", key, "name", "eve")), forged(i)...)
			return status
		})
		if got[429] < 38 || got[200] != 0 || got[401]+got[403]+got[404]+got[429] != 50 {
			t.Errorf("%v", got)
		}
		if agents, err := r.db.Agents(t.Context()); err != nil || len(agents) != 1 {
			t.Errorf("%d agents, %v", len(agents), err)
		}
	})
}

// within fails when something takes too long.
func within(t *testing.T, most time.Duration, what string, do func()) {
	t.Helper()
	began := time.Now()
	do()
	if took := time.Since(began); took > most {
		t.Errorf("%s took %s", what, took)
	}
}

// heap is what is in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestAThousandThumbnailsAtOnce(t *testing.T) {
	r := runArchivesInMemory(t, nil)
	id := r.seed(benchy())[0]
	picture := bytes.Repeat([]byte("picture "), 1<<14) // 128 KB
	r.store(id, farm.RoleThumbnail, "", "image/jpeg", picture)
	before := heap()
	within(t, 2*time.Minute, "all of them", func() {
		got := statuses(1000, func(i int) int {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/api/v1/archives/1/thumbnail", nil)
			if err != nil {
				return 0
			}
			req.Header.Set("X-API-Key", r.key)
			res, err := r.http.Do(req)
			if err != nil {
				return 0
			}
			defer func() { _ = res.Body.Close() }()
			if n, err := io.Copy(io.Discard, res.Body); err != nil || n != int64(len(picture)) {
				return 1
			}
			return res.StatusCode
		})
		if got[200] != 1000 {
			t.Errorf("%v", got)
		}
	})
	r.http.CloseIdleConnections()
	if after := heap(); after > before+200<<20 {
		t.Errorf("%d MB stay", (after-before)>>20)
	}
}

func TestExportsOfManyRowsAtOnce(t *testing.T) {
	r := runArchives(t, nil)
	const rows = 5000
	prints := make([]farm.Print, rows)
	for i := range prints {
		prints[i] = with(benchy(), func(p *farm.Print) { p.RunID, p.Subtask = fmt.Sprint("run", i), fmt.Sprint(i) })
	}
	r.seed(prints...)
	before := heap()
	within(t, 2*time.Minute, "all of them", func() {
		got := statuses(8, func(i int) int {
			format := []string{"csv", "xlsx"}[i%2]
			a := r.get("/archives/export?format=" + format)
			if format == "csv" && bytes.Count(a.body, []byte("\n")) != rows+1 {
				return 0
			}
			return a.status
		})
		if got[200] != 8 {
			t.Errorf("%v", got)
		}
	})
	if after := heap(); after > before+200<<20 {
		t.Errorf("%d MB stay", (after-before)>>20)
	}
}

// Whatever is searched or filtered for is found or refused, and soon.
func TestEvilSearches(t *testing.T) {
	r := runArchives(t, nil)
	prints := make([]farm.Print, 100)
	for i := range prints {
		prints[i] = with(benchy(), func(p *farm.Print) {
			p.RunID, p.Subtask, p.Notes = fmt.Sprint(i), fmt.Sprint(i), strings.Repeat("a", 5000)
		})
	}
	r.seed(prints...)
	values := []string{
		`"`, `""`, `'`, `*`, `a*`, `**`, `(`, `)`, `((((((((`, `NEAR(a b)`, `a NEAR/9 b`, `AND`, `OR OR`, `NOT`, `name:a`, `^a`, `-a`, `{a b}: c`, `a" OR "b`, `'; DROP TABLE prints; --`, `%`, `_`, `\`, "\x00", "a\x00b",
		"\xff\xfe", "\u202e", "a\r\nb", strings.Repeat("a ", 100), strings.Repeat("(", 200), strings.Repeat(`"`, 199), strings.Repeat("a*", 100), strings.Repeat("%", 200), strings.Repeat("é", 200), strings.Repeat("x", 100_000),
		"(a+)+$", ".*.*.*.*.*.*!", "../../etc/passwd", "9223372036854775808", "-1", "1e99", "NaN", "0x10", "null", "[]", "{}", "2024-13-45", "0000-00-00", "9999-12-31", "Local", "Europe/../UTC",
	}
	fields := []string{"search", "tag", "sha256", "status", "source", "file_status", "favorite", "printer_id", "site_id", "project_id", "start_date", "end_date", "tz", "cursor", "limit", "offset", "order", "sort"}
	for _, field := range fields {
		for _, value := range values {
			for _, path := range []string{"/archives", "/archives/export"} {
				within(t, 20*time.Second, field+" "+value[:min(len(value), 20)], func() {
					if a := r.get(path + "?" + field + "=" + url.QueryEscape(value)); a.status >= 500 || a.status < 200 || a.status >= 300 && a.status < 400 {
						t.Errorf("%s %s=%.40q: %d %s", path, field, value, a.status, a.body)
					}
				})
			}
		}
	}
}

// The audit is only read: no route changes or removes an entry.
func TestNoRouteChangesTheAudit(t *testing.T) {
	w := &world{archives: runArchives(t, nil)}
	seen := 0
	for _, op := range w.operations() {
		if !strings.Contains(op.path, "audit") {
			continue
		}
		seen++
		if op.method != "GET" || op.needs != farm.Admin {
			t.Errorf("%s %s needs %q", op.method, op.path, op.needs)
		}
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
			if a := w.ask(method, op.path, []byte("{}")); a.status != 405 {
				t.Errorf("%s %s: %d", method, op.path, a.status)
			}
		}
	}
	if seen == 0 {
		t.Error("there is no audit")
	}
}
