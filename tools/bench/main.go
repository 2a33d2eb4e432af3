// Command bench measures pcache against its peers: Nix's own `nix copy` of
// several versions, nginx, Attic's client, and `cp -a`. It makes its closures
// and servers itself, interleaves the programs that it compares, and prints
// ratios within one run: the figures of two machines, or of a busy one at two
// times, say little.
//
//	go run ./tools/bench --help
//
// `make bench` prepares what it needs and runs it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"gitlab.com/pantheros/pantheros/internal/nix"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills
	if err := run(ctx, os.Args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "bench: "+strings.TrimSpace(err.Error()))
		os.Exit(1)
	}
}

// options of the command line.
type options struct {
	work, pcache, nixes, s3, only string
	store, root                   string
	rounds                        int
	quick, list                   bool
	json, markdown, profiles      string
}

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.work, "work", ".panther/bench", "directory for closures and results, kept; 20 GB are needed")
	f.StringVar(&o.pcache, "pcache", ".panther/bin/pcache", "the pcache to measure")
	f.StringVar(&o.nixes, "nix", os.Getenv("PANTHEROS_NIX_VERSIONS"), "folders of the versions of Nix to compare with, as in PATH")
	f.StringVar(&o.s3, "s3", ".panther/bin", "folder of versitygw and minio; one that is not there is left out")
	f.StringVar(&o.only, "cases", "", "measure these alone, separated by commas (see --list)")
	f.IntVar(&o.rounds, "rounds", 0, "rounds of each case (default: by case, 1 to 4)")
	f.BoolVar(&o.quick, "quick", false, "a fifth of the large closure, one round: a first impression in five minutes")
	f.StringVar(&o.store, "store", "", "use this chroot store instead of the generated large closure; with --root")
	f.StringVar(&o.root, "root", "", "the store path whose closure is used, in --store")
	f.StringVar(&o.json, "json", "", "write all that was measured to this file")
	f.StringVar(&o.markdown, "markdown", "", "write the result as a document to this file")
	f.StringVar(&o.profiles, "profiles", "", "write profiles of pcache's processor time into this directory, and run nothing else")
	f.BoolVar(&o.list, "list", false, "list the cases")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unknown argument %s (see --help)", f.Arg(0))
	}
	if (o.store == "") != (o.root == "") {
		return o, errors.New("--store and --root go together")
	}
	return o, nil
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.list {
		for _, c := range cases {
			fmt.Printf("%-18s %s\n", c.name, c.title)
		}
		return nil
	}
	chosen, err := choose(o.only)
	if err != nil {
		return err
	}
	b, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer b.close()
	result := result{Started: time.Now().UTC().Truncate(time.Second), Machine: describe(b), Quick: o.quick}
	fmt.Printf("%s\nload average %s\n", result.Machine, result.Machine.LoadBefore)
	for _, c := range chosen {
		measured, err := b.measure(ctx, c)
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		result.Cases = append(result.Cases, measured)
		fmt.Print("\n" + measured.text())
		// Now and not at the end: a run that is cut off has measured something.
		result.Machine.LoadAfter = loadAverage()
		result.Seconds = time.Since(result.Started).Seconds()
		if err := result.write(o); err != nil {
			return err
		}
	}
	fmt.Printf("\n%.0f s in all; load average %s\n", result.Seconds, result.Machine.LoadAfter)
	return nil
}

// choose finds cases by their names; a name ending in "*" stands for several.
func choose(only string) ([]benchCase, error) {
	if only == "" {
		return cases, nil
	}
	var chosen []benchCase
	for _, name := range strings.Split(only, ",") {
		found := false
		for _, c := range cases {
			if ok, _ := filepath.Match(name, c.name); ok {
				chosen, found = append(chosen, c), true
			}
		}
		if !found {
			return nil, fmt.Errorf("no case is named %s (see --list)", name)
		}
	}
	return chosen, nil
}

// nixVersion is a Nix to compare with.
type nixVersion struct {
	name string // "2.26"
	bin  string
}

// environ is the environment of a Nix that knows nothing of this machine.
func (n nixVersion) environ(home string) []string {
	return []string{
		"PATH=" + n.bin + ":" + os.Getenv("PATH"),
		"HOME=" + home, "XDG_CACHE_HOME=" + home + "/cache", "NIX_CONF_DIR=" + home + "/conf",
		"NIX_CONFIG=experimental-features = nix-command\nbuild-users-group =\nsubstituters =\nsandbox = false\n",
	}
}

// bench is a run of this program.
type bench struct {
	options
	dir     string // of this run's files, removed at its end
	nixVers []nixVersion
	keyFile string
	key     nix.PublicKey
	closed  []func()

	closures map[string]*closure
	caches   map[string]string // filled for reading
	attic    *atticServer      // filled
}

func prepare(ctx context.Context, o options) (*bench, error) {
	b := &bench{options: o, closures: map[string]*closure{}, caches: map[string]string{}}
	for _, p := range []*string{&b.work, &b.pcache, &b.s3, &b.profiles} {
		if *p == "" {
			continue
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			return nil, err
		}
		*p = abs
	}
	for _, dir := range []string{b.work, b.profiles} {
		if dir == "" {
			continue
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	if _, err := os.Stat(b.pcache); err != nil {
		return nil, fmt.Errorf("no pcache to measure: %v (run `make build`, or name it with --pcache)", err)
	}
	for _, bin := range filepath.SplitList(b.nixes) {
		out, err := exec.CommandContext(ctx, filepath.Join(bin, "nix"), "--version").Output()
		words := strings.Fields(string(out))
		if err != nil || len(words) == 0 {
			return nil, fmt.Errorf("the Nix in %s does not start: %v", bin, err)
		}
		parts := strings.SplitN(words[len(words)-1], ".", 3)
		if len(parts) < 2 {
			return nil, fmt.Errorf("the Nix in %s says its version is %q", bin, out)
		}
		b.nixVers = append(b.nixVers, nixVersion{name: parts[0] + "." + parts[1], bin: bin})
	}
	if len(b.nixVers) == 0 {
		return nil, errors.New("no Nix to compare with: name their folders with --nix (tools/nix/prepare --versions DIR prints them)")
	}
	var err error
	if b.dir, err = os.MkdirTemp(b.work, "run-"); err != nil {
		return nil, err
	}
	secret, err := nix.GenerateKey("bench-1")
	if err != nil {
		return nil, err
	}
	b.key, b.keyFile = secret.Public(), filepath.Join(b.dir, "key")
	return b, os.WriteFile(b.keyFile, []byte(secret.Marshal()), 0o600)
}

func (b *bench) close() {
	for _, f := range slices.Backward(b.closed) {
		f()
	}
	if err := removeTree(b.dir); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
}

// nix finds a version; nil if it is not here.
func (b *bench) nix(name string) *nixVersion {
	for i, n := range b.nixVers {
		if n.name == name {
			return &b.nixVers[i]
		}
	}
	return nil
}

// newest is the last of the versions, which the store is filled with.
func (b *bench) newest() nixVersion { return b.nixVers[len(b.nixVers)-1] }

// closure makes a closure, or takes the one that was named.
func (b *bench) closure(ctx context.Context, s shape) (*closure, error) {
	if s == large && b.quick {
		s = medium
	}
	if c := b.closures[s.Name]; c != nil {
		return c, nil
	}
	var c *closure
	var err error
	if b.store != "" && s.Name != wide.Name {
		c, err = b.given(ctx)
	} else {
		fmt.Fprintf(os.Stderr, "closure %q ... ", s.Name)
		c, err = generate(ctx, b.work, s, b.nixVers[0])
		fmt.Fprintln(os.Stderr, c)
	}
	if err == nil {
		b.closures[s.Name] = c
	}
	return c, err
}

// given is the closure of --root in --store.
func (b *bench) given(ctx context.Context) (*closure, error) {
	dir, err := filepath.Abs(b.store)
	if err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, b.pcache, "push", "--dry-run", "--json", "--unsigned", "--store", dir, "file://"+filepath.Join(b.dir, "none"), b.root).Output()
	if err != nil {
		return nil, fmt.Errorf("read the closure of %s in %s: %v", b.root, dir, err)
	}
	var plan struct {
		Paths []struct {
			Path     nix.StorePath `json:"path"`
			NARBytes int64         `json:"nar_bytes"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(out, &plan); err != nil {
		return nil, err
	}
	c := &closure{Root: nix.StorePath(b.root), Dir: dir}
	for _, p := range plan.Paths {
		c.Paths = append(c.Paths, p.Path)
		c.Bytes += p.NARBytes
	}
	return c, nil
}
