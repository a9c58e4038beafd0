// Package ftpserver is a small FTPS server of the kind that printers carry:
// implicit TLS, passive data connections, and the habits and failings of several
// firmwares, as data. It knows nothing of printers: storage, login and network
// are given from outside.
//
// A Server serves sessions, one goroutine each; a session answers one command
// after the other. Files go through a Storage, for which Memory is one.
package ftpserver
