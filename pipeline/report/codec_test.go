package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func greenJSON(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile("testdata/green/report.json")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestReadRefuses(t *testing.T) {
	green := greenJSON(t)
	for _, tt := range []struct{ name, old, new, want string }{
		{"other major", `"pantheros.report/1"`, `"pantheros.report/2"`, `schema is "pantheros.report/2", but only "pantheros.report/1" is understood`},
		{"another document", `"pantheros.report/1"`, `"pantheros.push/1"`, `schema is "pantheros.push/1"`},
		{"no schema", `"schema": "pantheros.report/1",`, ``, "no schema named"},
		{"schema of another type", `"pantheros.report/1"`, `1`, "not the expected JSON"},
		{"unknown status", `"status": "passed"`, `"status": "green"`, `unknown status "green"`},
		{"index too large", `"members": [0`, `"members": [99`, "index 99 is outside a list of 16"},
		{"index negative", `"members": [0`, `"members": [-1`, "index -1 is outside"},
		{"index twice", `"members": [0,1`, `"members": [0,0`, "ascending"},
		{"wrong number of members", `"paths": 11`, `"paths": 12`, "says 12 paths but lists 11"},
		{"index of another type", `"members": [0`, `"members": ["0"`, "not the expected JSON"},
		{"negative size", `"nar_bytes": 20480`, `"nar_bytes": -20480`, "is no size"},
		{"huge size", `"nar_bytes": 20480`, `"nar_bytes": 9223372036854775807`, "is no size"},
		{"size beyond int64", `"nar_bytes": 20480`, `"nar_bytes": 1e30`, "not the expected JSON"},
		{"negative seconds", `"seconds": 8`, `"seconds": -8`, "is no number of seconds"},
		{"hosts out of order", `"name": "desktop"`, `"name": "zzz"`, "sorted by name"},
		{"host without a name", `"name": "desktop"`, `"name": ""`, "has no name"},
		{"no store path", `"path": "/nix/store/`, `"path": "/etc/passwd`, "is no store path"},
		{"relative store path", `"path": "/nix/store/`, `"path": "nix/store/`, "is no store path"},
		{"truncated", green[len(green)/2:], "", "not the expected JSON"},
		{"trailing data", "\n}\n", "\n}\n{}", "not the expected JSON"},
		{"not JSON", green, "<html>404</html>", "not the expected JSON"},
		{"empty", green, " \n", "it is empty"},
		{"a list", green, "[]", "not the expected JSON"},
		{"null", green, "null", "no schema named"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.Contains(green, tt.old) {
				t.Fatalf("the golden report has no %q", tt.old)
			}
			_, err := Read(strings.NewReader(strings.Replace(green, tt.old, tt.new, 1)))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q in it", err, tt.want)
			}
			if strings.Contains(err.Error(), "\n") || len(err.Error()) > 400 {
				t.Errorf("not one clear line: %q", err)
			}
		})
	}
}

func TestReadIgnoresUnknownFields(t *testing.T) {
	in := `{"future": {"a": [1, null]}, "schema": "pantheros.report/1", "status": "passed", "hosts": [{"name": "a", "status": "passed", "colour": "red"}]}`
	r, err := Read(strings.NewReader(in))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Hosts) != 1 || r.Paths == nil || r.Checks == nil || r.Hosts[0].Steps == nil {
		t.Errorf("%+v", r)
	}
}

func TestReadBounds(t *testing.T) {
	if _, err := readAll(strings.NewReader("12345"), 5); err != nil {
		t.Errorf("at the bound: %v", err)
	}
	if _, err := readAll(strings.NewReader("123456"), 5); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("beyond the bound: %v", err)
	}
	for _, element := range []string{"{}", "null"} {
		in := `{"schema":"pantheros.report/1","status":"passed","hosts":[` + strings.Repeat(element+",", maxObjects) + element + `]}`
		if _, err := Read(strings.NewReader(in)); err == nil || !strings.Contains(err.Error(), "objects") {
			t.Errorf("too many %s: %v", element, err)
		}
	}
	// What stands in a string is no object.
	in := `{"schema":"pantheros.report/1","status":"passed","x":"` + strings.Repeat(`{n\"`, maxObjects) + `"}`
	if _, err := Read(strings.NewReader(in)); err != nil {
		t.Errorf("braces in a string: %v", err)
	}
	if _, err := Read(strings.NewReader(strings.Repeat("[", 1_000_000))); err == nil {
		t.Error("deep nesting was read")
	}
}

func TestReadPushRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*Push)
		want string
	}{
		{"valid", func(*Push) {}, ""},
		{"schema", func(p *Push) { p.Schema = Schema }, `schema is "pantheros.report/1"`},
		{"status", func(p *Push) { p.Status = "" }, "unknown status"},
		{"root index", func(p *Push) { p.Paths[0].Roots = []int{4} }, "index 4 is outside a list of 4"},
		{"negative root index", func(p *Push) { p.Paths[0].Roots = []int{-1} }, "index -1 is outside"},
		{"roots out of order", func(p *Push) { p.Paths[0].Roots = []int{1, 0} }, "ascending"},
		{"paths out of order", func(p *Push) { p.Paths[0], p.Paths[1] = p.Paths[1], p.Paths[0] }, "sorted"},
		{"path twice", func(p *Push) { p.Paths[1].Path = p.Paths[0].Path }, "each once"},
		{"path", func(p *Push) { p.Paths[0].Path = "/nix/store/x\n" }, "is no store path"},
		{"root path", func(p *Push) { p.Roots[2].Path = "yoga" }, "roots[2]"},
		{"root size", func(p *Push) { p.Roots[2].NARBytes = -1 }, "is no size"},
		{"root paths", func(p *Push) { p.Roots[2].Paths = -1 }, "negative number of paths"},
		{"root sent", func(p *Push) { p.Roots[2].Sent.Paths = -1 }, "roots[2].sent"},
		{"size", func(p *Push) { p.Paths[0].NARBytes = -1 }, "is no size"},
		{"file size", func(p *Push) { p.Paths[0].FileBytes = -1 }, "is no size"},
		{"sent", func(p *Push) { p.Sent.FileBytes = -1 }, "sent"},
		{"skipped", func(p *Push) { p.Skipped = map[string]Count{"x": {Paths: -1}} }, `skipped["x"]`},
		{"seconds", func(p *Push) { p.PlanSeconds = -1 }, "is no number of seconds"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := pushOf(closures(), everything, allHosts...)
			tt.edit(p)
			got, err := ReadPush(marshal(t, p))
			switch {
			case tt.want == "" && err != nil:
				t.Fatal(err)
			case tt.want == "":
				if diff := cmp.Diff(p, got); diff != "" {
					t.Errorf("-written +read:\n%s", diff)
				}
			case err == nil || !strings.Contains(err.Error(), tt.want):
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestWriteRefusesInvalid(t *testing.T) {
	r := greenRun(t)
	r.Hosts[0].Closure.Members[0] = 1 << 20
	dir := t.TempDir()
	if err := r.WriteFiles(dir); err == nil || !strings.Contains(err.Error(), "outside") {
		t.Errorf("error %v", err)
	}
	wantFiles(t, dir)
}

func TestWriteFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out", "report")
	first := interruptedRun(t)
	if err := first.WriteFiles(dir); err != nil {
		t.Fatal(err)
	}
	r := greenRun(t)
	if err := r.WriteFiles(dir); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, dir, JSONFile, MarkdownFile)
	back, err := ReadFile(filepath.Join(dir, JSONFile))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&r, back); diff != "" {
		t.Errorf("-written +read:\n%s", diff)
	}
	wantJSON, wantMD, _ := render(t, &r)
	for name, want := range map[string]string{JSONFile: wantJSON, MarkdownFile: wantMD} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != want {
			t.Errorf("%s: %v, or other content", name, err)
		}
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("%s: %v, %v", name, err, info.Mode())
		}
	}
}

func TestWriteFilesFails(t *testing.T) {
	r := greenRun(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteFiles(filepath.Join(file, "sub")); err == nil {
		t.Error("wrote below a file")
	}
	// A directory in the way of report.md: nothing temporary may stay.
	out := filepath.Join(dir, "out")
	if err := os.MkdirAll(filepath.Join(out, MarkdownFile, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteFiles(out); err == nil || !strings.Contains(err.Error(), MarkdownFile) {
		t.Errorf("error %v", err)
	}
	wantFiles(t, out, JSONFile, MarkdownFile)
}

func TestReadFileMissing(t *testing.T) {
	_, err := ReadFile(filepath.Join(t.TempDir(), "none.json"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	broken := filepath.Join(t.TempDir(), "broken.json")
	if err := os.WriteFile(broken, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(broken); err == nil || !strings.Contains(err.Error(), broken) {
		t.Errorf("error %v does not name the file", err)
	}
}

func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files in the directory (-want +got):\n%s", diff)
	}
}

func marshal(t tester, p *Push) []byte {
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func FuzzRead(f *testing.F) {
	files, err := filepath.Glob("testdata/*/report.json")
	if err != nil || len(files) == 0 {
		f.Fatal(err, files)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		text, md, table := render(t, r)
		checkText(t, md)
		checkText(t, table)
		checkMarkdown(t, md)
		back, err := Read(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, back); diff != "" {
			t.Errorf("-written +read:\n%s", diff)
		}
		mustCompare(t, r, back)
		render(t, back)
	})
}

func FuzzReadPush(f *testing.F) {
	f.Add(marshal(f, pushOf(closures(), everything, allHosts...)))
	f.Add(marshal(f, pushOf(closures(), nothing, "yoga")))
	f.Add([]byte(`{"schema":"pantheros.push/1","status":"failed","error":"x"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ReadPush(data)
		if err != nil {
			return
		}
		b := NewBuilder(Run{Inputs: "real"}, fleet...)
		for h, c := range closures() {
			b.SetToplevel(h, c[0].path())
		}
		mustPush(t, b, p)
		r := b.Finish(newClock().t)
		if err := r.Validate(); err != nil {
			t.Fatal(err)
		}
		_, md, table := render(t, &r)
		checkText(t, table)
		checkMarkdown(t, md)
	})
}
