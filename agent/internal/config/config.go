// Package config makes one checked set of settings out of flags, environment and
// a file. A flag wins over the environment, the environment over the file.
package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"bambuddy/shared/logging"
)

// Config is how the agent is to run.
type Config struct {
	DataDir    string     // absolute; holds everything the agent keeps
	LogLevel   slog.Level // lines below it are not written
	LogFormat  logging.Format
	AllowPlain bool // speak to a hub on another machine without encryption
}

// Error is a setting that cannot be used. Main turns it into exit code 2.
type Error struct {
	Setting string // as a person gave it: --data, BAMBUDDY_DATA, "data" in FILE
	Problem string
}

// Error is one line that names the setting.
func (e *Error) Error() string { return e.Setting + ": " + e.Problem }

// Sources are where settings come from.
type Sources struct {
	Flags    map[string]string // by the setting's name, only what was given
	Getenv   func(string) string
	ReadFile func(string) ([]byte, error)
}

// prefix begins every environment variable of ours.
const prefix = "BAMBUDDY_"

// settings are all there are, with what takes a value in.
var settings = map[string]func(*Config, string) error{
	"data": func(c *Config, v string) (err error) {
		c.DataDir, err = filepath.Abs(v)
		return err
	},
	"log-level": func(c *Config, v string) error {
		if c.LogLevel.UnmarshalText([]byte(v)) != nil {
			return fmt.Errorf("%q is not debug, info, warn or error", v)
		}
		return nil
	},
	"log-format": func(c *Config, v string) error {
		c.LogFormat = logging.Format(v)
		if !slices.Contains([]logging.Format{logging.Auto, logging.Text, logging.JSON}, c.LogFormat) {
			return fmt.Errorf("%q is not auto, text or json", v)
		}
		return nil
	},
	"allow-plain": func(c *Config, v string) (err error) {
		if c.AllowPlain, err = strconv.ParseBool(v); err != nil {
			return fmt.Errorf("%q is not true or false", v)
		}
		return nil
	},
}

// Resolve gathers and checks the settings. The file is the one of the setting
// "config"; without one, agent.json in the data directory if it is there.
func Resolve(s Sources) (Config, error) {
	c := Config{LogFormat: logging.Auto}
	outer, err := s.outer(&c)
	if err != nil {
		return Config{}, err
	}
	path, named := s.file(c.DataDir)
	if err := s.inner(&c, path, named, outer); err != nil {
		return Config{}, err
	}
	if c.DataDir == "" {
		return Config{}, &Error{"--data", "say where the agent keeps its data, with --data DIR or " + prefix + "DATA"}
	}
	return c, nil
}

// outer takes in flags and environment, and tells which settings they settled.
func (s Sources) outer(c *Config) (settled map[string]bool, err error) {
	settled = map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		value, from := s.given(name)
		if value == "" {
			continue
		}
		settled[name] = true
		if err := settings[name](c, value); err != nil {
			return nil, &Error{from, err.Error()}
		}
	}
	return settled, nil
}

// given is a setting's value of flags or environment, and what it is called there.
func (s Sources) given(name string) (value, from string) {
	if v := s.Flags[name]; v != "" {
		return v, "--" + name
	}
	env := prefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	return s.Getenv(env), env
}

// file is the settings file; named tells that it has to be there.
func (s Sources) file(dataDir string) (path string, named bool) {
	if v, _ := s.given("config"); v != "" {
		return v, true
	}
	if dataDir == "" {
		return "", false
	}
	return filepath.Join(dataDir, "agent.json"), false
}

// inner takes in the file: a JSON object of settings by their names.
func (s Sources) inner(c *Config, path string, named bool, settled map[string]bool) error {
	if path == "" {
		return nil
	}
	b, err := s.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return nil
	}
	if err != nil {
		return &Error{"--config", err.Error()}
	}
	var values map[string]any
	if err := json.Unmarshal(b, &values); err != nil {
		return &Error{"--config", path + " is not a JSON object: " + err.Error()}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		from := fmt.Sprintf("%q in %s", name, path)
		set, known := settings[name]
		if !known {
			return &Error{from, "there is no such setting"}
		}
		if settled[name] {
			continue
		}
		value, ok := plain(values[name])
		if !ok {
			return &Error{from, "its value is not a text, a number or true or false"}
		}
		if err := set(c, value); err != nil {
			return &Error{from, err.Error()}
		}
	}
	return nil
}

func plain(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, v != ""
	case bool:
		return strconv.FormatBool(v), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	}
	return "", false
}
