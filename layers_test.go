package pantheros_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "gitlab.com/pantheros/pantheros/"

// layers says which packages of the module, and which modules of others, each
// package may import. A package that is not listed here fails the test: it has
// no place yet. Packages of the standard library are free, but for log.
var layers = []struct {
	pkg     string
	own     []string
	foreign []string
}{
	{"pipeline/inventory", nil, []string{"github.com/pelletier/go-toml/v2"}},
	{"pipeline/flake", []string{"pipeline/inventory"}, nil},
	{"pipeline/report", nil, nil},
	{"pipeline/report/page", []string{"pipeline/report", "pipeline/report/trend"}, nil},
	{"pipeline/report/junit", []string{"pipeline/report"}, nil},
	{"pipeline/report/metrics", []string{"pipeline/report"}, nil},
	{"pipeline/report/dotenv", []string{"pipeline/report"}, nil},
	{"pipeline/report/trend", []string{"pipeline/report"}, nil},
	{"pipeline/report/pagetest", nil, []string{"github.com/chromedp/chromedp", "github.com/chromedp/cdproto"}},
	{"pipeline/report/render", []string{"pipeline/report", "pipeline/report/*"}, nil},
	{"pipeline", []string{"pipeline/*", "pipeline/report/trend"}, []string{"golang.org/x/sync"}},

	{"internal/nix", nil, nil},
	{"internal/nix/nar", nil, []string{"golang.org/x/sys"}},
	{"internal/pipe", nil, nil},
	{"internal/blob", nil, nil},
	{"internal/blob/dir", []string{"internal/blob"}, nil},
	{"internal/blob/blobtest", []string{"internal/blob"}, nil},
	{"internal/blob/remote", []string{"internal/blob"}, nil},
	{"internal/blob/s3", []string{"internal/blob", "internal/blob/remote"}, []string{"github.com/minio/minio-go/v7", "golang.org/x/sync"}},
	{"internal/blob/httpread", []string{"internal/blob", "internal/blob/remote"}, nil},
	{"internal/cache", []string{"internal/nix"}, []string{"golang.org/x/sync"}},
	{"internal/nixstore", []string{"internal/nix", "internal/nix/nar", "internal/cache", "internal/pipe"}, []string{"modernc.org/sqlite", "golang.org/x/sys"}},
	{"internal/attic", []string{"internal/nix", "internal/blob/remote", "internal/cache", "internal/binarycache"}, []string{"golang.org/x/sync", "github.com/pelletier/go-toml/v2"}},
	{"internal/attic/api", []string{"internal/attic", "internal/intake", "internal/nix", "internal/token"}, nil},
	{"internal/queue", []string{"internal/nix"}, []string{"golang.org/x/sys"}},
	{"internal/binarycache/lease", []string{"internal/nix", "internal/blob"}, nil},
	{"internal/binarycache", []string{"internal/nix", "internal/nix/nar", "internal/blob", "internal/cache", "internal/pipe", "internal/binarycache/lease"}, []string{"golang.org/x/sync", "github.com/klauspost/compress", "github.com/xi2/xz"}},
	{"internal/binarycache/census", []string{"internal/nix", "internal/blob", "internal/binarycache", "internal/binarycache/lease"}, []string{"golang.org/x/sync"}},
	{"internal/binarycache/gc", []string{"internal/nix", "internal/blob", "internal/binarycache", "internal/binarycache/*"}, []string{"golang.org/x/sync"}},
	{"internal/binarycache/repair", []string{"internal/nix", "internal/blob", "internal/cache", "internal/binarycache", "internal/binarycache/*"}, nil},
	{"internal/binarycache/audit", []string{"internal/nix", "internal/nix/nar", "internal/blob", "internal/cache", "internal/binarycache", "internal/binarycache/*"}, []string{"golang.org/x/sync"}},
	{"internal/journal", []string{"internal/blob"}, nil},
	{"internal/token", nil, nil},
	{"internal/nixconf", nil, nil},
	{"internal/blob/throttle", []string{"internal/blob"}, nil},
	{"internal/mirror", []string{"internal/nix", "internal/binarycache"}, []string{"golang.org/x/sys"}},
	{"internal/substituter", []string{"internal/nix", "internal/blob", "internal/binarycache", "internal/mirror"}, []string{"github.com/prometheus/client_golang", "golang.org/x/sys"}},
	{"internal/intake", []string{"internal/nix", "internal/nix/nar", "internal/blob", "internal/binarycache", "internal/binarycache/lease", "internal/substituter"}, []string{"golang.org/x/sync"}},
	{"internal/webserver", []string{"internal/token"}, []string{"golang.org/x/sys"}},
	{"internal/nixtest", nil, nil},
	{"internal/badnet", nil, nil},
	{"internal/s3test", []string{"internal/nixtest"}, []string{"github.com/minio/minio-go/v7", "golang.org/x/sync"}},

	// Commands may use everything on their own side. pcache prints a section
	// of the report, so it knows the report's types.
	{"cmd/pcache", []string{"internal/*", "internal/*/*", "cmd/pcache/*", "cmd/terminal", "pipeline/report"}, []string{"github.com/coreos/go-systemd/v22", "github.com/prometheus/client_golang", "github.com/spf13/cobra", "golang.org/x/sync", "golang.org/x/term"}},
	{"cmd/pcache/config", []string{"internal/nix", "internal/nixconf", "internal/binarycache", "internal/blob/remote"}, []string{"github.com/pelletier/go-toml/v2"}},
	{"cmd/pcache/e2e", nil, nil}, // tests alone
	{"tools/gitlab", nil, nil},   // tests alone
	{"tools/bench", []string{"internal/nix", "internal/nix/nar", "internal/badnet"}, []string{"github.com/minio/minio-go/v7", "golang.org/x/sync", "golang.org/x/sys"}},
	{"tools/pgo", nil, []string{"github.com/google/pprof"}},
	{"cmd/panther", []string{"pipeline", "pipeline/*", "pipeline/report/*", "cmd/panther/*", "cmd/terminal"}, []string{"github.com/spf13/cobra", "golang.org/x/sys"}},
	{"cmd/terminal", nil, []string{"golang.org/x/sys", "golang.org/x/term"}},
	{"cmd/terminal/terminaltest", nil, []string{"golang.org/x/sys"}},
	{"cmd/panther/trace", []string{"pipeline/report"}, []string{"github.com/go-logr/logr", "go.opentelemetry.io/otel", "go.opentelemetry.io/otel/sdk", "go.opentelemetry.io/otel/trace", "go.opentelemetry.io/otel/exporters/otlp/otlptrace", "go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"}},
	{"cmd/panther/trace/tracetest", nil, []string{"go.opentelemetry.io/proto/otlp", "google.golang.org/protobuf"}},
	{"cmd/panther/local", []string{"pipeline"}, []string{"golang.org/x/sys"}},
}

type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Module     *struct{ Path string }
}

func TestLayers(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-json=ImportPath,Standard,Imports,Module", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := map[string]listed{}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p
	}
	checked := 0
	for importPath, p := range all {
		name, ours := strings.CutPrefix(importPath, module)
		if !ours {
			continue
		}
		i := slices.IndexFunc(layers, func(l struct {
			pkg     string
			own     []string
			foreign []string
		}) bool {
			return l.pkg == name
		})
		if i < 0 {
			t.Errorf("%s has no place in the layers: add it to layers_test.go and ARCHITECTURE.md", name)
			continue
		}
		checked++
		for _, imported := range p.Imports {
			checkImport(t, name, imported, layers[i].own, layers[i].foreign, all)
		}
	}
	if checked < 5 {
		t.Errorf("only %d packages were checked", checked)
	}
}

func checkImport(t *testing.T, name, imported string, own, foreign []string, all map[string]listed) {
	t.Helper()
	if all[imported].Standard {
		if (imported == "log" || imported == "log/slog") && !strings.HasPrefix(name, "cmd/") {
			t.Errorf("%s logs: libraries return errors", name)
		}
		return
	}
	if target, ours := strings.CutPrefix(imported, module); ours {
		if !slices.ContainsFunc(own, func(pattern string) bool { ok, _ := path.Match(pattern, target); return ok }) {
			t.Errorf("%s imports %s, which its layer may not", name, target)
		}
		return
	}
	if m := all[imported].Module; m == nil || !slices.Contains(foreign, m.Path) {
		t.Errorf("%s imports %s, which its layer may not", name, imported)
	}
}
