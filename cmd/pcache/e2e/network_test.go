package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/badnet"
	"gitlab.com/pantheros/pantheros/internal/binarycache/lease"
	"gitlab.com/pantheros/pantheros/internal/nixtest"
	"gitlab.com/pantheros/pantheros/internal/s3test"
)

// listen puts a bad network before a server.
func listen(t *testing.T, target string, o badnet.Options) *badnet.Proxy {
	t.Helper()
	p, err := badnet.Listen(target, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// through is a server's bucket behind a proxy.
func through(p *badnet.Proxy, bucket string) string {
	return "s3://" + bucket + "?scheme=http&endpoint=" + p.Addr
}

// cargo is a store with the sample and with files that do not compress: a few
// megabytes to carry.
func cargo(t *testing.T) (env *nixtest.Env, paths []string) {
	t.Helper()
	env = nixtest.Another(t)
	dir := t.TempDir()
	args := []string{"--add"}
	random := rand.NewChaCha8([32]byte{1})
	for i := range 16 {
		data := make([]byte, 200<<10)
		_, _ = random.Read(data)
		file := filepath.Join(dir, fmt.Sprintf("noise-%d", i))
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, file)
	}
	paths = append(strings.Fields(env.Run(t, "nix-store", args...)), env.Build(t, sample))
	return env, paths
}

// Across networks that are slow, narrow or break, a push and a pull come to the
// same end, with no more connections than a bound, and in no more time than the
// network itself explains.
func TestBadNetworks(t *testing.T) {
	env, paths := cargo(t)
	key := newKey(t, "e2e-1")
	networks := []struct {
		name        string
		o           badnet.Options
		resets      bool
		connections int64 // at most, of a push and a pull together
	}{
		{name: "30 ms", o: badnet.Options{RTT: 30 * time.Millisecond}, connections: 200},
		{name: "200 ms", o: badnet.Options{RTT: 200 * time.Millisecond}, connections: 200},
		{name: "1 MB a second", o: badnet.Options{Bandwidth: 1 << 20}, connections: 200},
		{name: "30 ms, cut at random", o: badnet.Options{RTT: 30 * time.Millisecond, MeanReset: 500 << 10, Seed: 3}, resets: true, connections: 400},
		{name: "1 MB a second, 100 ms, cut at random", o: badnet.Options{RTT: 100 * time.Millisecond, Bandwidth: 1 << 20, MeanReset: 600 << 10, Seed: 4}, resets: true, connections: 400},
	}
	s3test.Each(t, func(t *testing.T, server *s3test.Server) {
		server.Environ(t)
		for _, network := range networks {
			t.Run(network.name, func(t *testing.T) {
				bucket := server.Bucket(t)
				p := listen(t, server.Addr, network.o)
				address := through(p, bucket)
				pushed := mustPcache(t, env, append([]string{"push", "--secret-key-file", key.file, "--json", address}, paths...)...)
				sent := summary(t, pushed.out).Sent.Paths
				if want := len(env.Closure(t, paths...)); sent != want {
					t.Errorf("%d of %d paths sent", sent, want)
				}
				other := nixtest.Another(t)
				pulled := mustPcache(t, other, append([]string{"pull", "--public-key", key.public, address}, paths...)...)
				sameClosure(t, env, other, paths...)
				again := mustPcache(t, env, append([]string{"push", "--secret-key-file", key.file, address}, paths...)...)
				if !strings.Contains(again.out, "nothing to send") {
					t.Errorf("pushed again: %s", again.out)
				}
				if n := server.Uploads(t, bucket); n != 0 {
					t.Errorf("%d uploads were begun and left", n)
				}
				if n := p.Connections(); n > network.connections {
					t.Errorf("%d connections", n)
				}
				if (p.Resets() > 0) != network.resets {
					t.Errorf("%d connections were cut", p.Resets())
				}
				t.Logf("push %.1f s, pull %.1f s, again %.1f s; %d connections, %d cut", pushed.took.Seconds(), pulled.took.Seconds(), again.took.Seconds(), p.Connections(), p.Resets())
			})
		}
	})
}

// The same for a cache behind a web server, to pull from.
func TestPullAcrossBadNetworks(t *testing.T) {
	env, paths := cargo(t)
	key := newKey(t, "e2e-1")
	dir := t.TempDir()
	mustPcache(t, env, append([]string{"push", "--secret-key-file", key.file, "file://" + dir}, paths...)...)
	web := strings.TrimPrefix(webServer(t, dir), "http://")
	for name, o := range map[string]badnet.Options{
		"200 ms":        {RTT: 200 * time.Millisecond},
		"1 MB a second": {Bandwidth: 1 << 20},
		"cut at random": {RTT: 10 * time.Millisecond, MeanReset: 500 << 10, Seed: 5},
	} {
		t.Run(name, func(t *testing.T) {
			p := listen(t, web, o)
			other := nixtest.Another(t)
			pulled := mustPcache(t, other, append([]string{"pull", "--public-key", key.public, "http://" + p.Addr}, paths...)...)
			sameClosure(t, env, other, paths...)
			if o.MeanReset > 0 && p.Resets() == 0 {
				t.Error("no connection was cut")
			}
			t.Logf("%.1f s, %d connections, %d cut", pulled.took.Seconds(), p.Connections(), p.Resets())
		})
	}
}

// A network that cuts every connection ends in an error, after a bounded number
// of tries, and not in a push that goes on for ever or claims success.
func TestHopelessNetwork(t *testing.T) {
	env := nixtest.Another(t)
	top := env.Build(t, sample)
	key := newKey(t, "e2e-1")
	server := s3test.Start(t, s3test.Versitygw)
	server.Environ(t)
	p := listen(t, server.Addr, badnet.Options{MeanReset: 1, Seed: 6})
	bucket := server.Bucket(t)
	failed := pcache(t, env, "push", "--secret-key-file", key.file, through(p, bucket), top)
	if failed.code != exitFailed {
		t.Errorf("exit code %d", failed.code)
	}
	failed.oneLine(t, "connection reset")
	if n := p.Connections(); n > 100 {
		t.Errorf("%d connections", n)
	}
	// A request may arrive and its answer not: then the push has a lease that it
	// does not know of or cannot take back. Others take it for abandoned in time.
	for _, name := range server.Names(t, bucket) {
		if !strings.HasPrefix(name, lease.Prefix) {
			t.Errorf("it left %s", name)
		}
	}
	// There is something to pull: an empty bucket's few words might get through.
	mustPcache(t, env, "push", "--secret-key-file", key.file, server.Address(bucket), top)
	other := nixtest.Another(t)
	failed = pcache(t, other, "pull", "--public-key", key.public, through(p, bucket), top)
	if failed.code != exitFailed {
		t.Errorf("pull: exit code %d", failed.code)
	}
	failed.oneLine(t, "connection reset")
}

// pushed is what the tests want of `push --json`.
type pushed struct {
	Status string
	Sent   struct{ Paths int }
	Paths  []struct{ Path, Action, Reason string }
}

func summary(t testing.TB, text string) pushed {
	t.Helper()
	var p pushed
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(fmt.Errorf("%w in %s", err, text))
	}
	return p
}
