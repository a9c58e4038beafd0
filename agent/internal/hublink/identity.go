package hublink

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"bambuddy/shared/atomicfile"
	"bambuddy/shared/farm"
)

// Identity is who this agent is and which hub it belongs to: what enrolment gave.
// It prints and logs without its key.
type Identity struct {
	HubURL      string
	Fingerprint string // hex SHA-256 of the hub's certificate, "": the system's roots decide
	HubID       string
	AgentID     string
	Site        string // as of enrolment, for people
	Name        string // as of enrolment, for people
	Key         ed25519.PrivateKey
}

// String names the agent and its hub.
func (id Identity) String() string { return "agent " + id.AgentID + " of " + id.HubURL }

// GoString is String, so that no format shows the key.
func (id Identity) GoString() string { return id.String() }

// LogValue logs the agent and its hub.
func (id Identity) LogValue() slog.Value {
	return slog.GroupValue(slog.String("agent", id.AgentID), slog.String("hub", id.HubURL))
}

const (
	identityFile    = "identity.json"
	identityVersion = 1
)

// stored is the file. It only grows.
type stored struct {
	Version     int    `json:"version"`
	HubURL      string `json:"hub_url"`
	Fingerprint string `json:"fingerprint,omitempty"`
	HubID       string `json:"hub_id"`
	AgentID     string `json:"agent_id"`
	Site        string `json:"site,omitempty"`
	Name        string `json:"name,omitempty"`
	Seed        []byte `json:"key"` // Ed25519 seed
}

// LoadIdentity reads the identity in a data directory. NOT_FOUND means that this
// agent has not been enrolled.
func LoadIdentity(dir string) (Identity, error) {
	path := filepath.Join(dir, identityFile)
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Identity{}, farm.Errorf(farm.NotFound, "this agent is not enrolled with a hub yet: run `bambuddy-agent enroll --token …`")
	case err != nil:
		return Identity{}, fmt.Errorf("read the agent's identity: %w", err)
	}
	var f stored
	if err := json.Unmarshal(b, &f); err != nil {
		return Identity{}, fmt.Errorf("%s is damaged (not JSON): restore it, or enrol again with --force", path)
	}
	if f.Version != identityVersion || f.HubURL == "" || f.HubID == "" || f.AgentID == "" || len(f.Seed) != ed25519.SeedSize {
		return Identity{}, fmt.Errorf("%s is damaged or of a newer version: restore it, or enrol again with --force", path)
	}
	return Identity{
		HubURL: f.HubURL, Fingerprint: f.Fingerprint, HubID: f.HubID, AgentID: f.AgentID, Site: f.Site, Name: f.Name,
		Key: ed25519.NewKeyFromSeed(f.Seed),
	}, nil
}

// SaveIdentity writes the identity into a data directory, whole or not at all,
// readable by its owner alone.
func SaveIdentity(dir string, id Identity) error {
	b, err := json.MarshalIndent(stored{
		Version: identityVersion, HubURL: id.HubURL, Fingerprint: id.Fingerprint, HubID: id.HubID, AgentID: id.AgentID,
		Site: id.Site, Name: id.Name, Seed: id.Key.Seed(),
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the agent's identity: %w", err)
	}
	if err := atomicfile.WriteFile(filepath.Join(dir, identityFile), append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("save the agent's identity: %w", err)
	}
	return nil
}
