package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nixtest"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// bigStore adds paths that take a second or two to compress.
func bigStore(t *testing.T) (env *nixtest.Env, paths []string, key, publicKey string) {
	t.Helper()
	env = nixtest.New(t)
	words := make([]string, 5000)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range words {
		words[i] = fmt.Sprintf("%x ", r.Uint64()>>(r.UintN(60)))
	}
	var trees []string
	for i := range 24 {
		var text strings.Builder
		for range 90_000 {
			text.WriteString(words[r.IntN(len(words))])
		}
		file := filepath.Join(t.TempDir(), fmt.Sprintf("data-%d", i))
		if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		trees = append(trees, file)
	}
	paths = strings.Fields(env.Run(t, "nix-store", append([]string{"--add"}, trees...)...))
	secret, err := nix.GenerateKey("kill-1")
	if err != nil {
		t.Fatal(err)
	}
	key = filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(secret.Marshal()), 0o600); err != nil {
		t.Fatal(err)
	}
	return env, paths, key, secret.Public().String()
}

// checkVisible fails if a narinfo of the cache has no whole NAR.
func checkVisible(t *testing.T, dir string) int {
	t.Helper()
	files, err := filepath.Glob(dir + "/*.narinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n, err := nix.ParseNARInfo(nix.DefaultStoreDir, data)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if info, err := os.Stat(filepath.Join(dir, n.URL)); err != nil || info.Size() != n.FileSize {
			t.Errorf("%s is visible without its whole NAR: %v", n.Path, err)
		}
	}
	return len(files)
}

// Killed at random moments, a push leaves a cache in which all that is visible
// is whole; each further push goes on where the last one was.
func TestKilledPushesAreFinished(t *testing.T) {
	env, paths, key, public := bigStore(t)
	dir := t.TempDir()
	args := append([]string{"push", "--compression", "best", "--secret-key-file", key, "--json", "file://" + dir}, paths...)
	killed, visible := 0, 0
	var sent []int
	for len(sent) == 0 {
		cmd := exec.Command("pcache", args...)
		var out strings.Builder
		cmd.Stdout = &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Later rounds get longer, so that the last one can end.
		kill := time.AfterFunc(time.Duration(20+rand.IntN(150+40*killed))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		kill.Stop()
		now := checkVisible(t, dir)
		if now < visible {
			t.Fatalf("%d paths were visible, now %d", visible, now)
		}
		visible = now
		if err != nil {
			if killed++; killed > 500 {
				t.Fatal("it never ends")
			}
			continue
		}
		var p report.Push
		if err := json.Unmarshal([]byte(out.String()), &p); err != nil {
			t.Fatal(err)
		}
		sent = append(sent, p.Sent.Paths)
	}
	t.Logf("killed %d times; the last push sent %d of %d paths", killed, sent[0], len(paths))
	if killed < 3 || sent[0] == len(paths) {
		t.Errorf("killed %d times, and the last push sent %d: nothing was resumed", killed, sent[0])
	}
	other := nixtest.Another(t)
	other.Run(t, "nix", append([]string{"copy", "--from", "file://" + dir, "--option", "trusted-public-keys", public}, paths...)...)
	other.Run(t, "nix-store", "--verify", "--check-contents")
	_ = env
}

// The first signal ends a push within a second, and nothing half-written stays.
func TestInterruptedPush(t *testing.T) {
	_, paths, key, _ := bigStore(t)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		dir := t.TempDir()
		cmd := exec.Command("pcache", append([]string{"push", "--compression", "best", "--secret-key-file", key, "--json", "--root", "r", "file://" + dir}, paths...)...)
		var out, errs strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(20 * time.Second)
		for checkVisible(t, dir) == 0 && time.Now().Before(deadline) {
			time.Sleep(5 * time.Millisecond)
		}
		sent := time.Now()
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if took := time.Since(sent); took > time.Second || cmd.ProcessState.ExitCode() != exitInterrupted {
			t.Errorf("%v: exit code %d after %v", sig, cmd.ProcessState.ExitCode(), took)
		}
		if !strings.Contains(errs.String(), "interrupted; running it again does the rest") {
			t.Errorf("%v: stderr %q", sig, errs.String())
		}
		if left, _ := os.ReadDir(dir + "/.tmp"); len(left) != 0 {
			t.Errorf("%v: left %v", sig, left)
		}
		if roots, _ := os.ReadDir(dir + "/roots"); len(roots) != 0 {
			t.Errorf("%v: a manifest was written", sig)
		}
		var p report.Push
		if err := json.Unmarshal([]byte(out.String()), &p); err != nil || p.Status != report.Interrupted {
			t.Errorf("%v: status %q, %v", sig, p.Status, err)
		}
	}
}
