package main

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var setupLink = regexp.MustCompile(`"link":"(http[^"]+)/setup#([A-Za-z0-9_-]+)"`)

// post sends a JSON body and gives the status of the answer.
func post(t *testing.T, url, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

func TestTheFirstPersonComesByTheLinkInTheLog(t *testing.T) {
	dir := t.TempDir()
	url, log, stop := serving(t, "--data", dir, "--log-level", "debug")
	link := setupLink.FindStringSubmatch(log.String())
	if link == nil || link[1] != url {
		t.Fatalf("no setup link in %s", log)
	}
	const anna = `"username":"anna","password":"correct horse battery"`
	if got := post(t, url+"/api/v1/auth/setup", `{"token":"`+link[2]+`",`+anna+`}`); got != 201 {
		t.Errorf("set up: %d", got)
	}
	if got := post(t, url+"/api/v1/auth/setup", `{"token":"`+link[2]+`",`+anna+`}`); got != 403 {
		t.Errorf("set up again: %d", got)
	}
	if got := post(t, url+"/api/v1/auth/login", `{`+anna+`}`); got != 200 {
		t.Errorf("sign in: %d", got)
	}
	if strings.Contains(log.String(), "correct horse") {
		t.Error("the log holds a password")
	}
	stop()
	if _, again, _ := serving(t, "--data", dir); strings.Contains(again.String(), "/setup") {
		t.Error("a hub that is set up offers it again")
	}
}

func TestPeopleByCommand(t *testing.T) {
	dir := t.TempDir()
	url, _, _ := serving(t, "--data", dir)
	signIn := func(name, password string) int {
		return post(t, url+"/api/v1/auth/login", `{"username":"`+name+`","password":"`+password+`"}`)
	}
	made, stderr, code := command(t, "user", "create", "--data", dir, "--username", "Anna", "--role", "admin")
	if code != 0 || strings.Count(made, "\n") != 1 || signIn("anna", strings.TrimSpace(made)) != 200 {
		t.Fatalf("user create: %d %q %q", code, made, stderr)
	}
	file := filepath.Join(dir, "password")
	if err := os.WriteFile(file, []byte("correct horse battery\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, stderr, code := command(t, "user", "create", "--data", dir, "--username", "bert", "--role", "viewer", "--site", "Default", "--password-file", file)
	if code != 0 || out != "" || signIn("bert", "correct horse battery") != 200 {
		t.Errorf("with a password: %d %q %q", code, out, stderr)
	}
	again, stderr, code := command(t, "user", "reset-password", "--data", dir, "--username", "bert")
	if code != 0 || signIn("bert", strings.TrimSpace(again)) != 200 || signIn("bert", "correct horse battery") != 401 {
		t.Errorf("reset: %d %q", code, stderr)
	}
	for name, c := range map[string]struct {
		args     []string
		mentions string
	}{
		"a name that is taken": {[]string{"create", "--username", "anna", "--role", "admin"}, "anna"},
		"no such role":         {[]string{"create", "--username", "x", "--role", "king"}, "--role"},
		"no such site":         {[]string{"create", "--username", "x", "--role", "admin", "--site", "Moon"}, "--site"},
		"a bad name":           {[]string{"create", "--username", "a b", "--role", "admin"}, "username"},
		"no such file":         {[]string{"create", "--username", "x", "--role", "admin", "--password-file", dir + "/nowhere"}, "--password-file"},
		"nobody":               {[]string{"reset-password", "--username", "nobody"}, "no user"},
	} {
		_, stderr, code := command(t, append([]string{"user", c.args[0], "--data", dir}, c.args[1:]...)...)
		if code == 0 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.mentions) {
			t.Errorf("%s: %d %q", name, code, stderr)
		}
	}
}
