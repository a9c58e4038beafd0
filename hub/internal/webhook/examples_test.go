package webhook

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bambuddy/shared/farm"
)

const examples = "../../../docs/examples/webhooks/"

// The examples that people copy are run here: each takes what is genuine and nothing else.
func TestExamples(t *testing.T) {
	program := filepath.Join(t.TempDir(), "verify")
	for name, command := range map[string][]string{
		"verify.sh": {"bash", examples + "verify.sh"}, "verify.py": {"python3", examples + "verify.py"}, "verify.mjs": {"node", examples + "verify.mjs"}, "main.go": {program},
	} {
		t.Run(name, func(t *testing.T) {
			needs := []string{command[0]}
			switch name {
			case "verify.sh":
				needs = append(needs, "openssl")
			case "main.go":
				needs = []string{"go"}
			}
			for _, tool := range needs {
				if _, err := exec.LookPath(tool); err != nil {
					t.Skipf("%s cannot be run here: %v", name, err)
				}
			}
			if name == "main.go" {
				if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, examples+"main.go").CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			secret, now := farm.Secret("whsec_example-0123456789"), time.Now()
			body := []byte(`{"event":"print_failed","timestamp":"2024-01-15T14:30:00Z","data":{"printer_name":"Küche 🖨 \"1\"","failure_reason":"50% $HOME ` + "`x`" + `\n"}}`)
			genuine := Sign(secret, now, body)
			last := genuine[len(genuine)-1:]
			for _, c := range []struct {
				about, signature string
				body             []byte
				want             bool
			}{
				{"genuine", genuine, body, true},
				{"a little old", Sign(secret, now.Add(-4*time.Minute), body), body, true},
				{"a clock that is ahead", Sign(secret, now.Add(4*time.Minute), body), body, true},
				{"an empty body", Sign(secret, now, nil), nil, true},
				{"another body", genuine, bytes.Replace(body, []byte("50%"), []byte("51%"), 1), false},
				{"a longer body", genuine, append(bytes.Clone(body), '\n'), false},
				{"another secret", Sign("whsec_another-0123456789", now, body), body, false},
				{"old", Sign(secret, now.Add(-6*time.Minute), body), body, false},
				{"of the future", Sign(secret, now.Add(6*time.Minute), body), body, false},
				{"a new time on an old signature", "t=" + now.Format("20060102") + strings.TrimLeft(genuine, "t=0123456789"), body, false},
				{"another end", genuine[:len(genuine)-1] + map[bool]string{true: "1", false: "0"}[last == "0"], body, false},
				{"cut off", genuine[:len(genuine)-2], body, false},
				{"no signature", "", body, false},
				{"nonsense", "t=x,v1=y", body, false},
				{"only a time", "t=" + strings.TrimPrefix(strings.Split(genuine, ",")[0], "t=") + ",v1=", body, false},
			} {
				cmd := exec.CommandContext(t.Context(), command[0], append(command[1:], c.signature)...)
				cmd.Env = append(os.Environ(), "WEBHOOK_SECRET="+secret.Reveal())
				cmd.Stdin = bytes.NewReader(c.body)
				out, err := cmd.CombinedOutput()
				if (err == nil) != c.want {
					t.Errorf("%s: %v %s", c.about, err, out)
				}
			}
		})
	}
}

// What stands in the text is what was run.
func TestTheTextHasTheExamplesAsTheyAre(t *testing.T) {
	text, err := os.ReadFile("../../../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"verify.sh", "verify.py", "verify.mjs", "main.go"} {
		example, err := os.ReadFile(examples + name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(text, example) {
			t.Errorf("docs/webhooks.md has another %s", name)
		}
	}
	for _, kind := range append([]string{farm.EventWebhookTest}, farm.WebhookEvents...) {
		if !bytes.Contains(text, []byte("`"+kind+"`")) {
			t.Errorf("docs/webhooks.md says nothing of %s", kind)
		}
	}
	for _, line := range strings.Split(string(text), "\n") {
		body, is := strings.CutPrefix(line, `    {"event":`)
		if !is {
			continue
		}
		golden, err := os.ReadFile("testdata/bodies.jsonl")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(golden), `{"event":`+body+"\n") {
			t.Errorf("docs/webhooks.md shows a body that is not sent:\n%s", line)
		}
	}
}
