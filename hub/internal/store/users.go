package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"bambuddy/shared/farm"
)

const userColumns = `id, username, name, role, sites, disabled, created_at, updated_at, seen_at`

func scanUser(r row) (farm.User, error) {
	u, _, err := readUser(r, false)
	return u, err
}

// readUser reads a row, with the hash of its password behind the other columns or
// without.
func readUser(r row, withPassword bool) (u farm.User, password string, err error) {
	var sites sql.NullString
	var created, updated, seen int64
	into := []any{&u.ID, &u.Username, &u.Name, &u.Role, &sites, &u.Disabled, &created, &updated, &seen}
	if withPassword {
		into = append(into, &password)
	}
	if err = r.Scan(into...); err != nil {
		return u, "", err
	}
	u.CreatedAt, u.UpdatedAt, u.SeenAt = when(created), when(updated), when(seen)
	u.Sites, err = allowed(sites)
	return u, password, err
}

// HasUsers tells whether anybody may sign in yet.
func (d *DB) HasUsers(ctx context.Context) (has bool, err error) {
	if err := d.read.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM users)`).Scan(&has); err != nil {
		return false, fmt.Errorf("look for users: %w", err)
	}
	return has, nil
}

// Users gives all people by their user names.
func (d *DB) Users(ctx context.Context) ([]farm.User, error) {
	out, err := list(ctx, d.read, scanUser, `SELECT `+userColumns+` FROM users ORDER BY username`)
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	return out, nil
}

// User gives one person.
func (d *DB) User(ctx context.Context, id int64) (farm.User, error) {
	u, err := scanUser(d.read.QueryRowContext(ctx, `SELECT `+userColumns+` FROM users WHERE id = $1`, id))
	return u, notFound(err, "user %d does not exist", id)
}

// UserByName finds a person with the hash of the password.
func (d *DB) UserByName(ctx context.Context, username string) (farm.User, farm.Secret, error) {
	u, password, err := readUser(d.read.QueryRowContext(ctx, `SELECT `+userColumns+`, password FROM users WHERE username = $1`, username), true)
	return u, farm.Secret(password), notFound(err, "there is no user of that name")
}

// peopleLock makes changes of people take turns on PostgreSQL, where two of them
// could otherwise each leave the other's person as the last administrator.
const peopleLock = 0x62620001

func (t *tx) lockPeople(ctx context.Context) error {
	if t.engine != postgres {
		return nil // there is one writer
	}
	_, err := t.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, peopleLock)
	return err
}

// CreateUser keeps a person with the hash of the password; CONFLICT when the name is
// taken, or when it was to be the first person and is not.
func (d *DB) CreateUser(ctx context.Context, u farm.User, password farm.Secret, first bool) (out farm.User, err error) {
	err = d.change(ctx, func(t *tx) error {
		if err := t.lockPeople(ctx); err != nil {
			return err
		}
		if first {
			var has bool
			if err := t.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM users)`).Scan(&has); err != nil {
				return err
			}
			if has {
				return farm.Errorf(farm.Conflict, "this hub has been set up already: sign in")
			}
		}
		const q = `INSERT INTO users (username, name, password, role, sites, disabled, created_at, updated_at, seen_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $7, 0) RETURNING ` + userColumns
		out, err = scanUser(t.QueryRowContext(ctx, q, u.Username, u.Name, password.Reveal(), u.Role, allowList(u.Sites), u.Disabled, ms(u.CreatedAt)))
		return taken(err, "username: there is already a user %q", u.Username)
	})
	if err != nil {
		return out, fmt.Errorf("keep user %q: %w", u.Username, err)
	}
	return out, nil
}

// UpdateUser writes what may change of a person: all but password and times. Whoever
// is disabled by it loses all sessions, and what was on its way to their webhooks.
// CONFLICT when nobody would be left who may everything.
func (d *DB) UpdateUser(ctx context.Context, u farm.User) (out farm.User, err error) {
	err = d.change(ctx, func(t *tx) error {
		had, err := t.hasAdministrator(ctx)
		if err != nil {
			return err
		}
		const q = `UPDATE users SET username = $1, name = $2, role = $3, sites = $4, disabled = $5, updated_at = $6 WHERE id = $7 RETURNING ` + userColumns
		out, err = scanUser(t.QueryRowContext(ctx, q, u.Username, u.Name, u.Role, allowList(u.Sites), u.Disabled, ms(u.UpdatedAt), u.ID))
		if err != nil {
			return taken(notFound(err, "user %d does not exist", u.ID), "username: there is already a user %q", u.Username)
		}
		if u.Disabled {
			if _, err := t.ExecContext(ctx, `DELETE FROM sessions WHERE user_id = $1`, u.ID); err != nil {
				return err
			}
			const giveUp = `UPDATE deliveries SET state = 'dead', ended_at = $1, error = 'its owner was disabled before this was delivered'
				WHERE state = 'pending' AND webhook_id IN (SELECT id FROM webhooks WHERE owner_id = $2)`
			if _, err := t.ExecContext(ctx, giveUp, ms(u.UpdatedAt), u.ID); err != nil {
				return err
			}
		}
		return t.keepsAdministrator(ctx, had)
	})
	return out, err
}

// hasAdministrator tells whether there is somebody who may everything. It makes changes
// of people wait for each other.
func (t *tx) hasAdministrator(ctx context.Context) (has bool, err error) {
	if err := t.lockPeople(ctx); err != nil {
		return false, err
	}
	const q = `SELECT EXISTS (SELECT 1 FROM users WHERE role = $1 AND sites IS NULL AND NOT disabled)`
	err = t.QueryRowContext(ctx, q, farm.Administrator).Scan(&has)
	return has, err
}

// keepsAdministrator refuses a change that leaves nobody who may everything, where
// there was somebody.
func (t *tx) keepsAdministrator(ctx context.Context, had bool) error {
	has, err := t.hasAdministrator(ctx)
	if err == nil && had && !has {
		return farm.Errorf(farm.Conflict, "this is the last administrator of all sites: make another one first")
	}
	return err
}

// SetPassword gives a person another password and ends all sessions but one (0: all).
// CONFLICT when the password is not what it was to be any more ("": whatever it was).
func (d *DB) SetPassword(ctx context.Context, userID int64, password, was farm.Secret, keep int64, at time.Time) error {
	return d.change(ctx, func(t *tx) error {
		const q = `UPDATE users SET password = $1, updated_at = $2 WHERE id = $3 AND (CAST($4 AS TEXT) = '' OR password = $4)`
		ok, err := changed(t.ExecContext(ctx, q, password.Reveal(), ms(at), userID, was.Reveal()))
		switch {
		case err == nil && !ok && was != "":
			return farm.Errorf(farm.Conflict, "the password has just been changed")
		case err == nil && !ok:
			return farm.Errorf(farm.NotFound, "user %d does not exist", userID)
		}
		if err != nil {
			return err
		}
		_, err = t.ExecContext(ctx, `DELETE FROM sessions WHERE user_id = $1 AND id <> $2`, userID, keep)
		return err
	})
}

// DeleteUser removes a person with all sessions and keys; CONFLICT when nobody would
// be left who may everything.
func (d *DB) DeleteUser(ctx context.Context, id int64) error {
	return d.change(ctx, func(t *tx) error {
		had, err := t.hasAdministrator(ctx)
		if err != nil {
			return err
		}
		ok, err := changed(t.ExecContext(ctx, `DELETE FROM users WHERE id = $1`, id))
		if err == nil && !ok {
			return farm.Errorf(farm.NotFound, "user %d does not exist", id)
		}
		if err != nil {
			return err
		}
		return t.keepsAdministrator(ctx, had)
	})
}
