package ftps

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bambuddy/shared/farm"
)

const vsftpdCode = "12345678"

// vsftpd is Debian's server, set up as the larger printers have it: implicit
// TLS, 1.2 only, data connections that must resume. No user of the system is
// needed: it lets "anonymous" in, whose password must be the access code. Such a
// user may not write to the root, only to the folder /card.
type vsftpd struct {
	addr string
	root string // of /card
}

func startVsftpd(t testing.TB, more ...string) *vsftpd {
	t.Helper()
	program, err := exec.LookPath("vsftpd")
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/vsftpd")
	}
	if err != nil {
		t.Skip("vsftpd is not installed")
	}
	if os.Getuid() != 0 {
		t.Skip("vsftpd needs root to start")
	}
	dir, err := os.MkdirTemp("", "vsftpd") // without the deep path of TempDir, which nobody else may walk
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	root := filepath.Join(dir, "root", "card")
	for _, d := range []string{dir, filepath.Dir(root), root, filepath.Join(dir, "empty")} {
		_ = os.Mkdir(d, 0o755)
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(root, 0o777); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	cert, key := pemOf(t, newCert(t, x1Serial))
	port := freePort(t)
	lines := append([]string{
		"listen=YES", "listen_address=127.0.0.1", fmt.Sprintf("listen_port=%d", port), "background=NO",
		"anonymous_enable=YES", "local_enable=NO", "write_enable=YES", "anon_root=" + filepath.Join(dir, "root"), "ftp_username=daemon",
		"secure_email_list_enable=YES", "email_password_file=" + write("codes", vsftpdCode+"\n"),
		"anon_upload_enable=YES", "anon_mkdir_write_enable=YES", "anon_other_write_enable=YES", "anon_umask=022",
		"anon_world_readable_only=NO", "secure_chroot_dir=" + filepath.Join(dir, "empty"),
		"ssl_enable=YES", "implicit_ssl=YES", "require_ssl_reuse=YES", "allow_anon_ssl=YES", "force_anon_logins_ssl=YES", "force_anon_data_ssl=YES",
		"ssl_tlsv1=YES", "ssl_ciphers=HIGH", "rsa_cert_file=" + write("cert.pem", cert), "rsa_private_key_file=" + write("key.pem", key),
		"seccomp_sandbox=NO", "isolate=NO", "isolate_network=NO", "xferlog_enable=NO",
	}, more...)
	openssl := write("openssl.cnf", "openssl_conf=a\n[a]\nssl_conf=b\n[b]\nsystem_default=c\n[c]\nMinProtocol=TLSv1.2\nMaxProtocol=TLSv1.2\n")
	cmd := exec.Command(program, write("vsftpd.conf", strings.Join(lines, "\n")+"\n"))
	cmd.Env = append(os.Environ(), "OPENSSL_CONF="+openssl)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	v := &vsftpd{addr: fmt.Sprintf("127.0.0.1:%d", port), root: root}
	v.await(t, &said)
	return v
}

func (v *vsftpd) await(t testing.TB, said *bytes.Buffer) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 250 {
		c, err := net.Dial("tcp", v.addr)
		if err == nil {
			_ = c.Close()
			return
		}
		<-tick.C
	}
	t.Fatalf("vsftpd does not listen: %s", said)
}

func freePort(t testing.TB) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

func pemOf(t testing.TB, c tls.Certificate) (cert, key string) {
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func (v *vsftpd) client() *Client {
	var dialer net.Dialer
	c := New(Options{
		Target: func(serial string) (Target, error) {
			return Target{Serial: serial, Address: v.addr, AccessCode: vsftpdCode, TLS: template(serial)}, nil
		},
		Dial: dialer.DialContext,
		Log:  slog.New(slog.DiscardHandler),
	})
	c.user = "anonymous"
	return c
}

func TestVsftpd(t *testing.T) {
	v := startVsftpd(t)
	c := v.client()
	ctx := t.Context()
	content := make([]byte, 8<<20+17)
	_, _ = rand.Read(content)
	name := "/card/Clämshell Parts – Box 3.gcode.3mf"

	var done, total int64
	if err := c.Upload(ctx, x1Serial, name, bytes.NewReader(content), int64(len(content)), func(d, t int64) { done, total = d, t }); err != nil {
		t.Fatalf("upload: %v", err)
	}
	if done != int64(len(content)) || total != done {
		t.Errorf("progress ended at %d of %d", done, total)
	}
	stored, err := os.ReadFile(filepath.Join(v.root, "..", name))
	if err != nil || !bytes.Equal(stored, content) {
		t.Fatalf("the printer holds something else: %v", err)
	}
	if n, err := c.Size(ctx, x1Serial, name); err != nil || n != int64(len(content)) {
		t.Errorf("size: %d, %v", n, err)
	}
	for _, offset := range []int64{0, 1, 5 << 20, int64(len(content))} {
		var got bytes.Buffer
		n, err := c.Download(ctx, x1Serial, name, offset, &got, nil)
		if err != nil || n != int64(got.Len()) || !bytes.Equal(got.Bytes(), content[offset:]) {
			t.Errorf("download from %d: %d bytes, %v", offset, n, err)
		}
	}
	local := filepath.Join(t.TempDir(), "x.3mf")
	if err := c.Fetch(ctx, x1Serial, name, local, nil); err != nil {
		t.Errorf("fetch: %v", err)
	}
	if got, err := os.ReadFile(local); err != nil || !bytes.Equal(got, content) {
		t.Errorf("fetched something else: %v", err)
	}
	if err := c.Upload(ctx, x1Serial, "/card/empty", strings.NewReader(""), 0, nil); err != nil {
		t.Errorf("upload of nothing: %v", err)
	}
	entries, err := c.List(ctx, x1Serial, "/card")
	if err != nil || len(entries) != 2 || "/card/"+entries[0].Name != name && "/card/"+entries[1].Name != name {
		t.Errorf("listing: %v, %v", entries, err)
	}
	if err := c.Delete(ctx, x1Serial, name); err != nil {
		t.Errorf("delete: %v", err)
	}
	for what, got := range map[string]struct {
		err  error
		want farm.Code
	}{
		"delete again":        {c.Delete(ctx, x1Serial, name), farm.FileUnavailable},
		"size of nothing":     {second(c.Size(ctx, x1Serial, name)), farm.FileUnavailable},
		"download of nothing": {second(c.Download(ctx, x1Serial, name, 0, &bytes.Buffer{}, nil)), farm.FileUnavailable},
		"list of nothing":     {second(c.List(ctx, x1Serial, "/nowhere")), farm.FileUnavailable},
		"offset beyond":       {second(c.Download(ctx, x1Serial, "/card/empty", 1, &bytes.Buffer{}, nil)), farm.Invalid},
		"upload forbidden":    {c.Upload(ctx, x1Serial, "/x", strings.NewReader("x"), 1, nil), farm.PrinterRefused},
	} {
		if farm.CodeOf(got.err) != got.want {
			t.Errorf("%s: %v", what, got.err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestVsftpdProbe(t *testing.T) {
	v := startVsftpd(t)
	c := v.client()
	target, _ := c.o.Target(x1Serial)
	h, err := c.Probe(t.Context(), target, true)
	if err != nil || !strings.Contains(h.Banner, "vsFTPd") || h.Folder != "/" || h.Writable || h.WriteError == "" || h.Entries != 1 || !h.Encrypted || !h.Resumed {
		t.Errorf("%+v, %v", h, err)
	}
	target.AccessCode = "87654321"
	if _, err := c.Probe(t.Context(), target, true); !farm.Is(err, farm.PrinterNotConnected) || strings.Contains(err.Error(), "87654321") {
		t.Errorf("wrong access code: %v", err)
	}
	target.Serial, target.TLS = p1Serial, template(p1Serial)
	if _, err := c.Probe(t.Context(), target, true); !farm.Is(err, farm.PrinterNotConnected) || !strings.Contains(err.Error(), "not this printer") {
		t.Errorf("wrong printer: %v", err)
	}
}

// Without the session cache the server must refuse, or the tests above show nothing.
func TestVsftpdDemandsReuse(t *testing.T) {
	v := startVsftpd(t)
	c := v.client()
	err := c.session(t.Context(), x1Serial, "/", func(ctx context.Context, s *session) error {
		s.tls = template(x1Serial)
		_, err := s.list(ctx, "/")
		return err
	})
	if !farm.Is(err, farm.PrinterNotConnected) || !strings.Contains(err.Error(), "522") {
		t.Errorf("a data connection of its own session: %v", err)
	}
}

// A cancelled upload ends at once, and the next operation is not in its way.
func TestVsftpdCancel(t *testing.T) {
	v := startVsftpd(t, "anon_max_rate=2000000")
	c := v.client()
	ctx, cancel := context.WithCancel(t.Context())
	begun := time.Now()
	err := c.Upload(ctx, x1Serial, "/card/big", zeroes{}, 1<<30, func(d, _ int64) {
		if d > 1<<20 {
			cancel()
		}
	})
	if err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("cancelled: %v", err)
	}
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("took %v", took)
	}
	if err := c.Delete(t.Context(), x1Serial, "/card/big"); err != nil {
		t.Errorf("what is left of it: %v", err)
	}
}

type zeroes struct{}

func (zeroes) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// Fifty printers take a file each at the same time.
func TestVsftpdFiftyPrinters(t *testing.T) {
	v := startVsftpd(t, "max_per_ip=0", "max_clients=0")
	c := v.client()
	ask := c.o.Target
	c.o.Target = func(serial string) (Target, error) {
		target, err := ask(serial)
		target.TLS = template(x1Serial) // one server stands for all
		return target, err
	}
	content := make([]byte, 1<<20)
	_, _ = rand.Read(content)
	var wg sync.WaitGroup
	for n := range 50 {
		wg.Go(func() {
			serial := fmt.Sprintf("00M00A0000000%02d", n)
			if err := c.Upload(t.Context(), serial, "/card/"+serial, bytes.NewReader(content), int64(len(content)), nil); err != nil {
				t.Errorf("%s: %v", serial, err)
			}
		})
	}
	wg.Wait()
	files, err := os.ReadDir(v.root)
	if err != nil || len(files) != 50 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		if got, err := os.ReadFile(filepath.Join(v.root, f.Name())); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %v", f.Name(), err)
		}
	}
}
