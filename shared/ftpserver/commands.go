package ftpserver

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// command is what a verb does.
type command struct {
	do      func(c *session, ctx context.Context, arg string) error
	anybody bool // without a login
}

// plain is a command that neither ends the session nor waits.
func plain(do func(c *session, arg string)) command {
	return command{do: func(c *session, _ context.Context, arg string) error {
		do(c, arg)
		return nil
	}}
}

// says is a command that is answered and does nothing.
func says(code int, text string) command {
	return plain(func(c *session, _ string) { c.reply(code, text) })
}

// open makes a command one for anybody.
func open(k command) command {
	k.anybody = true
	return k
}

// commands are all there are; printers know no others.
var commands = map[string]command{
	"USER": open(plain((*session).login)),
	"PASS": {do: (*session).password, anybody: true},
	"QUIT": {do: (*session).quit, anybody: true},
	"FEAT": open(plain((*session).features)),
	"SYST": open(says(215, "UNIX Type: L8")),
	"OPTS": open(plain((*session).options)),
	"PBSZ": open(plain((*session).protection)),
	"PROT": open(plain((*session).protect)),
	"NOOP": says(200, "Fine."),
	"ABOR": says(226, "There is nothing to abort."),
	"TYPE": plain((*session).kind),
	"MODE": plain(only("S")),
	"STRU": plain(only("F")),
	"ALLO": says(202, "Not needed."),
	"PWD":  plain((*session).where),
	"CWD":  plain((*session).enter),
	"CDUP": plain(func(c *session, _ string) { c.enter("..") }),
	"SIZE": plain((*session).size),
	"MDTM": plain((*session).modified),
	"DELE": plain((*session).remove),
	"MKD":  plain((*session).makeDir),
	"RMD":  plain((*session).removeDir),
	"RNFR": plain((*session).renameFrom),
	"RNTO": plain((*session).renameTo),
	"PASV": plain((*session).pasv),
	"EPSV": plain((*session).epsv),
	"LIST": {do: (*session).list},
	"NLST": {do: (*session).names},
	"RETR": {do: (*session).retrieve},
	"STOR": {do: (*session).store},
}

func (c *session) login(user string) {
	c.user, c.admitted = user, false
	c.reply(331, "Please give the password.")
}

func (c *session) password(_ context.Context, password string) error {
	if c.user != "" && c.server.o.Login(c.user, password) {
		c.admitted = true
		c.reply(230, "Login successful.")
		return nil
	}
	c.reply(530, "Login incorrect.")
	if c.failures++; c.failures == maxFailures {
		return errQuit
	}
	return nil
}

func (c *session) quit(context.Context, string) error {
	c.reply(221, "Goodbye.")
	return errQuit
}

func (c *session) features(string) {
	list := c.character().Features
	if list == nil {
		c.reply(502, "The command is not known.")
		return
	}
	_, _ = fmt.Fprintf(c.conn, "211-Features:\r\n %s\r\n", strings.Join(list, "\r\n "))
	c.reply(211, "End")
}

func (c *session) options(arg string) {
	if strings.EqualFold(arg, "UTF8 ON") {
		c.reply(200, "Always in UTF8 mode.")
		return
	}
	c.reply(501, "There is no such option.")
}

func (c *session) protection(string) {
	c.protected = true
	c.reply(200, "PBSZ set to 0.")
}

func (c *session) protect(level string) {
	switch level = strings.ToUpper(level); {
	case !c.protected:
		c.reply(503, "PBSZ is needed first.")
	case level == "P" || level == "C":
		c.private = level == "P"
		c.reply(200, "PROT now "+level+".")
	default:
		c.reply(536, "There is no such protection.")
	}
}

func (c *session) kind(arg string) {
	switch strings.ToUpper(arg) {
	case "I", "L8", "L 8":
		c.reply(200, "Switching to binary mode.")
	case "A", "A N":
		c.reply(200, "Switching to ASCII mode.") // in name, as everywhere
	default:
		c.reply(504, "There is no such type.")
	}
}

// only is a command with one right argument.
func only(right string) func(*session, string) {
	return func(c *session, arg string) {
		if strings.EqualFold(arg, right) {
			c.reply(200, "Set.")
			return
		}
		c.reply(504, "There is nothing but "+right+".")
	}
}

func (c *session) where(string) {
	c.reply(257, `"`+strings.ReplaceAll(c.dir, `"`, `""`)+`" is the current directory`)
}

func (c *session) enter(arg string) {
	name := c.resolve(arg)
	info, err := c.storage().Stat(name)
	if err != nil || !info.IsDir() {
		c.reply(550, "Failed to change directory.")
		return
	}
	c.dir = name
	c.reply(250, "Directory successfully changed.")
}

func (c *session) size(arg string) {
	info, err := c.storage().Stat(c.resolve(arg))
	if err != nil || info.IsDir() {
		c.reply(550, "Could not get file size.")
		return
	}
	c.reply(213, fmt.Sprint(info.Size()))
}

func (c *session) modified(arg string) {
	info, err := c.storage().Stat(c.resolve(arg))
	if err != nil || info.IsDir() {
		c.reply(550, "Could not get file modification time.")
		return
	}
	c.reply(213, info.ModTime().UTC().Format("20060102150405"))
}

// done answers a change of the storage.
func (c *session) done(err error, code int, text string) {
	switch {
	case err == nil:
		c.reply(code, text)
	case errors.Is(err, ErrFull):
		c.reply(552, "The storage is full.")
	default:
		c.reply(550, "It could not be done.")
	}
}

func (c *session) remove(arg string) {
	c.done(c.storage().Remove(c.resolve(arg)), 250, "Delete operation successful.")
}

func (c *session) makeDir(arg string) {
	name := c.resolve(arg)
	if !fit(name) {
		c.reply(550, "There can be no such directory.")
		return
	}
	c.done(c.storage().Mkdir(name), 257, `"`+strings.ReplaceAll(name, `"`, `""`)+`" created`)
}

func (c *session) removeDir(arg string) {
	c.done(c.storage().RemoveDir(c.resolve(arg)), 250, "Remove directory operation successful.")
}

func (c *session) renameFrom(arg string) {
	name := c.resolve(arg)
	if _, err := c.storage().Stat(name); err != nil {
		c.reply(550, "There is no such file.")
		return
	}
	c.renamed = name
	c.reply(350, "Ready for RNTO.")
}

func (c *session) renameTo(arg string) {
	from, to := c.renamed, c.resolve(arg)
	c.renamed = ""
	switch {
	case from == "":
		c.reply(503, "RNFR is needed first.")
	case !fit(to):
		c.reply(553, "There can be no such file.")
	default:
		c.done(c.storage().Rename(from, to), 250, "Rename successful.")
	}
}
