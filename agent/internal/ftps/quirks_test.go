package ftps

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"bambuddy/shared/farm"
	"bambuddy/shared/ftpserver"
)

// An upload whose end is not confirmed is looked at, never sent a second time.
func TestUploadsInDoubt(t *testing.T) {
	for what, test := range map[string]struct {
		quirks      ftpserver.Quirks
		least, most time.Duration
	}{
		"late":              {ftpserver.Quirks{LateReply: 55 * time.Second}, 55 * time.Second, 60 * time.Second},
		"later than we":     {ftpserver.Quirks{LateReply: 10 * time.Minute}, 60 * time.Second, 100 * time.Second},
		"426 and whole":     {ftpserver.Quirks{FalseFailure: true}, 0, 10 * time.Second},
		"the reply is lost": {ftpserver.Quirks{LoseReply: true}, 0, 10 * time.Second},
		"slow":              {ftpserver.Quirks{Rate: 2000}, 140 * time.Second, 160 * time.Second},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, "X1C", ftpserver.VSFTPD(), func(t *testing.T, r *rig) {
				content, old := noise(300_000), bytes.Repeat([]byte("o"), 300_000)
				if err := r.files.Put("/a.3mf", old); err != nil {
					t.Fatal(err)
				}
				r.quirk(test.quirks)
				begun := time.Now()
				r.want("upload", r.upload("/a.3mf", content), "")
				r.took("upload", begun, test.least, test.most)
				if n := r.files.uploads(); n != 1 {
					t.Errorf("%d uploads", n)
				}
				r.holds("/a.3mf", content)
			})
		})
	}
}

// A file of the right size that was there before proves nothing.
func TestAnOldFileOfTheSameSize(t *testing.T) {
	bubble(t, "X1C", ftpserver.VSFTPD(), func(t *testing.T, r *rig) {
		if err := r.files.Put("/a.3mf", noise(1000)); err != nil {
			t.Fatal(err)
		}
		r.files.spoil = errors.New("bad card")
		r.quirk(ftpserver.Quirks{FalseFailure: true})
		if err := r.upload("/a.3mf", bytes.Repeat([]byte("n"), 1000)); err == nil {
			t.Error("what was there before was taken for the upload")
		}
	})
}

func TestTransfersThatBreak(t *testing.T) {
	bubble(t, "X1C", ftpserver.VSFTPD(), func(t *testing.T, r *rig) {
		if err := r.files.Put("/a.3mf", noise(300_000)); err != nil {
			t.Fatal(err)
		}
		r.quirk(ftpserver.Quirks{DropAfter: 100_000})
		r.want("upload", r.upload("/b.3mf", noise(300_000)), farm.PrinterNotConnected)
		got, err := r.download("/a.3mf", 0)
		if err == nil || len(got) > 100_000 {
			t.Errorf("download: %d bytes, %v", len(got), err)
		}
		r.quirk(ftpserver.Quirks{Mute: true})
		begun := time.Now()
		r.want("mute", r.upload("/c", nil), farm.PrinterNotConnected)
		r.took("mute", begun, time.Second, replyWait)
	})
}

// The connection for data goes where the one for control went.
func TestPassiveRedirect(t *testing.T) {
	for _, host := range []string{"0.0.0.0", "10.0.0.7", "127.0.0.1"} {
		bubble(t, "P2S", ftpserver.VSFTPD(), func(t *testing.T, r *rig) {
			r.quirk(ftpserver.Quirks{PassiveHost: host})
			r.want("upload", r.upload("/a", []byte("x")), "")
			for _, addr := range r.dialed {
				if h, _, _ := net.SplitHostPort(addr); h != "printer" {
					t.Errorf("dialled %s", addr)
				}
			}
		})
	}
}

// Where encryption of data never comes to an end, models that are known for it
// get their files in clear, and that is remembered. Others do not.
func TestClearData(t *testing.T) {
	bubble(t, "A1", ftpserver.A1(), func(t *testing.T, r *rig) {
		r.quirk(ftpserver.Quirks{FragileTLS: true})
		content := noise(200_000)
		r.want("first upload", r.upload("/a.3mf", content), "")
		begun := time.Now()
		r.want("second upload", r.upload("/b.3mf", content), "")
		r.took("second upload", begun, 0, 5*time.Second)
		for _, name := range []string{"/a.3mf", "/b.3mf"} {
			if got, err := r.download(name, 0); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
		}
		if h, err := r.client.Probe(t.Context(), r.target(), true); err != nil || h.Encrypted || !h.Writable {
			t.Errorf("%+v, %v", h, err)
		}
		if strings.Count(r.log.String(), "using clear ones") != 1 {
			t.Errorf("log: %s", r.log.String())
		}
	})
	bubble(t, "A1MINI", ftpserver.A1(), func(t *testing.T, r *rig) {
		r.quirk(ftpserver.Quirks{FragileTLS: true})
		if _, err := r.client.List(t.Context(), r.serial, "/"); err != nil {
			t.Errorf("list: %v", err)
		}
	})
	bubble(t, "P1S", ftpserver.P1(), func(t *testing.T, r *rig) {
		r.quirk(ftpserver.Quirks{FragileTLS: true})
		if _, err := r.client.List(t.Context(), r.serial, "/"); err == nil {
			t.Error("a listing that does not end was taken")
		}
		if len(r.client.lanes.open) != 0 {
			t.Error("files of a P1S would go in clear")
		}
	})
}

// A server that takes no ticket for the session it knows: the vendor's own are
// then asked for clear data, vsFTPd is not.
func TestRefusedResumption(t *testing.T) {
	noTickets := func(c ftpserver.Character) ftpserver.Character {
		c.Reuse, c.EncryptedOnly, c.RefuseTickets = true, strings.Contains(c.Banner, "vsFTPd"), true
		return c
	}
	for model, c := range map[string]struct {
		character ftpserver.Character
		want      farm.Code
	}{"A1": {ftpserver.A1(), ""}, "P1S": {ftpserver.P1(), ""}, "X1C": {ftpserver.VSFTPD(), farm.PrinterNotConnected}} {
		bubble(t, model, noTickets(c.character), func(t *testing.T, r *rig) {
			_, err := r.client.List(t.Context(), r.serial, "/")
			r.want(model+" list", err, c.want)
			r.want(model+" upload", r.upload("/a", []byte("content")), c.want)
			got, err := r.download("/a", 0)
			if c.want == "" && (err != nil || string(got) != "content") {
				t.Errorf("%s: download %q, %v", model, got, err)
			}
		})
	}
}

// What cannot be read twice is not sent twice.
func TestClearDataWithoutSeek(t *testing.T) {
	bubble(t, "A1", ftpserver.A1(), func(t *testing.T, r *rig) {
		r.quirk(ftpserver.Quirks{FragileTLS: true})
		content := noise(100_000)
		err := r.client.Upload(t.Context(), r.serial, "/a", io.MultiReader(bytes.NewReader(content)), 100_000, nil)
		n := r.files.uploads()
		if err == nil {
			r.holds("/a", content)
		}
		if n != 1 {
			t.Errorf("%d uploads, %v", n, err)
		}
		r.quirk(ftpserver.Quirks{FragileTLS: true})
		r.want("again", r.client.Upload(t.Context(), r.serial, "/a", io.MultiReader(bytes.NewReader(content)), 100_000, nil), "")
		r.holds("/a", content)
	})
}

func TestStorageTroubles(t *testing.T) {
	bubble(t, "X1C", ftpserver.VSFTPD(), func(t *testing.T, r *rig) {
		r.quirk(ftpserver.Quirks{NoCard: true})
		entries, err := r.client.List(t.Context(), r.serial, "/")
		if err != nil || len(entries) != 0 {
			t.Errorf("no card: %v, %v", entries, err)
		}
		r.want("no card", r.upload("/a", []byte("x")), farm.PrinterRefused)
		if h, err := r.client.Probe(t.Context(), r.target(), true); err != nil || h.Writable || !strings.Contains(h.WriteError, "card") {
			t.Errorf("no card: %+v, %v", h, err)
		}
		r.quirk(ftpserver.Quirks{Full: true})
		r.want("full", r.upload("/a", noise(100_000)), farm.PrinterRefused)
		if n := r.files.uploads(); n > 3 {
			t.Errorf("%d uploads", n)
		}
	})
}

func TestListingsOfTheEvilKind(t *testing.T) {
	bubble(t, "X1C", ftpserver.VSFTPD(), func(t *testing.T, r *rig) {
		r.quirk(ftpserver.Quirks{HostileNames: true})
		entries, err := r.client.List(t.Context(), r.serial, "/")
		if err != nil {
			t.Error(err)
		}
		for _, e := range entries {
			if checkPath("/"+e.Name) != nil || e.Size < 0 {
				t.Errorf("%+v", e)
			}
		}
		r.quirk(ftpserver.Quirks{EndlessLists: true})
		r.want("endless", second(r.client.List(t.Context(), r.serial, "/")), farm.Unavailable)
	})
}

// A second client of the printer is in the way: that is a printer that is busy.
func TestSomebodyElseHasTheSession(t *testing.T) {
	bubble(t, "A1", ftpserver.A1(), func(t *testing.T, r *rig) {
		r.quirk(ftpserver.Quirks{OneSession: true})
		other := r.newClient()
		s, err := other.open(t.Context(), r.target(), false)
		if err != nil {
			t.Fatal(err)
		}
		r.want("list", second(r.client.List(t.Context(), r.serial, "/")), farm.PrinterBusy)
		s.close()
		r.want("list", second(r.client.List(t.Context(), r.serial, "/")), "")
	})
}

// Old firmware keeps names in Latin-1: what a listing shows can be had.
func TestNamesInLatin1(t *testing.T) {
	bubble(t, "P1S", ftpserver.P1(), func(t *testing.T, r *rig) {
		if err := r.files.Put("/caf\xe9.3mf", []byte("hello")); err != nil {
			t.Fatal(err)
		}
		entries, err := r.client.List(t.Context(), r.serial, "/")
		if err != nil || len(entries) != 2 || entries[1].Name != "café.3mf" {
			t.Fatalf("%v, %v", entries, err)
		}
		if got, err := r.download("/café.3mf", 1); err != nil || string(got) != "ello" {
			t.Errorf("%q, %v", got, err)
		}
		r.want("delete", r.client.Delete(t.Context(), r.serial, "/café.3mf"), "")
	})
}
