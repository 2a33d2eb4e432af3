package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/nixtest"
)

// Attic's own client pushes to pcache serve, in the order that it likes, and
// sets up a stock Nix that reads what it pushed. It runs where ATTIC names its
// binary.
func TestAtticClient(t *testing.T) {
	client := os.Getenv("ATTIC")
	if client == "" {
		return // there is nothing to run: the protocol's own tests run always
	}
	for _, v := range []struct {
		name   string
		tokens bool
		push   []string
	}{
		{"open", false, nil},
		{"with tokens", true, nil},
		{"with the info before the NAR", true, []string{"--force-preamble"}},
	} {
		t.Run(v.name, func(t *testing.T) { atticClient(t, client, v.tokens, v.push) })
	}
}

func atticClient(t *testing.T, client string, tokens bool, push []string) {
	env := nixtest.New(t)
	path := env.Build(t, `let base = sh "base-1.0" "echo base > $out"; in builtins.foldl' (below: n: sh "step-${n}" "mkdir $out; echo ${below} > $out/below; head -c 300000 /dev/zero > $out/zero; echo ${n} >> $out/zero") base [ "1" "2" "3" "4" "5" "6" "7" "8" ]`)
	s := startServe(t)
	token := "none"
	if tokens {
		file := filepath.Join(t.TempDir(), "tokens")
		made := func(name, rights string) string {
			out, err := exec.Command("pcache", "token", name, "--file", file, "--rights", rights, "--cache", "main").Output()
			if err != nil {
				t.Fatal(err)
			}
			return strings.TrimSpace(string(out))
		}
		token = made("ci", "pull,push")
		reader := made("reader", "pull")
		s = startServe(t, "--tokens", file)
		s.token = token
		if out, err := atticAs(t, client, env, s.endpoint, reader)("push", "serve:main", path); err == nil || !strings.Contains(out, "AccessError") {
			t.Errorf("a push by who may only read: %v\n%s", err, out)
		}
		if out, err := atticAs(t, client, env, s.endpoint, "wrong")("cache", "info", "serve:main"); err == nil || !strings.Contains(out, "Unauthorized") {
			t.Errorf("with a token that is none: %v\n%s", err, out)
		}
	}
	attic := atticAs(t, client, env, s.endpoint, token)
	must := func(args ...string) string {
		t.Helper()
		out, err := attic(args...)
		if err != nil {
			t.Fatalf("attic %v: %v\n%s", args, err, out)
		}
		return out
	}
	if out := must("cache", "info", "serve:main"); !strings.Contains(out, "serve-1:") {
		t.Errorf("cache info:\n%s", out)
	}
	must(append(append([]string{"push"}, push...), "serve:main", path)...)
	if out := must("push", "serve:main", path); !strings.Contains(out, "All done") && !strings.Contains(out, "already cached") {
		t.Errorf("a second push:\n%s", out)
	}
	for _, refused := range []struct {
		want string
		args []string
	}{
		{"CacheAlreadyExists", []string{"cache", "create", "serve:main"}},
		{"AccessError", []string{"cache", "configure", "serve:main", "--priority", "7"}},
		{"AccessError", []string{"cache", "destroy", "--no-confirm", "serve:main"}},
	} {
		if out, err := attic(refused.args...); err == nil || !strings.Contains(out, refused.want) {
			t.Errorf("attic %v: %v\n%s", refused.args, err, out)
		}
	}

	// attic use writes the substituter, its key and the token for Nix.
	must("use", "serve:main")
	home := atticHome(env)
	settings, err := os.ReadFile(filepath.Join(home, "nix/nix.conf"))
	if err != nil || !strings.Contains(string(settings), s.endpoint+"/main") || !strings.Contains(string(settings), "serve-1:") {
		t.Fatalf("attic use: %v\n%s", err, settings)
	}
	var options []string
	for line := range strings.Lines(string(settings)) {
		if name, value, ok := strings.Cut(line, "="); ok {
			options = append(options, "--option", strings.TrimSpace(name), strings.TrimSpace(value))
		}
	}
	other := nixtest.Another(t)
	other.Run(t, "nix", append(append([]string{"copy", "--from", s.endpoint + "/main"}, options...), path)...)
	other.Run(t, "nix-store", "--verify", "--check-contents")
}

func atticHome(env *nixtest.Env) string { return filepath.Join(env.Root, "../attic-home") }

// atticAs runs Attic's client with a token, which no output of it is to hold.
func atticAs(t *testing.T, client string, env *nixtest.Env, endpoint, token string) func(args ...string) (string, error) {
	t.Helper()
	run := func(args ...string) (string, error) {
		cmd := env.Command(client, args...)
		cmd.Env = append(cmd.Env, "XDG_CONFIG_HOME="+atticHome(env), "SHIM_ROOT="+env.Root)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run("login", "serve", endpoint, token); err != nil {
		t.Fatalf("attic login: %v\n%s", err, out)
	}
	return run
}
