package ftpserver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jlaffaye/ftp"
)

// onLoopback runs a server at a free port and gives its address.
func onLoopback(t testing.TB, k Character, files Storage) string {
	t.Helper()
	config := selfSigned(t)
	config.MaxVersion = tls.VersionTLS13
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() {
		over <- New(Options{TLS: config, Login: login, Storage: files, Character: k}).Serve(ctx, l)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// The library most Go programs use works with every character, as the knowledge of
// real printers asks for it.
func TestLibrary(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB
	for name, k := range map[string]Character{"neutral": Neutral(), "vsftpd": VSFTPD(), "A1": A1(), "P1": P1()} {
		t.Run(name, func(t *testing.T) {
			files := NewMemory(64<<20, "/cache")
			c, err := ftp.Dial(onLoopback(t, k, files), ftp.DialWithTLS(&tls.Config{
				ServerName: "printer", MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12,
				ClientSessionCache: tls.NewLRUClientSessionCache(8), InsecureSkipVerify: true, // the server is the test's own
			}), ftp.DialWithTimeout(10*time.Second), ftp.DialWithShutTimeout(10*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Quit() }()
			if err := c.Login("bblp", secret); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := c.Stor("/cache/part.3mf", bytes.NewReader(data)); err != nil {
					t.Fatal(err)
				}
				if size, err := c.FileSize("/cache/part.3mf"); err != nil || size != int64(len(data)) {
					t.Fatalf("%d %v", size, err)
				}
				in, err := c.Retr("/cache/part.3mf")
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(in)
				if err != nil || sha256.Sum256(got) != sha256.Sum256(data) {
					t.Fatalf("%d bytes, %v", len(got), err)
				}
				if err := in.Close(); err != nil {
					t.Fatal(err)
				}
				list, err := c.List("/")
				if err != nil || len(list) != 1 || list[0].Name != "cache" || list[0].Type != ftp.EntryTypeFolder {
					t.Fatalf("%v %v", list, err)
				}
			}
			if err := c.Rename("/cache/part.3mf", "/part 2.3mf"); err != nil {
				t.Fatal(err)
			}
			if err := c.Delete("/part 2.3mf"); err != nil {
				t.Fatal(err)
			}
			if free := files.Free(); free != 64<<20 {
				t.Errorf("%d bytes are free", free)
			}
		})
	}
}

// curl and lftp, which know nothing of printers, work with every character. curl
// takes no session tickets: in TLS 1.2, which printers speak, it cannot resume.
func TestPrograms(t *testing.T) {
	dir := t.TempDir()
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
	in, out := filepath.Join(dir, "in.3mf"), filepath.Join(dir, "out.3mf")
	if err := os.WriteFile(in, data, 0o600); err != nil {
		t.Fatal(err)
	}
	curl := func(more ...string) func(host, port string) [][]string {
		return func(host, port string) [][]string {
			url := "ftps://" + net.JoinHostPort(host, port)
			with := func(args ...string) []string {
				return slices.Concat([]string{"curl", "-sS", "-k", "-m", "30", "-u", "bblp:" + secret}, more, args)
			}
			return [][]string{with("-T", in, url+"/cache/part%201.3mf"), with("-o", out, url+"/cache/part%201.3mf"), with(url + "/cache/")}
		}
	}
	lftp := func(host, port string) [][]string {
		return [][]string{{"lftp", "-c", strings.Join([]string{
			"set ssl:verify-certificate no", "set net:max-retries 1", "set net:timeout 20", "open -u bblp," + secret + " -p " + port + " ftps://" + host,
			"put " + in + " -o '/cache/part 1.3mf'", "get '/cache/part 1.3mf' -o " + out, "ls /cache",
		}, " && ")}}
	}
	for name, script := range map[string]func(host, port string) [][]string{"curl": curl(), "curl of TLS 1.2": curl("--tls-max", "1.2"), "lftp": lftp} {
		for server, k := range map[string]Character{"neutral": Neutral(), "vsftpd": VSFTPD(), "A1": A1(), "P1": P1()} {
			t.Run(name+" and "+server, func(t *testing.T) {
				host, port, err := net.SplitHostPort(onLoopback(t, k, NewMemory(64<<20, "/cache")))
				if err != nil {
					t.Fatal(err)
				}
				_ = os.Remove(out)
				var said []byte
				for _, args := range script(host, port) {
					said = execute(t, args)
				}
				if !strings.Contains(string(said), "part 1.3mf") {
					t.Errorf("%s", said)
				}
				if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, data) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			})
		}
	}
}

// execute runs a program and gives what it says; without it the test is skipped.
func execute(t *testing.T, args []string) []byte {
	t.Helper()
	program, err := exec.LookPath(args[0])
	if err != nil {
		t.Skip(args[0] + " is not installed")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	said, err := exec.CommandContext(ctx, program, args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	return said
}
