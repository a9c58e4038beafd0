package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"slices"

	"bambuddy/hub/internal/auth"
	"bambuddy/hub/internal/registry"
	"bambuddy/hub/internal/secrets"
	"bambuddy/hub/internal/store"
	"bambuddy/shared/farm"
)

// The names of the settings by which a hub tells the commands beside it how
// agents reach it.
const (
	settingURL         = "public_url"
	settingFingerprint = "fingerprint"
)

// introduce leaves word for the administrative commands.
func introduce(ctx context.Context, db *store.DB, o Options) error {
	return cmp.Or(
		db.SetSetting(ctx, settingURL, o.publicURL()),
		db.SetSetting(ctx, settingFingerprint, o.Fingerprint),
	)
}

// publicURL is where agents find this hub, as far as it can know.
func (o Options) publicURL() string {
	if o.PublicURL != "" {
		return o.PublicURL
	}
	scheme := "http"
	if o.Fingerprint != "" {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(o.Listener.Addr().String())
	if err != nil {
		return scheme + "://" + o.Listener.Addr().String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		if name, err := os.Hostname(); err == nil {
			host = name
		}
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// Admin is the hub's database for a short command beside a running hub, or
// without one. Close it.
type Admin struct {
	db     *store.DB
	keyDir string // of the key file; "": PostgreSQL, there is none
}

// OpenAdmin opens it. A running hub finds out about changes by itself.
func OpenAdmin(ctx context.Context, dir string, databaseURL farm.Secret) (*Admin, error) {
	if databaseURL == "" {
		if _, err := os.Stat(dir); err != nil {
			return nil, farm.Errorf(farm.Invalid, "--data: there is no hub in %s", dir)
		}
	}
	db, err := store.Open(ctx, store.Config{Dir: dir, URL: databaseURL.Reveal()})
	if err != nil {
		return nil, err
	}
	if databaseURL != "" {
		dir = ""
	}
	return &Admin{db, dir}, nil
}

// Close closes the database.
func (a *Admin) Close() error { return a.db.Close() }

// NewKey makes an API key.
func (a *Admin) NewKey(ctx context.Context, name string, permissions []farm.Permission, limits farm.Limits) (farm.Secret, error) {
	key, _, err := auth.New(auth.Options{Store: a.db}).CreateKey(ctx, auth.NewKey{Name: name, Permissions: permissions, Limits: limits})
	return key, err
}

// NewUser makes a person, limited to the named sites (none: not limited). An empty
// password is replaced by one of the hub's making, which it gives.
func (a *Admin) NewUser(ctx context.Context, n NewUser) (farm.Secret, error) {
	sites, err := a.sitesNamed(ctx, n.Sites)
	if err != nil {
		return "", err
	}
	password := orRandom(n.Password)
	_, err = auth.New(auth.Options{Store: a.db}).CreateUser(ctx, auth.NewUser{
		Username: n.Username, Name: n.Name, Role: n.Role, Sites: sites, Password: password,
	})
	return password, err
}

// NewUser is what a person is to be.
type NewUser struct {
	Username, Name string
	Role           farm.Role
	Sites          []string // names
	Password       farm.Secret
}

// ResetPassword gives a person another password (empty: one of the hub's making,
// which it gives), lets them in again if they were disabled, and ends their sessions.
func (a *Admin) ResetPassword(ctx context.Context, username string, password farm.Secret) (farm.Secret, error) {
	people := auth.New(auth.Options{Store: a.db})
	u, err := people.UserNamed(ctx, username)
	if err != nil {
		return "", err
	}
	password = orRandom(password)
	if err := people.ResetPassword(ctx, u, password); err != nil {
		return "", err
	}
	if u.Disabled {
		u.Disabled = false
		_, err = people.SaveUser(ctx, u)
	}
	return password, err
}

func orRandom(password farm.Secret) farm.Secret {
	if password == "" {
		return farm.Secret(rand.Text())
	}
	return password
}

// NewEnrolment makes a token to enrol an agent at a site, which is made when
// there is none of that name. An empty url is the one the hub last served at.
func (a *Admin) NewEnrolment(ctx context.Context, siteName, url string) (token farm.Secret, madeSite bool, err error) {
	reg := registry.New(registry.Options{Store: a.db})
	fingerprint, _, err := a.db.Setting(ctx, settingFingerprint)
	if err != nil {
		return "", false, err
	}
	if url == "" {
		if url, _, err = a.db.Setting(ctx, settingURL); err != nil {
			return "", false, err
		}
	}
	if url == "" {
		return "", false, farm.Errorf(farm.Invalid, "--url: this hub has not run yet, so say where agents will reach it")
	}
	site, madeSite, err := siteNamed(ctx, reg, siteName)
	if err != nil {
		return "", false, err
	}
	token, _, err = reg.NewEnrolment(ctx, site.ID, url, fingerprint)
	return token, madeSite, err
}

func siteNamed(ctx context.Context, reg *registry.Registry, name string) (s farm.Site, made bool, err error) {
	sites, err := reg.Sites(ctx)
	if err != nil {
		return s, false, err
	}
	if i := slices.IndexFunc(sites, func(s farm.Site) bool { return s.Name == name }); i >= 0 {
		return sites[i], false, nil
	}
	s, err = reg.AddSite(ctx, name)
	return s, err == nil, err
}

// ErrUsage tells whether an error is the caller's: a wrong setting rather than a
// fault.
func ErrUsage(err error) bool {
	var e *farm.Error
	return errors.As(err, &e) && e.Code == farm.Invalid
}

// ErrSecretKey is in the chain of every error about the key that seals secrets.
var ErrSecretKey = secrets.ErrKey
