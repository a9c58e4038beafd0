package config

import (
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"bambuddy/shared/logging"
)

func TestResolve(t *testing.T) {
	abs, err := filepath.Abs("/var/agent")
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(abs, "agent.json")
	tests := []struct {
		name  string
		flags map[string]string
		env   map[string]string
		files map[string]string
		want  Config
		err   string // beginning of the one line, "" for success
	}{
		{name: "a flag alone", flags: map[string]string{"data": "/var/agent"}, want: Config{DataDir: abs, LogFormat: logging.Auto}},
		{name: "environment alone", env: map[string]string{"BAMBUDDY_DATA": "/var/agent", "BAMBUDDY_LOG_LEVEL": "debug", "BAMBUDDY_LOG_FORMAT": "json", "BAMBUDDY_ALLOW_PLAIN": "true"}, want: Config{DataDir: abs, LogLevel: slog.LevelDebug, LogFormat: logging.JSON, AllowPlain: true}},
		{name: "file in the data directory", flags: map[string]string{"data": "/var/agent"}, files: map[string]string{own: `{"log-level":"warn","allow-plain":true}`}, want: Config{DataDir: abs, LogLevel: slog.LevelWarn, LogFormat: logging.Auto, AllowPlain: true}},
		{
			name: "flag over environment over file", flags: map[string]string{"data": "/var/agent", "log-level": "error"},
			env:   map[string]string{"BAMBUDDY_LOG_LEVEL": "warn", "BAMBUDDY_LOG_FORMAT": "text", "BAMBUDDY_CONFIG": "/etc/a.json"},
			files: map[string]string{"/etc/a.json": `{"log-level":"nonsense","log-format":"json","data":"/elsewhere","allow-plain":"1"}`, own: `{"log-format":"nonsense"}`},
			want:  Config{DataDir: abs, LogLevel: slog.LevelError, LogFormat: logging.Text, AllowPlain: true},
		},
		{name: "everything in a named file", flags: map[string]string{"config": "/etc/a.json"}, files: map[string]string{"/etc/a.json": `{"data":"/var/agent"}`}, want: Config{DataDir: abs, LogFormat: logging.Auto}},
		{name: "nothing", err: "--data: "},
		{name: "a wrong flag", flags: map[string]string{"data": "/x", "log-level": "loud"}, err: "--log-level: "},
		{name: "a wrong variable", env: map[string]string{"BAMBUDDY_DATA": "/x", "BAMBUDDY_LOG_FORMAT": "xml"}, err: "BAMBUDDY_LOG_FORMAT: "},
		{name: "not a truth", env: map[string]string{"BAMBUDDY_DATA": "/x", "BAMBUDDY_ALLOW_PLAIN": "maybe"}, err: "BAMBUDDY_ALLOW_PLAIN: "},
		{name: "a named file that is not there", flags: map[string]string{"data": "/x", "config": "/none"}, err: "--config: "},
		{name: "a file that is not JSON", flags: map[string]string{"data": "/var/agent"}, files: map[string]string{own: `log-level = warn`}, err: "--config: "},
		{name: "an unknown setting", flags: map[string]string{"data": "/var/agent"}, files: map[string]string{own: `{"loglevel":"warn"}`}, err: `"loglevel" in `},
		{name: "a wrong value in a file", flags: map[string]string{"data": "/var/agent"}, files: map[string]string{own: `{"log-level":7.5}`}, err: `"log-level" in `},
		{name: "an impossible value in a file", flags: map[string]string{"data": "/var/agent"}, files: map[string]string{own: `{"log-level":[1]}`}, err: `"log-level" in `},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Resolve(Sources{
				Flags:  test.flags,
				Getenv: func(k string) string { return test.env[k] },
				ReadFile: func(path string) ([]byte, error) {
					if text, ok := test.files[path]; ok {
						return []byte(text), nil
					}
					return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
				},
			})
			if test.err == "" {
				if err != nil || got != test.want {
					t.Errorf("got %+v, %v; want %+v", got, err, test.want)
				}
				return
			}
			var wrong *Error
			if !errors.As(err, &wrong) || !strings.HasPrefix(err.Error(), test.err) || strings.Contains(err.Error(), "\n") {
				t.Errorf("err = %v, want one line that begins with %q", err, test.err)
			}
		})
	}
}
