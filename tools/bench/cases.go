package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"gitlab.com/pantheros/pantheros/internal/badnet"
)

// program is one of those that a case compares.
type program struct {
	name string
	// needs names what it needs besides pcache: "nix 2.34", "versitygw". What
	// is not on this machine is left out, and the result says so.
	needs []string
	run   func(ctx context.Context, b *bench, c *closure) (sample, error)
	slow  bool // once is enough
}

// benchCase is a job that several programs do.
type benchCase struct {
	name, title string
	shape       shape
	rounds      int
	unit        string // of its samples' rate
	cpuOf       string // whose CPU time and memory they have, if not the program's
	programs    []program
	targets     []target
}

// target is what the project wants of a case: that Value, of Program and
// compared with Peer if there is one, is at least or at most Limit.
type target struct {
	program, peer string
	value         string // "wall", "cpu", "rss", "out", "first"
	atLeast       float64
	atMost        float64
}

const mib = 1 << 20

// roundTrip is the latency of the cases that have one.
const roundTrip = 30 * time.Millisecond

var slowNet = badnet.Options{RTT: roundTrip}

// cases are in the order in which they are run: what matters most comes first,
// for a run that is cut off.
var cases = slices.Concat(pushCases, planCases, serveCases, pullCases, otherServers, atticCases)

var pushCases = []benchCase{
	{
		name: "push-dir", title: "cold push to a directory", shape: large, rounds: 3,
		programs: []program{
			{name: "pcache default", run: pcacheToDir("default")},
			{name: "pcache fastest", run: pcacheToDir("fastest")},
			{name: "nix 2.26", needs: []string{"nix 2.26"}, run: nixToDir("2.26")},
			{name: "nix 2.34", needs: []string{"nix 2.34"}, run: nixToDir("2.34")},
		},
		targets: []target{
			{program: "pcache default", peer: "nix 2.26", value: "wall", atLeast: 1.8},
			{program: "pcache default", peer: "nix 2.34", value: "wall", atLeast: 1.2},
			{program: "pcache fastest", peer: "nix 2.26", value: "wall", atLeast: 2.1},
			{program: "pcache fastest", peer: "nix 2.34", value: "wall", atLeast: 1.4},
			{program: "pcache default", peer: "nix 2.26", value: "cpu", atLeast: 1},
			{program: "pcache default", peer: "nix 2.34", value: "cpu", atLeast: 1},
			{program: "pcache default", peer: "nix 2.34", value: "out", atLeast: 1},
			{program: "pcache default", value: "rss", atMost: 128 * mib},
		},
	},
	{
		name: "push-versitygw", title: "cold push to versitygw on loopback", shape: large, rounds: 3,
		programs: pushS3("versitygw", badnet.Options{}, false),
		targets: []target{
			{program: "pcache default", peer: "nix 2.34 s3", value: "wall", atLeast: 1.6},
			{program: "pcache default", value: "rss", atMost: 256 * mib},
		},
	},
}

var planCases = []benchCase{
	{
		name: "nothing-30ms", title: "push of 5,000 paths that are all there, 30 ms round trip", shape: wide, rounds: 3,
		programs: []program{
			{name: "pcache", needs: []string{"versitygw"}, run: pcacheAgain(1)},
			{name: "nix 2.34 s3", needs: []string{"versitygw", "nix 2.34"}, run: nixAgain("2.34", 1)},
		},
		targets: []target{
			{program: "pcache", value: "wall", atMost: 0.25},
			{program: "pcache", peer: "nix 2.34 s3", value: "wall", atLeast: 20},
		},
	},
	{
		name: "half-30ms", title: "push of 5,000 paths of which half are there, 30 ms round trip", shape: wide, rounds: 2,
		programs: []program{
			{name: "pcache", needs: []string{"versitygw"}, run: pcacheAgain(0.5)},
			{name: "nix 2.34 s3", needs: []string{"versitygw", "nix 2.34"}, run: nixAgain("2.34", 0.5), slow: true},
		},
		targets: []target{{program: "pcache", value: "first", atMost: 1.5}},
	},
}

var pullCases = []benchCase{
	{
		name: "pull-http", title: "pull from HTTP on loopback into an empty store", shape: large, rounds: 2,
		programs: []program{
			{name: "pcache", run: pcachePull},
			{name: "nix 2.26", needs: []string{"nix 2.26"}, run: nixPull("2.26")},
			{name: "nix 2.34", needs: []string{"nix 2.34"}, run: nixPull("2.34")},
			{name: "cp -a", run: copyTree},
		},
		targets: []target{
			{program: "pcache", peer: "nix 2.26", value: "wall", atLeast: 1.5},
			{program: "pcache", peer: "nix 2.34", value: "wall", atLeast: 1.5},
			{program: "pcache", peer: "cp -a", value: "wall", atLeast: 1},
		},
	},
}

var otherServers = []benchCase{
	{
		name: "push-minio", title: "cold push to MinIO on loopback", shape: large, rounds: 2,
		programs: pushS3("minio", badnet.Options{}, false),
		targets: []target{
			{program: "pcache default", peer: "nix 2.34 s3", value: "wall", atLeast: 1.6},
			{program: "pcache default", value: "rss", atMost: 256 * mib},
		},
	},
	{
		name: "push-30ms", title: "cold push to versitygw, 30 ms round trip", shape: large, rounds: 1,
		programs: pushS3("versitygw", slowNet, true),
		targets: []target{
			{program: "pcache default", peer: "nix 2.34 s3", value: "wall", atLeast: 5},
			{program: "pcache default", peer: "nix 2.26 http", value: "wall", atLeast: 12},
			{program: "pcache default", value: "rss", atMost: 256 * mib},
		},
	},
}

// missing says why a program is not run: which of what it needs is not here, and
// how to have it.
func (b *bench) missing(p program) string {
	if b.profiles != "" && !strings.Contains(p.name, "pcache") {
		return "profiles are of pcache alone"
	}
	for _, need := range p.needs {
		if version, ok := strings.CutPrefix(need, "nix "); ok {
			if b.nix(version) == nil {
				return need + " is not on this machine"
			}
		} else if b.find(need) == "" {
			return need + " is not on this machine: " + hints[need]
		}
	}
	return ""
}

// hints say how to have what cases need.
var hints = map[string]string{
	"versitygw": "tools/s3/prepare builds it",
	"minio":     "tools/s3/prepare builds it",
	"nginx":     "apt-get install nginx-light",
	"atticd":    "build Attic's server and name it in ATTICD (docs/attic.md)",
	"attic":     "build Attic's client and name it in ATTIC (docs/attic.md)",
}

// find returns a program of a peer, or nothing.
func (b *bench) find(name string) string {
	var places []string
	switch name {
	case "nginx":
		if found, err := exec.LookPath(name); err == nil {
			return found
		}
		places = []string{"/usr/sbin/nginx", "/usr/local/sbin/nginx"}
	case "atticd", "attic":
		places = []string{os.Getenv(strings.ToUpper(name))}
	default:
		places = []string{filepath.Join(b.s3, name)}
	}
	for _, place := range places {
		if info, err := os.Stat(place); err == nil && info.Mode().IsRegular() {
			return place
		}
	}
	return ""
}

type runner = func(ctx context.Context, b *bench, c *closure) (sample, error)

func (b *bench) pushArgs(c *closure, level, address string) []string {
	return []string{"push", "--store", c.Dir, "--secret-key-file", b.keyFile, "--compression", level, address, string(c.Root)}
}

func pcacheToDir(level string) runner {
	return func(ctx context.Context, b *bench, c *closure) (sample, error) {
		dir, remove, err := b.scratch("cache")
		if err != nil {
			return sample{}, err
		}
		defer remove()
		s, err := b.runPcache(ctx, nil, b.pushArgs(c, level, "file://"+dir)...)
		s.Out = sizeOf(dir)
		return s, err
	}
}

// nixCopy are the arguments for a push with zstd, which is what pcache writes;
// Nix's own default is xz, which takes many times as long.
func (b *bench) nixCopy(c *closure, address string) []string {
	separator := "?"
	if strings.Contains(address, "?") {
		separator = "&"
	}
	return []string{"copy", "--from", c.Dir, "--to", address + separator + "compression=zstd&secret-key=" + b.keyFile, string(c.Root)}
}

func nixToDir(version string) runner {
	return func(ctx context.Context, b *bench, c *closure) (sample, error) {
		dir, remove, err := b.scratch("cache")
		if err != nil {
			return sample{}, err
		}
		defer remove()
		s, err := b.runNix(ctx, *b.nix(version), b.nixCopy(c, "file://"+dir)...)
		s.Out = sizeOf(dir)
		return s, err
	}
}

func pushS3(kind string, o badnet.Options, slow bool) []program {
	toServer := func(push func(ctx context.Context, b *bench, c *closure, s *s3Server) (sample, error)) runner {
		return func(ctx context.Context, b *bench, c *closure) (sample, error) {
			server, err := b.startS3(ctx, kind, o)
			if err != nil {
				return sample{}, err
			}
			before := server.cpu()
			s, err := push(ctx, b, c, server)
			s.Server, s.Out = server.cpu()-before, server.stored()
			server.stop()
			return s, err
		}
	}
	pcache := func(level string) runner {
		return toServer(func(ctx context.Context, b *bench, c *closure, s *s3Server) (sample, error) {
			return b.runPcache(ctx, credentialsEnv, b.pushArgs(c, level, s.address())...)
		})
	}
	nixS3 := toServer(func(ctx context.Context, b *bench, c *closure, s *s3Server) (sample, error) {
		return b.runNix(ctx, *b.nix("2.34"), b.nixCopy(c, s.address())...)
	})
	nixHTTP := toServer(func(ctx context.Context, b *bench, c *closure, s *s3Server) (sample, error) {
		return b.runNix(ctx, *b.nix("2.26"), b.nixCopy(c, s.web())...)
	})
	programs := []program{
		{name: "pcache default", needs: []string{kind}, run: pcache("default")},
		{name: "pcache fastest", needs: []string{kind}, run: pcache("fastest")},
		{name: "nix 2.34 s3", needs: []string{kind, "nix 2.34"}, run: nixS3, slow: slow},
	}
	if slow {
		programs = append(programs, program{name: "nix 2.26 http", needs: []string{kind, "nix 2.26"}, run: nixHTTP, slow: true})
	}
	return programs
}

// filled starts a server that has a part of the closure, references first, and
// notes when the first NAR goes to it.
func (b *bench) filled(ctx context.Context, c *closure, part float64) (*s3Server, *atomic.Int64, error) {
	first := new(atomic.Int64)
	o := slowNet
	o.Sent = func(p []byte) {
		if first.Load() == 0 && strings.Contains(string(p[:min(len(p), 200)]), "PUT /"+bucket+"/nar/") {
			first.CompareAndSwap(0, time.Now().UnixNano())
		}
	}
	server, err := b.startS3(ctx, "versitygw", o)
	if err != nil {
		return nil, nil, err
	}
	paths := c.Paths[:int(float64(len(c.Paths))*part)]
	if part == 1 {
		paths = paths[len(paths)-1:]
	}
	direct := *server
	direct.addr = server.direct
	args := []string{"push", "--store", c.Dir, "--secret-key-file", b.keyFile, "--compression", "fastest", direct.address()}
	for _, p := range paths {
		args = append(args, string(p))
	}
	if _, err := b.runPcache(ctx, credentialsEnv, args...); err != nil {
		server.stop()
		return nil, nil, err
	}
	return server, first, nil
}

func again(part float64, push func(ctx context.Context, b *bench, c *closure, s *s3Server) (sample, error)) runner {
	return func(ctx context.Context, b *bench, c *closure) (sample, error) {
		server, first, err := b.filled(ctx, c, part)
		if err != nil {
			return sample{}, err
		}
		defer server.stop()
		s, err := push(ctx, b, c, server)
		if at := first.Load(); at != 0 {
			s.First = time.Unix(0, at).Sub(s.started).Seconds()
		} else if err == nil && part < 1 {
			err = fmt.Errorf("no NAR was sent")
		}
		return s, err
	}
}

func pcacheAgain(part float64) runner {
	return again(part, func(ctx context.Context, b *bench, c *closure, s *s3Server) (sample, error) {
		return b.runPcache(ctx, credentialsEnv, b.pushArgs(c, "default", s.address())...)
	})
}

func nixAgain(version string, part float64) runner {
	return again(part, func(ctx context.Context, b *bench, c *closure, s *s3Server) (sample, error) {
		return b.runNix(ctx, *b.nix(version), b.nixCopy(c, s.address())...)
	})
}

// cache is a directory cache with the closure, made once, to pull from.
func (b *bench) cache(ctx context.Context, c *closure) (string, error) {
	if dir := b.caches[c.Dir]; dir != "" {
		return dir, nil
	}
	dir, _, err := b.scratch("filled")
	if err != nil {
		return "", err
	}
	if _, err := b.runPcache(ctx, nil, b.pushArgs(c, "default", "file://"+dir)...); err != nil {
		return "", err
	}
	b.caches[c.Dir] = dir
	return dir, nil
}

func pull(fetch func(ctx context.Context, b *bench, c *closure, from, store string) (sample, error)) runner {
	return func(ctx context.Context, b *bench, c *closure) (sample, error) {
		dir, err := b.cache(ctx, c)
		if err != nil {
			return sample{}, err
		}
		address, stop, err := serveHTTP(dir)
		if err != nil {
			return sample{}, err
		}
		defer stop()
		// It stays until the run has ended: an ext4 without a journal does not
		// use an inode again for some minutes after its file was removed, and
		// looks at each such one for every new file. What is removed between
		// two rounds made the next one take up to twice as long.
		store, _, err := b.scratch("store")
		if err != nil {
			return sample{}, err
		}
		return fetch(ctx, b, c, address, store)
	}
}

var pcachePull = pull(func(ctx context.Context, b *bench, c *closure, from, store string) (sample, error) {
	return b.runPcache(ctx, nil, "pull", "--store", store, "--public-key", b.key.String(), from, string(c.Root))
})

func nixPull(version string) runner {
	return pull(func(ctx context.Context, b *bench, c *closure, from, store string) (sample, error) {
		return b.runNix(ctx, *b.nix(version), "copy", "--from", from, "--to", store, "--option", "trusted-public-keys", b.key.String(), string(c.Root))
	})
}

var copyTree = pull(func(ctx context.Context, _ *bench, c *closure, _, store string) (sample, error) {
	return timed(ctx, os.Environ(), "cp", "-a", filepath.Join(c.Dir, "nix"), store)
})
