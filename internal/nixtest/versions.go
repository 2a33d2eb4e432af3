package nixtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// versionsVariable names the folders of all Nix versions to test with,
// separated as in PATH.
const versionsVariable = "PANTHEROS_NIX_VERSIONS"

// suites are the Debian suites that tools/nix/prepare takes the versions from.
var suites = []string{"bookworm", "trixie", "sid"}

// Version is a Nix to test with.
type Version struct {
	Name string // "2.26.3"
	Bin  string // the folder of its commands
}

// Versions are the versions of Nix that caches and stores are shared with:
// those of $PANTHEROS_NIX_VERSIONS, or those that `make nix-versions` prepares
// beside that of Bin. If one is missing the test fails: it has nothing to say.
func Versions(t testing.TB) []Version {
	t.Helper()
	var bins []string
	if list := os.Getenv(versionsVariable); list != "" {
		bins = filepath.SplitList(list)
	} else {
		base := filepath.Join(Repository(t), ".panther/nix")
		if bin := os.Getenv(binVariable); bin != "" {
			base = filepath.Join(bin, "../..")
		}
		for _, suite := range suites {
			bins = append(bins, filepath.Join(base, suite, "bin"))
		}
	}
	versions := make([]Version, 0, len(bins))
	for _, bin := range bins {
		out, err := exec.Command(filepath.Join(bin, "nix"), "--version").Output()
		if err != nil {
			t.Fatalf("no Nix to test with in %s (%v): run `make nix-versions`, or set %s", bin, err, versionsVariable)
		}
		words := strings.Fields(string(out)) // nix (Nix) 2.26.3
		versions = append(versions, Version{Name: words[len(words)-1], Bin: bin})
	}
	return versions
}

// EachVersion runs a test with each of Versions.
func EachVersion(t *testing.T, test func(t *testing.T, v Version)) {
	t.Helper()
	for _, v := range Versions(t) {
		t.Run(v.Name, func(t *testing.T) { test(t, v) })
	}
}

// Env makes an Env of this version that is removed with the test. The process's
// environment stays as it is.
func (v Version) Env(t testing.TB) *Env {
	t.Helper()
	e := newEnv(t, v.Bin)
	if !v.AtLeast(2, 18) {
		// It cannot build without asking a program for other machines.
		e.Configure("build-hook = " + filepath.Join(v.Bin, "build-remote"))
	}
	return e
}

// AtLeast compares versions by their first two numbers.
func (v Version) AtLeast(major, minor int) bool {
	var got [2]int
	for i, digits := range strings.SplitN(v.Name, ".", 3) {
		if i == len(got) {
			break
		}
		for _, d := range digits {
			if d < '0' || d > '9' {
				break
			}
			got[i] = got[i]*10 + int(d-'0')
		}
	}
	return got[0] > major || got[0] == major && got[1] >= minor
}
