package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"bambuddy/hub/internal/auth"
	"bambuddy/shared/farm"
)

// Key is a key without the key itself.
type Key struct {
	ID          int64             `json:"id"`
	OwnerID     *int64            `json:"owner_id" doc:"The person it belongs to: it never exceeds them, and ends with them. Null: the hub's own."`
	Name        string            `json:"name" example:"Home automation"`
	Prefix      string            `json:"prefix" doc:"How the key begins, to recognise it by." example:"bb_x4Kq9R"`
	Permissions []farm.Permission `json:"permissions" enum:"read,queue,control,admin"`
	PrinterIDs  *[]int64          `json:"printer_ids" doc:"Only these printers; null: all, empty: none."`
	SiteIDs     *[]int64          `json:"site_ids" doc:"Only these sites; null: all, empty: none."`
	Limits      KeyLimits         `json:"limits"`
	CreatedAt   instant           `json:"created_at"`
	ExpiresAt   nullable[instant] `json:"expires_at" doc:"Null: never."`
	LastUsedAt  nullable[instant] `json:"last_used_at" doc:"Some seconds late; null: never."`
}

// CreatedKey is a new key, with the key itself for the one and only time.
type CreatedKey struct {
	Key
	Secret string `json:"key" doc:"The key. It is shown here once and kept nowhere." example:"bb_…"`
}

// KeyLimits are requests a minute.
type KeyLimits struct {
	Read    int `json:"read,omitempty" minimum:"0" doc:"0: the hub's default."`
	Write   int `json:"write,omitempty" minimum:"0" doc:"0: the hub's default."`
	Control int `json:"control,omitempty" minimum:"0" doc:"0: the hub's default."`
}

// NewKey is the body of POST /api-keys.
type NewKey struct {
	Name        string              `json:"name" example:"Home automation"`
	Permissions []farm.Permission   `json:"permissions" enum:"read,queue,control,admin" doc:"At least one; none more than the caller has."`
	PrinterIDs  optional[[]int64]   `json:"printer_ids,omitempty" doc:"Only these printers; null or absent: all, empty: none."`
	SiteIDs     optional[[]int64]   `json:"site_ids,omitempty" doc:"Only these sites; null or absent: all, empty: none."`
	Limits      KeyLimits           `json:"limits,omitempty"`
	ExpiresAt   optional[time.Time] `json:"expires_at,omitempty" doc:"Null or absent: never."`
}

// KeyChange is the body of PATCH /api-keys/{id}: any subset.
type KeyChange struct {
	Name        *string             `json:"name,omitempty"`
	Permissions *[]farm.Permission  `json:"permissions,omitempty" enum:"read,queue,control,admin"`
	PrinterIDs  optional[[]int64]   `json:"printer_ids,omitempty" doc:"Null: all, empty: none."`
	SiteIDs     optional[[]int64]   `json:"site_ids,omitempty" doc:"Null: all, empty: none."`
	Limits      *KeyLimits          `json:"limits,omitempty"`
	ExpiresAt   optional[time.Time] `json:"expires_at,omitempty" doc:"Null: never."`
}

func (s *server) keyRoutes() {
	const tag = "API Keys"
	register(s, route{
		id: "list_api_keys", method: http.MethodGet, path: "/api-keys", tag: tag, summary: "List API Keys",
		about: "The keys that carry nothing beyond the caller's own.", needs: farm.Admin, limit: auth.ReadClass, errors: []farm.Code{farm.Invalid},
	}, s.listKeys)
	register(s, route{
		id: "create_api_key", method: http.MethodPost, path: "/api-keys", tag: tag, summary: "Create API Key",
		about: "The answer holds the key, once.", needs: farm.Admin, limit: auth.WriteClass, created: true, errors: []farm.Code{farm.NotFound},
	}, granted(s, s.createKey))
	register(s, route{
		id: "update_api_key", method: http.MethodPatch, path: "/api-keys/{id}", tag: tag, summary: "Update API Key",
		about: "Open event streams of the key end when its permissions or scope change.", needs: farm.Admin, limit: auth.WriteClass,
	}, granted(s, s.updateKey))
	register(s, route{
		id: "rotate_api_key", method: http.MethodPost, path: "/api-keys/{id}/rotate", tag: tag, summary: "Rotate API Key",
		about: "Gives the key another secret, which the answer holds, once. The one before ends at once.", needs: farm.Admin, limit: auth.WriteClass,
	}, granted(s, s.rotateKey))
	register(s, route{
		id: "delete_api_key", method: http.MethodDelete, path: "/api-keys/{id}", tag: tag, summary: "Delete API Key",
		about: "It ends at once; its open event streams as well.", needs: farm.Admin, limit: auth.WriteClass,
	}, s.deleteKey)
}

func (s *server) listKeys(ctx context.Context, in *Page) (*listing[Key], error) {
	keys, err := s.auth.Keys(ctx)
	if err != nil {
		return nil, err
	}
	who := auth.From(ctx)
	keys = slices.DeleteFunc(keys, func(k farm.APIKey) bool { return who.Exceeds(k) != "" })
	wanted := paged(keys, *in)
	return &listing[Key]{Total: wanted.Total, Body: mapped(wanted.Body, keyOf)}, nil
}

func (s *server) createKey(ctx context.Context, in *struct{ Body NewKey }) (*body[CreatedKey], error) {
	b := in.Body
	owner, _ := auth.From(ctx).User()
	n := auth.NewKey{
		OwnerID: owner.ID, Name: b.Name, Permissions: b.Permissions, Printers: b.PrinterIDs.Value, Sites: b.SiteIDs.Value,
		Limits: farm.Limits(b.Limits), ExpiresAt: b.ExpiresAt.Value,
	}
	if err := mayGive(ctx, farm.APIKey{
		Permissions: n.Permissions, Printers: n.Printers, Sites: n.Sites, Limits: n.Limits, ExpiresAt: n.ExpiresAt,
	}); err != nil {
		return nil, err
	}
	if err := s.areThere(ctx, n.Printers, n.Sites, farm.APIKey{}); err != nil {
		return nil, err
	}
	secret, k, err := s.auth.CreateKey(ctx, n)
	if err != nil {
		return nil, err
	}
	return &body[CreatedKey]{CreatedKey{Key: keyOf(k), Secret: secret.Reveal()}}, nil
}

type updateKeyInput struct {
	ByID
	Body KeyChange
}

func (s *server) updateKey(ctx context.Context, in *updateKeyInput) (*body[Key], error) {
	was, err := s.key(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	b := in.Body
	k, err := auth.KeyChange{
		Name: b.Name, Permissions: b.Permissions, Printers: b.PrinterIDs.ptr(), Sites: b.SiteIDs.ptr(),
		Limits: (*farm.Limits)(b.Limits), ExpiresAt: b.ExpiresAt.ptr(),
	}.To(was)
	if err != nil {
		return nil, err
	}
	if err := mayGive(ctx, k); err != nil {
		return nil, err
	}
	if err := s.areThere(ctx, k.Printers, k.Sites, was); err != nil {
		return nil, err
	}
	if err := s.auth.SaveKey(ctx, k); err != nil {
		return nil, err
	}
	return &body[Key]{keyOf(k)}, nil
}

func (s *server) rotateKey(ctx context.Context, in *ByID) (*body[CreatedKey], error) {
	if _, err := s.key(ctx, in.ID); err != nil {
		return nil, err
	}
	secret, k, err := s.auth.RotateKey(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &body[CreatedKey]{CreatedKey{Key: keyOf(k), Secret: secret.Reveal()}}, nil
}

func (s *server) deleteKey(ctx context.Context, in *ByID) (*body[Deleted], error) {
	if _, err := s.key(ctx, in.ID); err != nil {
		return nil, err
	}
	if err := s.auth.DeleteKey(ctx, in.ID); err != nil {
		return nil, err
	}
	return deleted(), nil
}

// areThere refuses allow-lists that name a printer or a site nobody knows: a slip
// of the pen would be found out only when the key fails. What a key has named
// before stays, though it be gone since.
func (s *server) areThere(ctx context.Context, printers, sites []int64, was farm.APIKey) error {
	for _, id := range printers {
		if _, err := s.view(ctx, id); err != nil && !slices.Contains(was.Printers, id) {
			return farm.Errorf(farm.NotFound, "printer_ids: there is no printer %d", id)
		}
	}
	for _, id := range sites {
		if slices.Contains(was.Sites, id) {
			continue
		}
		if err := s.siteThere(ctx, id, "site_ids"); err != nil {
			return err
		}
	}
	return nil
}

// key gives a key that carries nothing beyond the caller's own.
func (s *server) key(ctx context.Context, id int64) (farm.APIKey, error) {
	k, err := s.auth.Key(ctx, id)
	if farm.Is(err, farm.NotFound) || (err == nil && auth.From(ctx).Exceeds(k) != "") {
		return farm.APIKey{}, farm.Errorf(farm.NotFound, "there is no API key %d", id)
	}
	return k, err
}

func mayGive(ctx context.Context, k farm.APIKey) error {
	switch auth.From(ctx).Exceeds(k) {
	case "permissions":
		return farm.Errorf(farm.Forbidden, "permissions: you cannot give more than you have")
	case "printers":
		return farm.Errorf(farm.Forbidden, "printer_ids: you cannot give more than you have")
	case "sites":
		return farm.Errorf(farm.Forbidden, "site_ids: you cannot give more than you have")
	case "limits":
		return farm.Errorf(farm.Forbidden, "limits: you cannot give more than you have")
	case "expiry":
		return farm.Errorf(farm.Forbidden, "expires_at: you cannot give more time than you have")
	}
	return nil
}

func keyOf(k farm.APIKey) Key {
	out := Key{
		ID: k.ID, OwnerID: orNull(k.OwnerID), Name: k.Name, Prefix: k.Prefix, Permissions: k.Permissions, Limits: KeyLimits(k.Limits),
		CreatedAt: instant{k.CreatedAt}, ExpiresAt: someTime(k.ExpiresAt), LastUsedAt: someTime(k.LastUsedAt),
	}
	if k.Printers != nil {
		out.PrinterIDs = &k.Printers
	}
	if k.Sites != nil {
		out.SiteIDs = &k.Sites
	}
	return out
}
