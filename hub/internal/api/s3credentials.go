package api

import (
	"context"
	"net/http"
	"slices"

	"bambuddy/hub/internal/auth"
	"bambuddy/shared/farm"
)

// S3Credentials are what S3 tools read the archive with.
type S3Credentials interface {
	Create(ctx context.Context, ownerID int64, name string, sites []int64) (farm.S3Credential, farm.Secret, error)
	List(ctx context.Context) ([]farm.S3Credential, error)
	Revoke(ctx context.Context, id int64) error
}

// S3Credential is a credential without its secret.
type S3Credential struct {
	ID         int64             `json:"id"`
	OwnerID    *int64            `json:"owner_id" doc:"The person it belongs to: it never sees more than they do, and ends with them. Null: the hub's own."`
	Name       string            `json:"name" example:"Backup"`
	AccessKey  string            `json:"access_key" example:"BBQ5X2M7K4J6N3P8R9S3" doc:"The access key id, for S3 tools."`
	SiteIDs    *[]int64          `json:"site_ids" doc:"Only the buckets of these sites; null: all, empty: none." nullable:"true"`
	CreatedAt  instant           `json:"created_at"`
	LastUsedAt nullable[instant] `json:"last_used_at" doc:"Some minutes late; null: never."`
}

// CreatedS3Credential is a new credential, with its secret for the one and only time.
type CreatedS3Credential struct {
	S3Credential
	Secret string `json:"secret_key" doc:"The secret. It is shown here once."`
}

// NewS3Credential is the body of POST /s3-credentials.
type NewS3Credential struct {
	Name    string            `json:"name" minLength:"1" maxLength:"100" example:"Backup"`
	SiteIDs optional[[]int64] `json:"site_ids,omitempty" doc:"Only the buckets of these sites; null or absent: all, empty: none."`
}

func (s *server) s3CredentialRoutes(credentials S3Credentials) {
	if credentials == nil {
		return
	}
	h := s3Handlers{s, credentials}
	const tag = "S3 Credentials"
	register(s, route{
		id: "list_s3_credentials", method: http.MethodGet, path: "/s3-credentials", tag: tag, summary: "List S3 Credentials",
		about: "Those that see no site the caller does not see.", needs: farm.Admin, limit: auth.ReadClass, errors: []farm.Code{farm.Invalid},
	}, h.list)
	register(s, route{
		id: "create_s3_credential", method: http.MethodPost, path: "/s3-credentials", tag: tag, summary: "Create S3 Credential",
		about: "To read the archive with S3 tools; who makes it must be allowed to read. The answer holds the secret, once. Not with a key that expires.",
		needs: farm.Admin, limit: auth.WriteClass, created: true, errors: []farm.Code{farm.NotFound},
	}, granted(h.server, h.create))
	register(s, route{
		id: "delete_s3_credential", method: http.MethodDelete, path: "/s3-credentials/{id}", tag: tag, summary: "Delete S3 Credential",
		about: "It ends at once.", needs: farm.Admin, limit: auth.WriteClass,
	}, h.remove)
}

// s3Handlers are the handlers of these routes.
type s3Handlers struct {
	*server
	credentials S3Credentials
}

// given are the credentials a caller may know of: they see nothing that the caller
// does not. A site's bucket holds the files of all its printers, so a caller who is
// limited to certain printers has none.
func (h s3Handlers) given(ctx context.Context) ([]farm.S3Credential, error) {
	if err := runsFarm(ctx); err != nil {
		return nil, err
	}
	all, err := h.credentials.List(ctx)
	if err != nil {
		return nil, err
	}
	who := auth.From(ctx)
	return slices.DeleteFunc(all, func(c farm.S3Credential) bool { return !mayRead(who, c.Sites) }), nil
}

// mayRead tells whether a caller may read, and sees all of the sites; nil is all there are.
func mayRead(who auth.Principal, sites []int64) bool {
	return who.May(farm.Read) && who.Exceeds(farm.APIKey{Sites: sites, ExpiresAt: who.Until()}) != "sites"
}

func (h s3Handlers) list(ctx context.Context, in *Page) (*listing[S3Credential], error) {
	given, err := h.given(ctx)
	if err != nil {
		return nil, err
	}
	wanted := paged(given, *in)
	return &listing[S3Credential]{Total: wanted.Total, Body: mapped(wanted.Body, s3CredentialOf)}, nil
}

func (h s3Handlers) create(ctx context.Context, in *struct{ Body NewS3Credential }) (*body[CreatedS3Credential], error) {
	if err := runsFarm(ctx); err != nil {
		return nil, err
	}
	if err := lasting(ctx); err != nil {
		return nil, err
	}
	if !auth.From(ctx).May(farm.Read) { // what the credential is for
		return nil, farm.Errorf(farm.Forbidden, "you lack the permission %q, which a credential gives", farm.Read)
	}
	sites := in.Body.SiteIDs.Value
	if err := h.areThere(ctx, nil, sites, farm.APIKey{}); err != nil {
		return nil, err
	}
	if !mayRead(auth.From(ctx), sites) {
		return nil, farm.Errorf(farm.Forbidden, "site_ids: you cannot give more than you have")
	}
	owner, _ := auth.From(ctx).User()
	c, secret, err := h.credentials.Create(ctx, owner.ID, in.Body.Name, sites)
	if err != nil {
		return nil, err
	}
	return &body[CreatedS3Credential]{CreatedS3Credential{s3CredentialOf(c), secret.Reveal()}}, nil
}

func (h s3Handlers) remove(ctx context.Context, in *ByID) (*body[Deleted], error) {
	given, err := h.given(ctx)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(given, func(c farm.S3Credential) bool { return c.ID == in.ID }) {
		return nil, farm.Errorf(farm.NotFound, "there is no S3 credential %d", in.ID)
	}
	if err := h.credentials.Revoke(ctx, in.ID); err != nil {
		return nil, err
	}
	return deleted(), nil
}

func s3CredentialOf(c farm.S3Credential) S3Credential {
	out := S3Credential{ID: c.ID, OwnerID: orNull(c.OwnerID), Name: c.Name, AccessKey: c.AccessKey, CreatedAt: instant{c.CreatedAt}, LastUsedAt: someTime(c.LastUsedAt)}
	if c.Sites != nil {
		out.SiteIDs = &c.Sites
	}
	return out
}
