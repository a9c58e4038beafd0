package ftpserver

import "time"

// Character is how a server is built: what differs between the firmwares of
// printers. The zero value is a plain, polite server.
type Character struct {
	Banner          string   // text of the first 220; "": a neutral one
	NoEPSV          bool     // EPSV is not known
	Features        []string // what FEAT lists; nil: FEAT is not known
	Reuse           bool     // data connections must resume the control connection's TLS session, if it can, see watchTickets
	RefuseTickets   bool     // data connections resume nothing, though the control connection hands out tickets
	EncryptedOnly   bool     // no transfers in clear text
	NoCloseNotify   bool     // it never says goodbye on data: it ends downloads by closing the socket, and uploads not at all
	NeedCloseNotify bool     // an upload in TLS ends with the client's close_notify; without, it was cut: 426
	KeepPartial     bool     // what arrived of a broken upload stays
	PathsInNLST     bool     // NLST gives names with the path asked for
	SortedLists     bool     // by name; else by age
	EmptyWhenAbsent bool     // LIST of a directory that is not there is empty, no error
}

// Neutral is the server for slicers: it refuses nothing that a client may do.
func Neutral() Character {
	return Character{Features: features(), SortedLists: true, NeedCloseNotify: true}
}

// VSFTPD is the server of the X1, P2, H2 and X2 series. As OpenSSL, it tells the end
// of an upload from a broken connection by the client's close_notify.
func VSFTPD() Character {
	return Character{
		Banner: "(vsFTPd 3.0.5)", Features: features(), Reuse: true, EncryptedOnly: true, KeepPartial: true,
		NeedCloseNotify: true, PathsInNLST: true, SortedLists: true, EmptyWhenAbsent: true,
	}
}

// A1 is the server of the A series: another program, which takes transfers in
// clear text too and takes any end of an upload, by close_notify or by closing the
// socket. It never says goodbye on a data connection itself: who waits for that
// waits in vain.
func A1() Character {
	return Character{Banner: "FTP server ready", NoCloseNotify: true, KeepPartial: true}
}

// P1 is the server of the P1 series: as that of the A series, without EPSV, and
// strict about TLS.
func P1() Character {
	c := A1()
	c.NoEPSV, c.Reuse, c.EncryptedOnly = true, true, true
	return c
}

func features() []string { return []string{"EPSV", "MDTM", "PASV", "PBSZ", "PROT", "SIZE", "UTF8"} }

// Quirks are failings that come and go. The zero value has none.
type Quirks struct {
	LateReply    time.Duration // before the last reply to a whole upload
	FalseFailure bool          // whole uploads are answered with 426
	LoseReply    bool          // after a whole upload the connection ends instead of the 226
	PassiveHost  string        // IPv4 address that PASV tells instead of the right one
	DropAfter    int64         // bytes of a transfer after which all breaks; 0: never
	Mute         bool          // connections are taken and never answered
	FragileTLS   bool          // transfers in TLS never come to an end
	EndlessLists bool          // listings do not end
	HostileNames bool          // listings have lines that no honest server sends
	NoCard       bool          // the root is empty, nothing can be stored
	Full         bool          // nothing more can be stored
	Rate         int           // bytes a second of transfers; 0: as fast as can be
	OneSession   bool          // only the oldest session gets data connections
}
