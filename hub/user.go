package main

import (
	"fmt"

	"bambuddy/hub/app"
	"bambuddy/shared/farm"
)

type userCommand struct {
	Create        userCreateCommand        `cmd:"" help:"Make a person who may sign in, and print the password if none was given."`
	ResetPassword userResetPasswordCommand `cmd:"" help:"Give a person another password, let them in again, end their sessions; print the password if none was given."`
}

// password says what somebody is to sign in with. It is no flag: other users of the
// machine can read those.
type password struct {
	PasswordFile string `placeholder:"FILE" help:"A file that holds the password; without one, the hub makes one and prints it." env:"BAMBUDDY_PASSWORD_FILE"`
}

func (p password) read() (farm.Secret, error) {
	given, err := secret("password", "", p.PasswordFile)
	if err == nil && p.PasswordFile != "" && given == "" {
		return "", usageError{fmt.Errorf("--password-file: %s is empty", p.PasswordFile)}
	}
	return given, err
}

// tell prints a password that was not given, alone.
func (p password) tell(e environment, made farm.Secret) error {
	if p.PasswordFile != "" {
		return nil
	}
	_, err := fmt.Fprintln(e.stdout, made.Reveal())
	return err
}

type userCreateCommand struct {
	database
	password
	Username string   `required:"" help:"What they sign in with."`
	Name     string   `help:"As others call them."`
	Role     string   `required:"" enum:"viewer,operator,admin" help:"viewer (looks), operator (runs prints) or admin (runs the hub)."`
	Site     []string `placeholder:"NAME" help:"Only these sites; without it, all."`
}

// Run makes the person.
func (c userCreateCommand) Run(e environment) error {
	given, err := c.read()
	if err != nil {
		return err
	}
	return withAdmin(e, c.database, func(a *app.Admin) error {
		made, err := a.NewUser(e.ctx, app.NewUser{Username: c.Username, Name: c.Name, Role: farm.Role(c.Role), Sites: c.Site, Password: given})
		if err != nil {
			return err
		}
		return c.tell(e, made)
	})
}

type userResetPasswordCommand struct {
	database
	password
	Username string `required:"" help:"What they sign in with."`
}

// Run resets the password.
func (c userResetPasswordCommand) Run(e environment) error {
	given, err := c.read()
	if err != nil {
		return err
	}
	return withAdmin(e, c.database, func(a *app.Admin) error {
		made, err := a.ResetPassword(e.ctx, c.Username, given)
		if err != nil {
			return err
		}
		return c.tell(e, made)
	})
}
