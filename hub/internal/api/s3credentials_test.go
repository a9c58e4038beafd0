package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"bambuddy/hub/internal/auth"
	"bambuddy/shared/farm"
)

// memS3 is credentials in memory.
type memS3 struct{ rows []farm.S3Credential }

func (m *memS3) Create(_ context.Context, _ int64, name string, sites []int64) (farm.S3Credential, farm.Secret, error) {
	c := farm.S3Credential{ID: int64(len(m.rows) + 1), Name: name, AccessKey: fmt.Sprint("KEY", len(m.rows)+1), Sites: sites, CreatedAt: seedTime}
	m.rows = append(m.rows, c)
	return c, "the-secret", nil
}

func (m *memS3) List(context.Context) ([]farm.S3Credential, error) { return slices.Clone(m.rows), nil }

func (m *memS3) Revoke(_ context.Context, id int64) error {
	m.rows = slices.DeleteFunc(m.rows, func(c farm.S3Credential) bool { return c.ID == id })
	return nil
}

func TestS3Credentials(t *testing.T) {
	creds := &memS3{}
	r := newRig(t, func(d *Deps) { d.S3 = creds })
	r.registry.sites = append(r.registry.sites, farm.Site{ID: 2, Name: "Attic", CreatedAt: seedTime})
	const path = "/api/v1/s3-credentials"

	made := r.do(r.admin, http.MethodPost, path, `{"name":"Backup"}`)
	if m := made.object(t); made.status != http.StatusCreated || m["secret_key"] != "the-secret" || m["access_key"] != "KEY1" || m["site_ids"] != nil || m["last_used_at"] != nil {
		t.Errorf("%d %s", made.status, made.body)
	}
	made = r.do(r.admin, http.MethodPost, path, `{"name":"Attic","site_ids":[2]}`)
	if m := made.object(t); made.status != http.StatusCreated || fmt.Sprint(m["site_ids"]) != "[2]" {
		t.Errorf("%d %s", made.status, made.body)
	}
	r.wantError(r.do(r.admin, http.MethodPost, path, `{"name":"x","site_ids":[7]}`), farm.NotFound, "site_ids")
	r.wantError(r.do(r.admin, http.MethodPost, path, `{"name":""}`), farm.Invalid, "name")
	all := r.get(path)
	if rows, ok := all.json(t).([]any); !ok || len(rows) != 2 || all.header.Get("X-Total-Count") != "2" || rows[0].(map[string]any)["secret_key"] != nil {
		t.Errorf("%s", all.body)
	}

	// Nobody gives, sees or takes more than he has.
	attic := r.key(auth.NewKey{Permissions: farm.Permissions, Sites: []int64{2}})
	rows, _ := r.do(attic, http.MethodGet, path, "").json(t).([]any)
	if len(rows) != 1 || rows[0].(map[string]any)["name"] != "Attic" {
		t.Errorf("a key of one site sees %v", rows)
	}
	r.wantError(r.do(attic, http.MethodPost, path, `{"name":"x"}`), farm.Forbidden, "site_ids")
	r.wantError(r.do(attic, http.MethodPost, path, `{"name":"x","site_ids":[1]}`), farm.NotFound, "site_ids")
	r.wantError(r.do(attic, http.MethodDelete, path+"/1", ""), farm.NotFound, "1")
	printer := r.key(auth.NewKey{Permissions: farm.Permissions, Printers: []int64{1}})
	r.wantError(r.do(printer, http.MethodGet, path, ""), farm.Forbidden, "printers")
	r.wantError(r.do(printer, http.MethodPost, path, `{"name":"x"}`), farm.Forbidden, "printers")
	reader := r.key(auth.NewKey{Permissions: []farm.Permission{farm.Read, farm.Queue, farm.Control}})
	r.wantError(r.do(reader, http.MethodGet, path, ""), farm.Forbidden, "admin")

	if d := r.do(attic, http.MethodDelete, path+"/2", ""); d.status != http.StatusOK || len(creds.rows) != 1 {
		t.Errorf("%d %s", d.status, d.body)
	}
	r.wantError(r.do(r.admin, http.MethodDelete, path+"/2", ""), farm.NotFound, "2")
}
