package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"

	"bambuddy/hub/internal/registry"
	"bambuddy/hub/internal/s3door"
	"bambuddy/hub/internal/secrets"
	"bambuddy/hub/internal/store"
	"bambuddy/shared/farm"
)

// S3 is how the archive is offered to S3 tools.
type S3 struct {
	Listener net.Listener // nil: it is not; closed when Run returns
	Region   string       // "": us-east-1
	Domain   string       // <site>.<Domain> names a bucket as well; "": the path alone does
}

// door is the built S3 door, and what the API manages its credentials by.
type door struct {
	credentials *s3door.Credentials
	server      *http.Server
	listen      net.Listener
}

// newDoor builds the door; without a listener it has credentials, and no server.
func newDoor(o S3, db *store.DB, objects s3door.Objects, box *secrets.Box, log *slog.Logger) *door {
	d := &door{credentials: s3door.NewCredentials(db, box, log), listen: o.Listener}
	if o.Listener != nil {
		d.server = s3door.New(s3door.Options{
			Index: db, Objects: objects, Keys: d.credentials, Region: o.Region, Domain: o.Domain, Log: log,
		}).Server()
	}
	return d
}

// run serves until drain; without a listener it waits for the end.
func (d *door) run(ctx context.Context) error {
	if d.server == nil {
		<-ctx.Done()
		return nil
	}
	if err := d.server.Serve(d.listen); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve S3: %w", err)
	}
	return nil
}

// drain lets what is being read be read to its end, as long as ctx lasts.
func (d *door) drain(ctx context.Context) error {
	if d.server == nil {
		return nil
	}
	if err := d.server.Shutdown(ctx); err != nil {
		return errors.Join(err, d.server.Close())
	}
	return nil
}

// NewS3Credential makes a credential that reads the archives of the sites of these
// names, of all sites when there are none. Keys seal its secret as the hub's do.
func (a *Admin) NewS3Credential(ctx context.Context, keys []farm.Secret, name string, siteNames []string) (farm.S3Credential, farm.Secret, error) {
	box, err := secrets.Open(ctx, secrets.Options{Keys: keys, Dir: a.keyDir, Canary: a.db})
	if err != nil {
		return farm.S3Credential{}, "", err
	}
	sites, err := a.sitesNamed(ctx, siteNames)
	if err != nil {
		return farm.S3Credential{}, "", err
	}
	return s3door.NewCredentials(a.db, box, slog.New(slog.DiscardHandler)).Create(ctx, 0, cmp.Or(name, "bambuddy-hub"), sites)
}

// sitesNamed finds sites; of no names it gives nil, which is all sites.
func (a *Admin) sitesNamed(ctx context.Context, names []string) ([]int64, error) {
	if len(names) == 0 {
		return nil, nil
	}
	all, err := registry.New(registry.Options{Store: a.db}).Sites(ctx)
	if err != nil {
		return nil, err
	}
	var ids []int64
	for _, name := range names {
		i := slices.IndexFunc(all, func(s farm.Site) bool { return s.Name == name })
		if i < 0 {
			return nil, farm.Errorf(farm.Invalid, "--site: there is no site %q", name)
		}
		ids = append(ids, all[i].ID)
	}
	return ids, nil
}

// S3Credentials gives all credentials by id, with the names of the sites they are
// for; "all" is one of those.
func (a *Admin) S3Credentials(ctx context.Context) (list []farm.S3Credential, sites [][]string, err error) {
	if list, err = a.db.S3Credentials(ctx); err != nil {
		return nil, nil, err
	}
	all, err := a.db.Sites(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range list {
		names := []string{}
		for _, s := range all {
			if c.Sites != nil && c.SeesSite(s.ID) {
				names = append(names, s.Name)
			}
		}
		if c.Sites == nil {
			names = []string{"all"}
		}
		sites = append(sites, names)
	}
	return list, sites, nil
}

// RevokeS3Credential ends the credential with this access key.
func (a *Admin) RevokeS3Credential(ctx context.Context, accessKey string) error {
	c, _, err := a.db.S3Credential(ctx, accessKey)
	if farm.Is(err, farm.NotFound) {
		return farm.Errorf(farm.Invalid, "there is no S3 credential %q", accessKey)
	}
	if err != nil {
		return err
	}
	return a.db.DeleteS3Credential(ctx, c.ID)
}
