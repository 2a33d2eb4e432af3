package pantheros_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestModuleVersions holds the Dagger module, a Go module of its own, to this
// module's versions: it compiles the same pipeline.
func TestModuleVersions(t *testing.T) {
	ours := requirements(t, "go.mod")
	var mend []string
	for path, version := range requirements(t, "ci/go.mod") {
		if want, both := ours[path]; both && want != version {
			mend = append(mend, "-require="+path+"@"+want)
		}
	}
	if slices.Sort(mend); len(mend) > 0 {
		t.Errorf("ci/go.mod has other versions than go.mod; run: go mod edit %s ci/go.mod", strings.Join(mend, " "))
	}
}

func requirements(t *testing.T, file string) map[string]string {
	t.Helper()
	text, err := exec.Command("go", "mod", "edit", "-json", file).Output()
	if err != nil {
		t.Fatalf("reading %s: %v", file, err)
	}
	var mod struct {
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal(text, &mod); err != nil {
		t.Fatalf("reading %s: %v", file, err)
	}
	versions := map[string]string{}
	for _, r := range mod.Require {
		versions[r.Path] = r.Version
	}
	return versions
}
