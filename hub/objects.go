package main

import (
	"fmt"
	"os"

	"bambuddy/hub/app"
	"bambuddy/hub/internal/archive"
	"bambuddy/hub/internal/blob"
)

// objects says where the files of archives are kept.
type objects struct {
	ObjectsEndpoint      string `name:"objects-endpoint" placeholder:"URL" help:"Keep the files of archives in this S3 service, as https://host; without it in the data directory." env:"BAMBUDDY_OBJECTS_ENDPOINT"`
	ObjectsRegion        string `name:"objects-region" default:"us-east-1" help:"Its region." env:"BAMBUDDY_OBJECTS_REGION"`
	ObjectsBucket        string `name:"objects-bucket" placeholder:"NAME" help:"The bucket; it must be there." env:"BAMBUDDY_OBJECTS_BUCKET"`
	ObjectsPrefix        string `name:"objects-prefix" placeholder:"PATH" help:"Keep everything below this path of the bucket." env:"BAMBUDDY_OBJECTS_PREFIX"`
	ObjectsAccessKey     string `name:"objects-access-key" placeholder:"KEY" help:"Access key." env:"BAMBUDDY_OBJECTS_ACCESS_KEY"`
	ObjectsSecretKey     string `name:"objects-secret-key" placeholder:"KEY" help:"Secret key." env:"BAMBUDDY_OBJECTS_SECRET_KEY"`
	ObjectsSecretKeyFile string `name:"objects-secret-key-file" placeholder:"FILE" help:"A file that holds the secret key." env:"BAMBUDDY_OBJECTS_SECRET_KEY_FILE"`
	ObjectsCA            string `name:"objects-ca" placeholder:"FILE" help:"Certificate of the authority of the service (PEM); without it, those of the system." env:"BAMBUDDY_OBJECTS_CA"`
	ObjectsVirtualHost   bool   `name:"objects-virtual-host" help:"Address the bucket as a host name, not as a path." env:"BAMBUDDY_OBJECTS_VIRTUAL_HOST"`
}

// store makes the store that is configured, nil for the data directory.
func (o objects) store() (blob.Store, error) {
	if o.ObjectsEndpoint == "" {
		return nil, nil
	}
	key, err := secret("objects-secret-key", o.ObjectsSecretKey, o.ObjectsSecretKeyFile)
	if err != nil {
		return nil, err
	}
	s, err := blob.NewS3(blob.S3Config{
		Endpoint: o.ObjectsEndpoint, Region: o.ObjectsRegion, Bucket: o.ObjectsBucket, Prefix: o.ObjectsPrefix, AccessKey: o.ObjectsAccessKey, SecretKey: key,
		CAFile: o.ObjectsCA, VirtualHost: o.ObjectsVirtualHost,
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

type rebuildCommand struct {
	database
	objects
}

// Run restores what the object store tells.
func (c rebuildCommand) Run(e environment) error {
	store, err := c.store()
	if err != nil {
		return usageError{err}
	}
	if store != nil && c.DatabaseURL == "" && c.DatabaseURLFile == "" { // all but the store may be lost, the folder too
		if err := os.MkdirAll(c.Data, 0o700); err != nil {
			return usageError{fmt.Errorf("--data: %w", err)}
		}
	}
	return withAdmin(e, c.database, func(a *app.Admin) error {
		done, err := a.Rebuild(e.ctx, c.Data, store, func(line string) { _, _ = fmt.Fprintln(e.stderr, line) })
		if err != nil {
			return err
		}
		return report(e, done)
	})
}

func report(e environment, done archive.Rebuilt) error {
	_, err := fmt.Fprintf(e.stdout, "%d records: %d archives restored, %d were there, %d records unusable, %d files missing\n",
		done.Records, done.Restored, done.Present, done.Unread, done.Missing)
	return err
}
