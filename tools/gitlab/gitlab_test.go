// Package gitlab tests .gitlab-ci.yml and the scripts that its jobs run.
package gitlab

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

const root = "../.."

// TestPipelines has gitlab-ci-local, which holds the file to GitLab's own schema,
// say which jobs a pipeline of each kind has.
func TestPipelines(t *testing.T) {
	clone := checkout(t)
	write(t, clone+"/changed.go", "package changed\n")
	git(t, clone, "add", "-A")
	git(t, clone, "-c", "user.name=a", "-c", "user.email=a@localhost", "commit", "-q", "-m", "a change")
	for _, p := range []struct{ name, source, schedule, engine, jobs string }{
		{"merge request", "merge_request_event", "", "", "test check preview"},
		{"default branch", "push", "", "", "test ship pages"},
		{"nightly", "schedule", "nightly", "", "update nightly warm gc pages nightly-failed"},
		{"weekly", "schedule", "weekly", "", "update preview propose"},
		{"nightly on Kubernetes", "schedule", "nightly", "kubernetes", "update nightly warm gc pages nightly-failed"},
		{"another schedule", "schedule", "", "", ""},
	} {
		t.Run(p.name, func(t *testing.T) {
			out, err := local(t, clone, "--list-csv", "--variable", "CI_PIPELINE_SOURCE="+p.source,
				"--variable", "PANTHEROS_SCHEDULE="+p.schedule, "--variable", "PANTHEROS_ENGINE="+p.engine)
			if err != nil || !strings.Contains(out, "json schema validated") {
				t.Fatalf("%v: %s", err, out)
			}
			_, rows, _ := strings.Cut(out, "name;description;")
			var jobs []string
			for i, row := range strings.Split(strings.TrimSpace(rows), "\n") {
				if i > 0 {
					jobs = append(jobs, row[:strings.IndexByte(row, ';')])
				}
			}
			if got := strings.Join(jobs, " "); got != p.jobs {
				t.Errorf("jobs %s, want %s", got, p.jobs)
			}
		})
	}
}

// TestSchema: what GitLab would refuse is refused here.
func TestSchema(t *testing.T) {
	clone := checkout(t)
	file := filepath.Join(clone, ".gitlab-ci.yml")
	good := read(t, file)
	for _, change := range [][2]string{
		{"interruptible: true", "interruptible: sometimes"},
		{"[runner_system_failure, ", "[the_moon, "},
		{"      junit: ", "      jnuit: "},
	} {
		bad := strings.Replace(good, change[0], change[1], 1)
		if bad == good {
			t.Fatalf("%q is not in the file", change[0])
		}
		write(t, file, bad)
		if out, err := local(t, clone, "--list-csv", "--variable", "CI_PIPELINE_SOURCE=push"); err == nil {
			t.Errorf("%q was taken:\n%s", change[1], out)
		}
	}
}

// TestFunctions: what jobs call is there, with those arguments.
func TestFunctions(t *testing.T) {
	functions := moduleFunctions(t)
	call := regexp.MustCompile(`tools/gitlab/call (?:--push )?([a-z-]+)([^\n]*)`)
	calls := call.FindAllStringSubmatch(read(t, root+"/.gitlab-ci.yml"), -1)
	if len(calls) < 4 {
		t.Fatalf("only %d calls are in .gitlab-ci.yml", len(calls))
	}
	for _, c := range calls {
		arguments, ok := functions[c[1]]
		if !ok {
			t.Errorf("%s: the module has no function %s", c[0], c[1])
		}
		for _, flag := range regexp.MustCompile(`--([a-z-]+)`).FindAllStringSubmatch(c[2], -1) {
			if !arguments[flag[1]] {
				t.Errorf("%s: %s has no argument %s", c[0], c[1], flag[1])
			}
		}
	}
	for _, flag := range regexp.MustCompile(`(?m)^\s*(?:.*; do )?setting ([a-z0-9-]+) `).FindAllStringSubmatch(read(t, "call"), -1) {
		if !functions[""][flag[1]] {
			t.Errorf("tools/gitlab/call: the module has no setting %s", flag[1])
		}
	}
	for _, flag := range []string{"run", "previous", "no-push"} {
		if !functions["build-all"][flag] {
			t.Errorf("tools/gitlab/build: build-all has no argument %s", flag)
		}
	}
}

// moduleFunctions are the functions of the Dagger module and their arguments, as
// the command line has them. The settings have the name "".
func moduleFunctions(t *testing.T) map[string]map[string]bool {
	t.Helper()
	functions := map[string]map[string]bool{}
	packages, err := filepath.Glob(root + "/ci/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range packages {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() || f.Recv == nil && f.Name.Name != "New" {
				continue
			}
			arguments := map[string]bool{}
			for _, field := range f.Type.Params.List {
				for _, n := range field.Names {
					arguments[kebab(n.Name)] = true
				}
			}
			functions[strings.TrimPrefix(kebab(f.Name.Name), "new")] = arguments
		}
	}
	return functions
}

var capital = regexp.MustCompile(`([a-z0-9])([A-Z])`)

func kebab(s string) string { return strings.ToLower(capital.ReplaceAllString(s, "$1-$2")) }

// TestCallArguments looks at what the scripts give to the dagger command.
func TestCallArguments(t *testing.T) {
	clone := checkout(t)
	bin := t.TempDir()
	write(t, bin+"/dagger", "#!/bin/sh\nfor a; do printf '%s\\n' \"$a\"; done\n")
	if err := os.Chmod(bin+"/dagger", 0o755); err != nil {
		t.Fatal(err)
	}
	env := []string{
		"PATH=" + bin + ":" + os.Getenv("PATH"), "PANTHEROS_INPUTS=real", "PANTHEROS_BUILDERS=ssh://a x86_64-linux ; ssh://b * $(id)",
		"PANTHEROS_BUILDER_KEY=/tmp/builder", "PANTHEROS_BUILDER_KNOWN_HOSTS=/tmp/known_hosts",
		"PANTHEROS_SUBSTITUTERS=https://a https://b", "PANTHEROS_CACHE=s3://bucket?region=x", "PANTHEROS_SIGNING_KEY=/tmp/key",
		"AWS_ACCESS_KEY_ID=hunter2", "AWS_SECRET_ACCESS_KEY=hunter2", "PCACHE_TOKEN=hunter2", "PANTHEROS_ID_TOKEN=hunter2",
		"CI_JOB_ID=7", "CI_COMMIT_SHA=abc",
	}
	const settings = "call\n--progress=plain\n--inputs=real\n--builders=ssh://a x86_64-linux ; ssh://b * $(id)\n" +
		"--builder-key=file:/tmp/builder\n--builder-known-hosts=/tmp/known_hosts\n--commit=abc\n--substituters=https://a\n--substituters=https://b\n"
	const keys = "--aws-access-key-id=env:AWS_ACCESS_KEY_ID\n--aws-secret-access-key=env:AWS_SECRET_ACCESS_KEY\n"
	const role = "--aws-role-arn=arn:aws:iam::1:role/x\n--aws-web-identity-token=env:PANTHEROS_ID_TOKEN\n"
	const cache, token = "--cache=s3://bucket?region=x\n--signing-key=file:/tmp/key\n", "--attic-token=env:PCACHE_TOKEN\n"
	write(t, clone+"/out/previous/report.json", "{}")
	for _, c := range []struct {
		command string
		env     []string
		want    string
	}{
		{"tools/gitlab/call check --hosts=a", nil, settings + "check\n--hosts=a\n"},
		{"tools/gitlab/call --push warm", nil, settings + cache + keys + token + "warm\n"},
		{"tools/gitlab/call --push warm", []string{"AWS_ROLE_ARN=arn:aws:iam::1:role/x"}, settings + cache + role + token + "warm\n"},
		{"tools/gitlab/build --no-push", nil, settings + "build-all\n--run=job-7\n--no-push\n--previous=out/previous/report.json\ndirectory\n--path=report\n-o\nout/report\n"},
		{"tools/gitlab/build", nil, settings + cache + keys + token + "build-all\n--run=job-7\n--previous=out/previous/report.json\ndirectory\n--path=report\n-o\nout/report\n"},
		{"tools/gitlab/report out", nil, settings + "report\n--run=job-7\ndirectory\n--path=report\n-o\nout/report\n"},
	} {
		out, err := script(clone, append(env, c.env...), c.command)
		if err != nil || out != c.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", c.command, err, out, c.want)
		}
	}
	if out, err := script(clone, append(env, "AWS_ROLE_ARN=x", "PANTHEROS_ID_TOKEN="), "tools/gitlab/call --push warm"); err == nil {
		t.Errorf("a role without a token: %s", out)
	}
}

const botToken = "hunter2"

// gitlab answers the requests that the scripts make as GitLab's REST API documents
// them, with a real git server for the repository.
type gitlab struct {
	mu      sync.Mutex
	objects map[string][]map[string]any // merge requests and issues by collection
	notes   []string
	report  string
	git     http.Handler
}

func (g *gitlab) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if strings.HasPrefix(r.URL.Path, "/group/fleet.git/") {
		if user, password, _ := r.BasicAuth(); user != "oauth2" || password != botToken {
			w.Header().Set("WWW-Authenticate", `Basic realm="GitLab"`)
			http.Error(w, "HTTP Basic: Access denied", http.StatusUnauthorized)
			return
		}
		g.git.ServeHTTP(w, r)
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/api/v4/projects/1/")
	if !ok || r.Header.Get("PRIVATE-TOKEN") != botToken {
		http.Error(w, `{"message":"401 Unauthorized"}`, http.StatusUnauthorized)
		return
	}
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	collection, rest, _ := strings.Cut(path, "/")
	switch {
	case path == "jobs/artifacts/main/raw/out/report/report.json" && g.report != "":
		fmt.Fprint(w, g.report)
	case path == "repository/compare":
		diffs := []string{}
		if r.Form.Get("from") == "main" && r.Form.Get("to") != "same" {
			diffs = append(diffs, "flake.lock")
		}
		answer(w, map[string]any{"diffs": diffs})
	case collection != "issues" && collection != "merge_requests":
		http.Error(w, `{"message":"404 Not Found"}`, http.StatusNotFound)
	case r.Method == http.MethodGet:
		found := []map[string]any{}
		for _, o := range g.objects[collection] {
			if b := r.Form.Get("source_branch"); b == "" || o["source_branch"] == b {
				found = append(found, o)
			}
		}
		answer(w, found)
	case r.Method == http.MethodPost && strings.HasSuffix(rest, "/notes"):
		g.notes = append(g.notes, r.Form.Get("body"))
		answer(w, map[string]any{"id": 1})
	case r.Method == http.MethodPost:
		o := map[string]any{"iid": len(g.objects[collection]) + 3, "web_url": "http://gitlab/" + collection}
		for k := range r.PostForm {
			o[k] = r.PostForm.Get(k)
		}
		g.objects[collection] = append(g.objects[collection], o)
		w.WriteHeader(http.StatusCreated)
		answer(w, o)
	case r.Method == http.MethodPut:
		for _, o := range g.objects[collection] {
			if fmt.Sprint(o["iid"]) == rest {
				o["description"] = r.PostForm.Get("description")
				answer(w, o)
			}
		}
	}
}

func answer(w http.ResponseWriter, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// TestAPI has the script push a branch to a real git server, and propose, report
// and compare.
func TestAPI(t *testing.T) {
	clone := checkout(t)
	write(t, clone+"/note.md", "# Fleet\n\"quoted\" & 100% `$(id)`\n")
	g := &gitlab{objects: map[string][]map[string]any{}, git: gitServer(t, clone)}
	server := httptest.NewServer(g)
	defer server.Close()
	env := []string{
		"PATH=" + os.Getenv("PATH"), "CI_API_V4_URL=" + server.URL + "/api/v4", "CI_PROJECT_ID=1", "CI_PROJECT_URL=" + server.URL + "/group/fleet",
		"CI_DEFAULT_BRANCH=main", "CI_PIPELINE_URL=http://gitlab/pipelines/9", "PANTHEROS_BOT_TOKEN=" + botToken, "HOME=" + t.TempDir(),
	}
	run := func(command string, more ...string) string {
		t.Helper()
		out, err := script(clone, append(env, more...), "tools/gitlab/api "+command)
		if err != nil {
			t.Fatalf("%s: %v: %s", command, err, out)
		}
		if strings.Contains(out, botToken) {
			t.Fatalf("%s printed the token: %s", command, out)
		}
		return out
	}

	run("previous out/previous/report.json")
	if _, err := os.Stat(clone + "/out/previous/report.json"); err == nil {
		t.Error("a report came from nowhere")
	}
	g.report = `{"schema":"pantheros.report/1"}`
	run("previous out/previous/report.json")
	if got := read(t, clone+"/out/previous/report.json"); got != g.report {
		t.Errorf("the previous report is %q", got)
	}
	g.report = "<html>sign in</html>"
	run("previous out/previous/report.json")
	if _, err := os.Stat(clone + "/out/previous/report.json"); err == nil {
		t.Error("a login page was taken for a report")
	}

	for _, content := range []string{"first", "second"} {
		write(t, clone+"/flake-src/flake.lock", content)
		run(`branch inputs/weekly "flake.lock as of today" flake-src/flake.lock`)
		if got := git(t, clone, "--git-dir=../origin.git", "show", "inputs/weekly:flake-src/flake.lock"); got != content {
			t.Errorf("flake.lock on the branch is %q", got)
		}
		if got := git(t, clone, "--git-dir=../origin.git", "diff", "--name-only", "main", "inputs/weekly"); got != "flake-src/flake.lock\n" {
			t.Errorf("the branch changes %q", got)
		}
	}
	if got := git(t, clone, "status", "--porcelain", "--untracked-files=no"); got != "" {
		t.Errorf("the checkout was changed: %s", got)
	}

	for range 2 {
		run(`merge-request inputs/weekly "Update the flake's inputs" note.md`)
		run(`issue "The nightly build failed" note.md`)
	}
	run(`merge-request same "None" note.md`)
	mr, issues := g.objects["merge_requests"], g.objects["issues"]
	want := read(t, clone+"/note.md") + "\n\nPipeline: http://gitlab/pipelines/9\n"
	if len(mr) != 1 || mr[0]["description"] != want || mr[0]["target_branch"] != "main" || mr[0]["title"] != "Update the flake's inputs" {
		t.Errorf("merge requests %v", mr)
	}
	if len(issues) != 1 || issues[0]["description"] != want || len(g.notes) != 1 || g.notes[0] != want {
		t.Errorf("issues %v, notes %q", issues, g.notes)
	}

	for command, says := range map[string]string{
		`branch x y note.md`:          "write_repository",
		`issue "Title" note.md`:       "scope api",
		`merge-request x "y" note.md`: "scope api",
	} {
		out, err := script(clone, append(env, "PANTHEROS_BOT_TOKEN=wrong"), "tools/gitlab/api "+command)
		if err == nil || !strings.Contains(out, says) {
			t.Errorf("%s with a wrong token: %v: %s", command, err, out)
		}
		out, err = script(clone, append(env, "PANTHEROS_BOT_TOKEN="), "tools/gitlab/api "+command)
		if err == nil || !strings.Contains(out, "PANTHEROS_BOT_TOKEN is not set") {
			t.Errorf("%s without a token: %v: %s", command, err, out)
		}
	}
}

// gitServer serves the origin of a clone as git's own CGI program does.
func gitServer(t *testing.T, clone string) http.Handler {
	t.Helper()
	return &cgi.Handler{
		Path: "/bin/sh", Args: []string{"-c", "exec git http-backend"}, Root: "/group/fleet.git",
		Env: []string{
			"GIT_PROJECT_ROOT=" + filepath.Join(filepath.Dir(clone), "origin.git"), "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=bot",
			"PATH=" + os.Getenv("PATH"),
		},
	}
}

// checkout is a clone of a repository with the pipeline's files, and a branch on
// its origin.
func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	clone := filepath.Join(dir, "fleet")
	for _, name := range []string{".gitlab-ci.yml", ".gitlab", "tools/gitlab"} {
		to := filepath.Join(clone, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("cp", "-R", filepath.Join(root, name), to).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	git(t, dir, "init", "-q", "--bare", "-b", "main", "origin.git")
	git(t, dir, "init", "-q", "-b", "main", "fleet")
	git(t, clone, "add", "-A")
	git(t, clone, "-c", "user.name=a", "-c", "user.email=a@localhost", "commit", "-q", "-m", "a commit")
	git(t, clone, "remote", "add", "origin", "../origin.git")
	git(t, clone, "push", "-q", "origin", "main")
	git(t, clone, "remote", "set-head", "origin", "main")
	return clone
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// local runs gitlab-ci-local, with nothing of this machine's settings.
func local(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	program := os.Getenv("PANTHEROS_GITLAB_CI_LOCAL")
	if program == "" {
		t.Fatal("PANTHEROS_GITLAB_CI_LOCAL does not name gitlab-ci-local; run the tests with make test, or PANTHEROS_GITLAB_CI_LOCAL=$(tools/gitlab/prepare .panther/gitlab)")
	}
	cmd := exec.Command(program, append([]string{"--home", t.TempDir()}, args...)...)
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "NO_COLOR=1"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// script runs a command line of a job.
func script(dir string, env []string, line string) (string, error) {
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
