package ftpserver

import (
	"bytes"
	"crypto/tls"
	"io"
	"testing"

	"github.com/jlaffaye/ftp"
)

// BenchmarkTransfer measures uploads and downloads of 16 MiB in TLS at the loopback,
// client included.
func BenchmarkTransfer(b *testing.B) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	c, err := ftp.Dial(onLoopback(b, VSFTPD(), NewMemory(64<<20)), ftp.DialWithTLS(&tls.Config{
		ServerName: "printer", MaxVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(8), InsecureSkipVerify: true, // the server is the test's own
	}))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = c.Quit() }()
	if err := c.Login("bblp", secret); err != nil {
		b.Fatal(err)
	}
	b.Run("STOR", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if err := c.Stor("/part", bytes.NewReader(data)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("RETR", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			in, err := c.Retr("/part")
			if err != nil {
				b.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, in); err != nil || n != int64(len(data)) {
				b.Fatalf("%d %v", n, err)
			}
			_ = in.Close()
		}
	})
}
