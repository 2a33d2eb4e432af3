//go:build e2e

package e2e

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/nixtest"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// readBucket has a stock Nix copy two hosts out of the rehearsal's bucket, with
// signatures required. pcache serve stands in front of it: Debian's Nix signs no
// requests to S3.
func (m *module) readBucket(t *testing.T, rep *report.Report) {
	t.Helper()
	port := freePort(t)
	up := m.start(t, "bucket", "up", fmt.Sprintf("--ports=%d:7070", port))
	eventually(t, "the bucket is reached from outside the engine", func() bool {
		res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusForbidden // as it should be without a key
	})
	dir := t.TempDir()
	bucket := fmt.Sprintf("s3://cache?endpoint=127.0.0.1:%d&scheme=http&region=us-east-1", port)
	keys := []string{"AWS_ACCESS_KEY_ID=rehearsal", "AWS_SECRET_ACCESS_KEY=rehearsal-is-no-secret"}
	program, address := m.serve(t, dir, keys, "--local", filepath.Join(dir, "local"), bucket)
	list := exec.Command(program, "reports", "list", "--json", bucket)
	list.Env = append(os.Environ(), keys...)
	text, err := list.Output()
	if err != nil {
		t.Fatalf("the history of runs: %v", err)
	}
	var history struct{ Runs []struct{ Name string } }
	if err := json.Unmarshal(text, &history); err != nil || len(history.Runs) != 2 {
		t.Errorf("the history of two runs: %v: %s", err, text)
	}
	for _, name := range []string{"yoga", "ovh-cloud-vps"} {
		readWithNix(t, "http://"+address, rep.Push.PublicKeys, hostOf(t, rep, name))
	}
	if err := up.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	wait(t, up)
}

// readWithNix copies a host's closure into an empty store, and finds in it the
// paths of the report.
func readWithNix(t *testing.T, address string, keys []string, h report.Host, settings ...string) {
	t.Helper()
	client := nixtest.New(t)
	client.Configure(append(settings, "trusted-public-keys = "+strings.Join(keys, " "), "require-sigs = true")...)
	client.Run(t, "nix", "copy", "--from", address, h.Toplevel)
	if got := client.Closure(t, h.Toplevel); len(got) != h.Closure.Paths {
		t.Errorf("%s: a stock Nix got %d paths of %d", h.Name, len(got), h.Closure.Paths)
	}
	untrusting := nixtest.Another(t)
	untrusting.Configure(append(settings, "trusted-public-keys = other-1:"+strings.Repeat("A", 43)+"=", "require-sigs = true")...)
	if out, err := untrusting.Try("nix", "copy", "--from", address, h.Toplevel); err == nil {
		t.Errorf("%s: it was copied without a trusted signature: %s", h.Name, out)
	}
}

// pcache builds the cache tool for this machine.
func (m *module) pcache(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "pcache")
	cmd := exec.Command("go", "build", "-o", program, "./cmd/pcache")
	cmd.Dir = m.repo
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

// serve runs pcache serve on this machine until the test ends, and returns the
// program and where it listens.
func (m *module) serve(t *testing.T, dir string, env []string, args ...string) (program, address string) {
	t.Helper()
	program = m.pcache(t)
	cmd := exec.Command(program, append([]string{"serve", "--listen", "127.0.0.1:0", "--access-log=false"}, args...)...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := started.start(cmd); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(log)
	drained := make(chan struct{})
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-drained
		started.end(cmd)
	})
	var said []string
	for address == "" && lines.Scan() {
		var line struct{ Msg, Address string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
			address = line.Address
		}
		said = append(said, lines.Text())
	}
	go func() {
		defer close(drained)
		for lines.Scan() {
		}
	}()
	if address == "" {
		t.Fatalf("pcache serve does not listen: %s", strings.Join(said, "\n"))
	}
	return program, address
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// TestAttic pushes to a server that speaks Attic's protocol, on this machine and
// bound as a service, with its token as a secret; then a store that is empty is
// filled from there through the nearby cache.
func TestAttic(t *testing.T) {
	m := newModule(t)
	dir := t.TempDir()
	ca := certify(t, dir)
	program := m.pcache(t)
	key, err := exec.Command(program, "keygen", "server-1").Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	made, err := exec.Command(program, "token", "ci", "--file", filepath.Join(dir, "tokens"), "--rights", "pull,push", "--expires", "1d").Output()
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(string(made))
	_, address := m.serve(t, dir, nil, "--tls-cert", "cert.pem", "--tls-key", "cert-key.pem", "--accept-pushes",
		"--secret-key-file", "key", "--tokens", "tokens", "file://"+filepath.Join(dir, "cache"))
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	m.settings = []string{
		"--cache=attic+https://cache-service:" + port + "/main", "--cache-service=tcp://localhost:" + port, "--cache-ca=" + ca,
	}
	t.Run("without the token", func(t *testing.T) {
		contains(t, m.call(t, "build-all", "--hosts=ovh-cloud-vps").want(t, 4).stderr, "a token is needed") // exit code: that of pcache
	})
	t.Setenv("E2E_ATTIC_TOKEN", token)
	m.settings = append(m.settings, "--attic-token=env:E2E_ATTIC_TOKEN")
	var first *report.Report
	t.Run("pushed", func(t *testing.T) {
		out := t.TempDir()
		r := m.call(t, "build-all", "--hosts=ovh-cloud-vps", "-o", out).want(t, 0)
		first = exported(t, out)
		if first.Push == nil || first.Push.Sent.Paths != len(first.Paths) || len(first.Push.PublicKeys) != 1 || !strings.HasPrefix(first.Push.PublicKeys[0], "server-1:") {
			t.Fatalf("push %+v", first.Push)
		}
		text, err := os.ReadFile(filepath.Join(out, "report", report.JSONFile))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(r.stdout+r.stderr+string(text), token) {
			t.Error("the token was printed or is in the report")
		}
		netrc := filepath.Join(dir, "netrc")
		if err := os.WriteFile(netrc, []byte("machine 127.0.0.1 login ci password "+token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		readWithNix(t, "https://"+address, first.Push.PublicKeys, hostOf(t, first, "ovh-cloud-vps"), "netrc-file = "+netrc, "ssl-cert-file = "+ca)
	})
	if t.Failed() {
		return
	}
	t.Run("an empty store is filled through the nearby cache", func(t *testing.T) {
		other := *m
		other.store += "-other"
		out := t.TempDir()
		other.call(t, "build-all", "--hosts=ovh-cloud-vps", "-o", out).want(t, 0)
		rep := exported(t, out)
		h := hostOf(t, rep, "ovh-cloud-vps")
		if h.Work == nil || h.Work.Built != 0 || h.Work.Fetched == 0 || rep.Push.Sent.Paths != 0 {
			t.Fatalf("built or fetched %+v, sent %+v", h.Work, rep.Push.Sent)
		}
		for _, a := range rep.Activities {
			if a.Kind == "fetch" && !strings.Contains(a.From, "nearby-cache") {
				t.Errorf("%s came from %q", a.Path, a.From)
			}
		}
	})
}

// certify makes a certificate authority and, signed with it, a certificate for
// the server's names, in a folder.
func certify(t *testing.T, dir string) (ca string) {
	t.Helper()
	newKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	caKey, key := newKey(), newKey()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "e2e"}, NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "cache-service"}, NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"cache-service", "localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	root, err := x509.CreateCertificate(rand.Reader, authority, authority, &caKey.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.CreateCertificate(rand.Reader, server, authority, &key.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, private := write("cert.pem", "CERTIFICATE", leaf), write("cert-key.pem", "EC PRIVATE KEY", der)
	if _, err := tls.LoadX509KeyPair(certificate, private); err != nil {
		t.Fatal(err)
	}
	return write("ca.pem", "CERTIFICATE", root)
}
