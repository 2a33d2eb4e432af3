package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache/lease"
	"gitlab.com/pantheros/pantheros/internal/blob/dir"
	"gitlab.com/pantheros/pantheros/internal/blob/s3"
	"gitlab.com/pantheros/pantheros/internal/nixtest"
	"gitlab.com/pantheros/pantheros/internal/s3test"
)

// soakRounds is how many rounds of pushes, pulls and collections a soak has:
// PANTHEROS_SOAK, or a few.
func soakRounds(t *testing.T) int {
	text := os.Getenv("PANTHEROS_SOAK")
	if text == "" {
		return 12
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("PANTHEROS_SOAK=%q is no number of rounds", text)
	}
	return n
}

// generations are toplevels that share most of what they refer to, as a
// machine's do.
func generations(t *testing.T, env *nixtest.Env, n int) (paths []string) {
	t.Helper()
	for i := range n {
		paths = append(paths, env.Build(t, fmt.Sprintf(`let
	base = sh "base-1.0" "echo base > $out";
	even = sh "even-%d" "echo ${base} %[1]d > $out";
	own = sh "own-%[2]d" "i=0; while [ $i -lt 400 ]; do echo %[2]d $i; i=$((i+1)); done > $out";
	in sh "system-%[2]d" "mkdir $out; ln -s ${even} $out/even; ln -s ${own} $out/own; ln -s ${base} $out/base"`, i/2, i)))
	}
	return paths
}

// TestSoak has pushes, pulls and garbage collections without a grace period go
// on at the same time, in one cache, some of them killed. Whenever they have all
// ended, what the cache shows is whole; and at the end every hash is.
func TestSoak(t *testing.T) {
	env := nixtest.Another(t)
	systems := generations(t, env, 6)
	key := newKey(t, "e2e-1")
	rounds := soakRounds(t)
	longest = time.Duration(rounds)*time.Minute + patience
	defer func() { longest = patience }()
	t.Run("directory", func(t *testing.T) {
		path := t.TempDir()
		s, err := dir.New(path)
		if err != nil {
			t.Fatal(err)
		}
		soak(t, env, systems, key, store{s, "file://" + path}, rounds)
	})
	s3test.Each(t, func(t *testing.T, server *s3test.Server) {
		server.Environ(t)
		address := server.Address(server.Bucket(t))
		config, _, err := s3.ParseAddress(address)
		if err != nil {
			t.Fatal(err)
		}
		s, err := s3.New(config)
		if err != nil {
			t.Fatal(err)
		}
		soak(t, env, systems, key, store{s, address}, rounds)
	})
}

// actor is a command of a round.
type actor struct {
	what   string
	cmd    *exec.Cmd
	stderr bytes.Buffer
	killed bool
	wait   func() error // until it ends; as often as one likes
}

// removeAll deletes what a cache has below a prefix.
func removeAll(t testing.TB, s store, prefix string) {
	t.Helper()
	for info, err := range s.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Delete(t.Context(), info.Key); err != nil {
			t.Fatal(err)
		}
	}
}

func soak(t *testing.T, env *nixtest.Env, systems []string, key keyPair, s store, rounds int) {
	random := rand.New(rand.NewPCG(7, uint64(len(s.address))))
	reader := nixtest.Another(t)
	start := func(e *nixtest.Env, what string, args ...string) *actor {
		a := &actor{what: what, cmd: exec.Command(program, args...)}
		a.cmd.Env = append(os.Environ(), e.Vars...)
		a.cmd.Stderr = &a.stderr
		a.wait = sync.OnceValue(a.cmd.Wait)
		if err := a.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return a
	}
	push := func(name string) *actor {
		return start(env, "push", "push", "--secret-key-file", key.file, "--root", name, s.address, systems[random.IntN(len(systems))])
	}
	mustPcache(t, env, "push", "--secret-key-file", key.file, "--root", "a", s.address, systems[0])
	kills, deleted := 0, 0
	for round := range rounds {
		actors := []*actor{
			push("a"), push("b"),
			start(env, "gc", "gc", "--keep", "1", "--grace", "0s", "--apply", s.address),
			start(reader, "pull", "pull", "--public-key", key.public, "--root", "a", s.address),
		}
		if random.IntN(2) == 0 {
			victim := actors[random.IntN(len(actors))]
			time.Sleep(time.Duration(random.IntN(120)) * time.Millisecond)
			_ = victim.cmd.Process.Kill()
			victim.killed = true
			if victim.what == "gc" {
				// Pushes would wait for what a dead collection has announced
				// until it is taken for dead, which takes two minutes.
				_ = victim.wait()
				removeAll(t, s, lease.SweepPrefix)
			}
		}
		for _, a := range actors {
			err := a.wait()
			switch code := a.cmd.ProcessState.ExitCode(); {
			case err == nil:
			case a.killed:
				kills++
			case a.what == "pull" && code != exitDamaged:
				// What it was reading was taken out by a newer generation.
			case a.what == "pull" && strings.Contains(a.stderr.String(), "not there"):
			case a.what == "gc" && strings.Contains(a.stderr.String(), "another"):
			default:
				t.Fatalf("round %d: %s ended with %d: %s", round, a.what, code, a.stderr.String())
			}
		}
		// The dead hold nothing any more; to wait until that is taken for granted
		// would take an hour.
		removeAll(t, s, lease.Prefix)
		removeAll(t, s, lease.SweepPrefix)
		if e := pcache(t, env, "verify", "--level", "listing", s.address); e.code != exitOK {
			t.Fatalf("after round %d: %s%s", round, e.out, e.stderr)
		}
	}
	// Only the newest of each name and what they need is left, and all of it.
	time.Sleep(3 * time.Second) // storages tell whole seconds, and gc allows for it
	var out struct {
		Deleted map[string]struct{ Objects int }
	}
	e := mustPcache(t, env, "gc", "--keep", "1", "--grace", "0s", "--apply", "--json", s.address)
	if err := json.Unmarshal([]byte(e.out), &out); err != nil {
		t.Fatal(err)
	}
	for _, d := range out.Deleted {
		deleted += d.Objects
	}
	verifyCache(t, env, exitOK, s.address)
	n := 0
	for info, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(info.Key, ".narinfo") {
			n++
		}
	}
	if n > 8 {
		t.Errorf("%d paths are left of two generations", n)
	}
	mustPcache(t, nixtest.Another(t), "pull", "--public-key", key.public, "--root", "a", s.address)
	t.Logf("%d rounds, %d kills; the last collection deleted %d objects", rounds, kills, deleted)
}

// TestUnfinishedUploads has a collection remove what killed pushes have left in a
// storage, when it is old enough.
func TestUnfinishedUploads(t *testing.T) {
	env := nixtest.Another(t)
	key := newKey(t, "e2e-1")
	path := env.Build(t, `sh "some" "echo some > $out"`)
	// MinIO lists no uploads but those of a name that is known.
	server := s3test.Start(t, s3test.Versitygw)
	server.Environ(t)
	bucket := server.Bucket(t)
	address := server.Address(bucket)
	mustPcache(t, env, "push", "--secret-key-file", key.file, "--root", "a", address, path)
	server.BeginUpload(t, bucket, "nar/"+strings.Repeat("1", 52)+".nar.zst")
	mustPcache(t, env, "gc", "--apply", address)
	if n := server.Uploads(t, bucket); n != 1 {
		t.Errorf("%d uploads are left of a young one", n)
	}
	time.Sleep(3 * time.Second)
	e := mustPcache(t, env, "gc", "--grace", "0s", "--apply", address)
	if n := server.Uploads(t, bucket); n != 0 {
		t.Errorf("%d uploads are left: %s", n, e.out)
	}
	verifyCache(t, env, exitOK, address)
}
