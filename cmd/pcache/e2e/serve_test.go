package e2e

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/badnet"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nixtest"
	"gitlab.com/pantheros/pantheros/internal/s3test"
)

// serving is a running pcache serve.
type serving struct {
	url string
	cmd *exec.Cmd

	mu  sync.Mutex
	log strings.Builder
}

// serve starts pcache serve with these arguments and waits until it listens.
func serve(t *testing.T, args ...string) *serving {
	t.Helper()
	return serveBy(t, exec.Command(program, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...))
}

// serveBy starts a command that becomes pcache serve. It ends with the test,
// well unless the test has killed it.
func serveBy(t *testing.T, cmd *exec.Cmd) *serving {
	t.Helper()
	s := &serving{cmd: cmd}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening, read := make(chan string, 8), make(chan struct{})
	go func() {
		defer close(read)
		defer close(listening)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			s.mu.Lock()
			s.log.WriteString(lines.Text() + "\n")
			s.mu.Unlock()
			var line struct {
				Msg, Address string
				TLS          bool
			}
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
				scheme := "http://"
				if line.TLS {
					scheme = "https://"
				}
				listening <- scheme + line.Address
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-read
		if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() >= 0 {
			t.Errorf("pcache serve ended with %v", err)
		}
		if t.Failed() || strings.Contains(s.said(), "DATA RACE") {
			t.Errorf("pcache serve said:\n%s", s.said())
		}
	})
	url, ok := <-listening
	if !ok {
		t.Fatalf("pcache serve does not listen:\n%s", s.said())
	}
	s.url = url
	return s
}

func (s *serving) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

func (s *serving) kill() {
	_ = s.cmd.Process.Kill()
}

// get asks the server; the error is also that of a body that breaks off.
func get(t testing.TB, url string) (status int, body []byte, err error) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// narInfo asks the server for a path that it has.
func (s *serving) narInfo(t testing.TB, path string) nix.NARInfo {
	t.Helper()
	status, body, err := get(t, s.url+"/"+nix.StorePath(path).HashPart()+".narinfo")
	if err != nil || status != http.StatusOK {
		t.Fatalf("narinfo of %s: %d %v %s", path, status, err, body)
	}
	n, err := nix.ParseNARInfo(nix.DefaultStoreDir, body)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// wantNAR compares the NAR that a client gets with its narinfo.
func (s *serving) wantNAR(t testing.TB, path string) {
	t.Helper()
	n := s.narInfo(t, path)
	status, body, err := get(t, s.url+"/"+n.URL)
	if err != nil || status != http.StatusOK || sha256.Sum256(body) != n.FileHash {
		t.Errorf("NAR of %s: %d, %d bytes of %d, %v", path, status, len(body), n.FileSize, err)
	}
}

// small is a closure of two paths whose names hold a word.
func small(word string) string {
	return fmt.Sprintf(`let base = sh "base-%[1]s" "echo base of %[1]s > $out"; in sh "top-%[1]s" "mkdir $out; echo ${base} > $out/below"`, word)
}

// heavy adds a path of so many random bytes to a store.
func heavy(t testing.TB, env *nixtest.Env, size int) string {
	t.Helper()
	data := make([]byte, size)
	_, _ = rand.Read(data)
	file := filepath.Join(t.TempDir(), "heavy")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return env.AddTree(t, file)
}

// substitute is how a stock client gets a path from a server.
func substitute(url, key, path string, more ...string) []string {
	return append([]string{"--realise", path, "--option", "substituters", url, "--option", "trusted-public-keys", key}, more...)
}

// Every version of Nix substitutes through serve with signatures required: from
// a directory, from a bucket, and from what of the bucket is kept.
func TestServeToStockClients(t *testing.T) {
	env := nixtest.Another(t)
	top := env.Build(t, sample)
	key, stranger := newKey(t, "e2e-1"), newKey(t, "e2e-1")
	dir := t.TempDir()
	mustPcache(t, env, "push", "--secret-key-file", key.file, "file://"+dir, top)
	test := func(t *testing.T, s *serving) {
		nixtest.EachVersion(t, func(t *testing.T, v nixtest.Version) {
			client := v.Env(t)
			client.Run(t, "nix-store", substitute(s.url, key.public, top)...)
			sameClosure(t, env, client, top)
			suspicious := v.Env(t)
			if out, err := suspicious.Try("nix-store", substitute(s.url, stranger.public, top)...); err == nil {
				t.Errorf("a client that trusts another key took it: %s", out)
			}
			absent(t, suspicious, top)
		})
	}
	t.Run("directory", func(t *testing.T) { test(t, serve(t, "file://"+dir)) })
	s3test.Each(t, func(t *testing.T, server *s3test.Server) {
		server.Environ(t)
		address := server.Address(server.Bucket(t))
		mustPcache(t, env, "push", "--secret-key-file", key.file, address, top)
		local := t.TempDir()
		test(t, serve(t, "--local", local, address))
		// The bucket is asked for no NAR that is kept.
		s := serve(t, "--local", t.TempDir(), address)
		s.wantNAR(t, top)
		s.wantNAR(t, top)
		_, metrics, _ := get(t, s.url+"/metrics")
		if !bytes.Contains(metrics, []byte("\npcache_local_misses_total 1\n")) || !bytes.Contains(metrics, []byte("\npcache_local_hits_total 1\n")) {
			t.Errorf("metrics:\n%s", metrics)
		}
	})
}

// `nix copy --to http://…` of every version pushes into a directory and into a
// bucket, and another client takes what the server signed.
func TestServeTakesNixCopy(t *testing.T) {
	key := newKey(t, "serve-1")
	test := func(t *testing.T, s *serving) {
		nixtest.EachVersion(t, func(t *testing.T, v nixtest.Version) {
			env := v.Env(t)
			top := env.Build(t, small("v"+v.Name))
			env.Run(t, "nix", "copy", "--to", s.url+"?compression=zstd", top)
			client := v.Env(t)
			client.Run(t, "nix-store", substitute(s.url, key.public, top)...)
			sameClosure(t, env, client, top)
		})
	}
	t.Run("directory", func(t *testing.T) {
		test(t, serve(t, "--accept-pushes", "--secret-key-file", key.file, "file://"+t.TempDir()))
	})
	s3test.Each(t, func(t *testing.T, server *s3test.Server) {
		server.Environ(t)
		test(t, serve(t, "--accept-pushes", "--secret-key-file", key.file, "--local", t.TempDir(), server.Address(server.Bucket(t))))
	})
}

// certify makes a certificate for loopback.
func certify(t testing.TB) (cert, key string) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "pcache test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &secret.PublicKey, secret)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// Over TLS, with tokens in a netrc: who has the right pushes, who may read
// reads, and others are told so and get nothing.
func TestServeTokensAndTLS(t *testing.T) {
	cert, certKey := certify(t)
	t.Setenv("NIX_SSL_CERT_FILE", cert)
	key := newKey(t, "serve-1")
	home := t.TempDir()
	tokens := filepath.Join(home, "tokens")
	netrc := func(name, rights string) string {
		secret := "pc_wrong"
		if rights != "" {
			secret = strings.TrimSpace(mustPcache(t, nil, "token", name, "--file", tokens, "--rights", rights, "--cache", "main").out)
		}
		file := filepath.Join(home, name)
		if err := os.WriteFile(file, []byte("machine 127.0.0.1 login x password "+secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	writer, reader, wrong := netrc("writer", "pull,push"), netrc("reader", "pull"), netrc("wrong", "")
	s := serve(t, "--accept-pushes", "--secret-key-file", key.file, "--tokens", tokens, "--tls-cert", cert, "--tls-key", certKey, "file://"+t.TempDir())
	if !strings.HasPrefix(s.url, "https://") {
		t.Fatalf("it serves %s", s.url)
	}
	nixtest.EachVersion(t, func(t *testing.T, v nixtest.Version) {
		env := v.Env(t)
		top := env.Build(t, small("t"+v.Name))
		for _, who := range []string{reader, wrong, "/dev/null"} {
			if _, err := env.Try("nix", "copy", "--option", "netrc-file", who, "--to", s.url+"?compression=zstd", top); err == nil {
				t.Errorf("%s may push", who)
			}
		}
		env.Run(t, "nix", "copy", "--option", "netrc-file", writer, "--to", s.url+"?compression=zstd", top)
		for _, who := range []string{wrong, "/dev/null"} {
			client := v.Env(t)
			if _, err := client.Try("nix-store", substitute(s.url, key.public, top, "--option", "netrc-file", who)...); err == nil {
				t.Errorf("%s may read", who)
			}
		}
		client := v.Env(t)
		client.Run(t, "nix-store", substitute(s.url, key.public, top, "--option", "netrc-file", reader)...)
		sameClosure(t, env, client, top)
	})
	secret, _ := os.ReadFile(writer)
	words := strings.Fields(string(secret))
	if strings.Contains(s.said(), words[len(words)-1]) {
		t.Error("the log holds a token")
	}
}

// Who asks for a path while it is pushed gets it whole, with all that it refers
// to, or hears that it is not there; and once it is there it stays.
func TestServePushedWhileAsked(t *testing.T) {
	key := newKey(t, "serve-1")
	s := serve(t, "--accept-pushes", "--secret-key-file", key.file, "file://"+t.TempDir())
	env := nixtest.Another(t)
	top := env.Build(t, sample)
	stop := make(chan struct{})
	var asking sync.WaitGroup
	var seen, absences [4]int
	for i := range seen {
		asking.Go(func() {
			for last := false; ; {
				select {
				case <-stop:
					last = true // once more, when it has arrived
				default:
				}
				status, body, err := get(t, s.url+"/"+nix.StorePath(top).HashPart()+".narinfo")
				switch {
				case err == nil && status == http.StatusNotFound && seen[i] == 0 && !last:
					absences[i]++
				case err == nil && status == http.StatusOK:
					seen[i]++
					if seen[i] == 1 {
						s.wantClosure(t, body, map[string]bool{})
					}
				default:
					t.Errorf("%d %v after %d times there: %s", status, err, seen[i], body)
				}
				if last {
					return
				}
			}
		})
	}
	time.Sleep(50 * time.Millisecond)
	env.Run(t, "nix", "copy", "--to", s.url+"?compression=zstd", top)
	close(stop)
	asking.Wait()
	for i := range seen {
		if seen[i] == 0 || absences[i] == 0 {
			t.Errorf("client %d saw it %d times, and %d times not", i, seen[i], absences[i])
		}
	}
}

// wantClosure checks a narinfo's NAR and all that it refers to.
func (s *serving) wantClosure(t testing.TB, narInfo []byte, done map[string]bool) {
	n, err := nix.ParseNARInfo(nix.DefaultStoreDir, narInfo)
	if err != nil {
		t.Error(err)
		return
	}
	done[string(n.Path)] = true
	if status, data, err := get(t, s.url+"/"+n.URL); err != nil || status != http.StatusOK {
		t.Errorf("%s is visible, its NAR is not: %d %v", n.Path, status, err)
	} else if err := whole(data, n); err != nil {
		t.Errorf("NAR of %s: %v", n.Path, err)
	}
	for _, r := range n.References {
		if done[string(r)] {
			continue
		}
		status, body, err := get(t, s.url+"/"+r.HashPart()+".narinfo")
		if err != nil || status != http.StatusOK {
			t.Errorf("%s is visible, and %s, which it refers to, is not: %d %v", n.Path, r, status, err)
			continue
		}
		s.wantClosure(t, body, done)
	}
}

// remoteCache is a cache with one large NAR, on a web server.
func remoteCache(t *testing.T, size int) (web, path string, key keyPair, env *nixtest.Env) {
	t.Helper()
	env = nixtest.Another(t)
	path, key = heavy(t, env, size), newKey(t, "e2e-1")
	dir := t.TempDir()
	mustPcache(t, env, "push", "--secret-key-file", key.file, "--compression", "none", "file://"+dir, path)
	return webServer(t, dir), path, key, env
}

// Killed while it fetches, and started again: nothing of what was half there is
// given to anybody, and the path comes whole.
func TestServeKilledInMidFetch(t *testing.T) {
	web, path, key, env := remoteCache(t, 8<<20)
	slow := listen(t, strings.TrimPrefix(web, "http://"), badnet.Options{Bandwidth: 4 << 20})
	local := t.TempDir()
	for round := range 3 {
		s := serve(t, "--local", local, "http://"+slow.Addr)
		n := s.narInfo(t, path)
		resp, err := http.Get(s.url + "/" + n.URL)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, resp.Body, int64(1+round)<<20); err != nil {
			t.Fatal(err)
		}
		s.kill()
		if rest, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("the client was given %d more bytes and an end", len(rest))
		}
		resp.Body.Close()
		if left, _ := filepath.Glob(filepath.Join(local, "*.narinfo")); len(left) > 0 {
			t.Errorf("half a path is visible: %v", left)
		}
	}
	s := serve(t, "--local", local, "http://"+slow.Addr)
	s.wantNAR(t, path)
	client := nixtest.Another(t)
	client.Run(t, "nix-store", substitute(s.url, key.public, path)...)
	sameClosure(t, env, client, path)
	// What the killed ones left behind is gone: one NAR is all there is.
	var total int64
	if err := filepath.WalkDir(local, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var info os.FileInfo
			if info, err = d.Info(); err == nil {
				total += info.Size()
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if total < 8<<20 || total > 9<<20 {
		t.Errorf("%d bytes are in the local directory", total)
	}
}

// When the local directory's disk is full, clients get their bytes all the same.
func TestServeWithFullDisk(t *testing.T) {
	web, path, key, env := remoteCache(t, 8<<20)
	// A file system of one MiB, in a namespace of the server's own.
	local := t.TempDir()
	cmd := exec.Command("unshare", "--mount", "--map-root-user", "sh", "-c", `mount -t tmpfs -o size=1m none "$0" && exec "$@"`, local, program, "serve", "--listen", "127.0.0.1:0", "--local", local, "--local-size", "1GiB", web)
	s := serveBy(t, cmd)
	for range 2 {
		s.wantNAR(t, path)
	}
	client := nixtest.Another(t)
	client.Run(t, "nix-store", substitute(s.url, key.public, path)...)
	sameClosure(t, env, client, path)
	_, metrics, _ := get(t, s.url+"/metrics")
	if !bytes.Contains(metrics, []byte("\npcache_local_nars 0\n")) || bytes.Contains(metrics, []byte("\npcache_unkept_total 0\n")) {
		t.Errorf("the disk was not full:\n%s", metrics)
	}
}

// systemd hands over a socket that is open already.
func TestServeOnSystemdSocket(t *testing.T) {
	env := nixtest.Another(t)
	top := env.Build(t, small("socket"))
	key := newKey(t, "e2e-1")
	dir := t.TempDir()
	mustPcache(t, env, "push", "--secret-key-file", key.file, "file://"+dir, top)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	l.Close()
	// A client that came before the server waits for it.
	early := make(chan error, 1)
	go func() {
		status, body, err := get(t, url+"/nix-cache-info")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%d %s", status, body)
		}
		early <- err
	}()
	cmd := exec.Command("sh", "-c", `LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" "$@"`, program, "serve", "file://"+dir)
	cmd.ExtraFiles = []*os.File{socket}
	s := serveBy(t, cmd)
	socket.Close()
	if s.url != url {
		t.Errorf("it listens on %s, systemd's socket is %s", s.url, url)
	}
	if err := <-early; err != nil {
		t.Error(err)
	}
	nixtest.Another(t).Run(t, "nix-store", substitute(s.url, key.public, top)...)
}
