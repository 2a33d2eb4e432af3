package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// A cache on a server that speaks Attic's protocol takes the place of one in a
// bucket: the token comes from the environment and goes to pcache alone, the
// server signs.
func TestBuildAllToAttic(t *testing.T) {
	dir := t.TempDir()
	key, err := exec.Command(filepath.Join(programs, "pcache"), "keygen", "server-1").Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	made, err := exec.Command(filepath.Join(programs, "pcache"), "token", "ci", "--rights", "pull,push", "--file", filepath.Join(dir, "tokens")).Output()
	if err != nil {
		t.Fatal(err)
	}
	secret := strings.TrimSpace(string(made))
	server := exec.Command(filepath.Join(programs, "pcache"), "serve", "--listen", "127.0.0.1:0", "--accept-pushes",
		"--secret-key-file", filepath.Join(dir, "key"), "--tokens", filepath.Join(dir, "tokens"), "file://"+filepath.Join(dir, "cache"))
	log, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		_ = server.Wait()
	})
	address := ""
	lines := bufio.NewScanner(log)
	for address == "" && lines.Scan() {
		var said struct{ Msg, Address string }
		if json.Unmarshal(lines.Bytes(), &said) == nil && said.Msg == "listening" {
			address = "attic+http://" + said.Address + "/main"
		}
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for lines.Scan() {
		}
	}()
	t.Cleanup(func() { _ = server.Process.Kill(); <-drained })

	c := newFleet(t)
	refused := c.panther(t, "build-all", "--cache", address).want(t, 1)
	contains(t, refused.stdout+refused.stderr, "a token is needed")

	cmd := c.command(t.Context(), "build-all", "--cache", address)
	cmd.Env = append(cmd.Env, "PCACHE_TOKEN="+secret)
	first := finish(t, cmd).want(t, 0)
	if strings.Contains(first.stdout+first.stderr, secret) {
		t.Error("the token was printed")
	}
	rep := c.report(t)
	if rep.Status != report.Passed || rep.Push == nil || rep.Push.Sent.Paths != 4 {
		t.Errorf("status %s, push %+v", rep.Status, rep.Push)
	}
	if len(rep.Push.PublicKeys) != 1 || !strings.HasPrefix(rep.Push.PublicKeys[0], "server-1:") {
		t.Errorf("signed by %v, and the server signs", rep.Push.PublicKeys)
	}
	if _, err := os.Stat(filepath.Join(c.dir, ".panther/cache-key")); err == nil {
		t.Error("a key was made that nobody needs")
	}
	history := filepath.Join(c.dir, ".panther/history")
	contains(t, first.stdout, "history "+filepath.Join(history, "reports/index.html"))

	// A name of pcache's configuration stands for it just as well.
	config := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(config, []byte("[cache.nightly]\naddress = \""+address+"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd = c.command(t.Context(), "build-all", "--cache", "nightly")
	cmd.Env = append(cmd.Env, "PCACHE_TOKEN="+secret, "PCACHE_CONFIG="+config)
	finish(t, cmd).want(t, 0)
	if rep := c.report(t); rep.Push == nil || rep.Push.Sent.Paths != 0 || len(rep.Push.Paths) != 4 {
		t.Errorf("push %+v", rep.Push)
	}
	if _, err := os.Stat(filepath.Join(c.dir, ".panther/cache-key")); err == nil {
		t.Error("a key was made for a named cache")
	}
	if runs := kept(t, "file://"+history); len(runs) != 3 {
		t.Errorf("%d of three runs are in the history beside the state", len(runs))
	}
}
