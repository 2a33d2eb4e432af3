package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/nixtest"
)

// A worker that is killed at random moments, while paths still come, pushes
// every one of them in the end.
func TestKilledQueueIsFinished(t *testing.T) {
	env, paths, key, _ := bigStore(t)
	cache, dir := t.TempDir(), filepath.Join(t.TempDir(), "queue")
	run := func(args ...string) *exec.Cmd {
		cmd := env.Command("pcache", append([]string{"queue", "--queue", dir}, args...)...)
		cmd.Stderr = new(bytes.Buffer)
		return cmd
	}
	add := func(p string) {
		t.Helper()
		cmd := run("hook")
		cmd.Env = append(cmd.Env, "OUT_PATHS="+p)
		if err := cmd.Run(); err != nil || cmd.Stderr.(*bytes.Buffer).Len() > 0 {
			t.Fatalf("hook: %v %s", err, cmd.Stderr)
		}
	}
	r := rand.New(rand.NewPCG(3, 4))
	next := 0
	for range 12 {
		for range 2 {
			add(paths[next])
			next++
		}
		worker := run("run", "--secret-key-file", key, "file://"+cache)
		if err := worker.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(r.IntN(400)) * time.Millisecond)
		_ = worker.Process.Signal(syscall.SIGKILL)
		_ = worker.Wait()
		checkVisible(t, cache)
	}
	if last := run("run", "--once", "--secret-key-file", key, "file://"+cache); last.Run() != nil {
		t.Fatalf("the last worker: %s", last.Stderr)
	}
	if n := checkVisible(t, cache); n != len(paths) {
		t.Errorf("%d of %d paths are in the cache", n, len(paths))
	}
}

// The whole way: Nix calls the hook after each build, a worker pushes what
// comes, and stops within a second when told to.
func TestPostBuildHook(t *testing.T) {
	env := nixtest.New(t)
	exe, err := exec.LookPath("pcache")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	queue, cache, hook := filepath.Join(dir, "queue"), filepath.Join(dir, "cache"), filepath.Join(dir, "hook")
	// The hook runs in the environment that Nix gives it.
	if err := os.Symlink(exe, filepath.Join(dir, "pcache")); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\nexec " + dir + "/pcache queue --queue " + queue + " hook\n"
	if err := os.WriteFile(hook, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	worker := env.Command(filepath.Join(dir, "pcache"), "queue", "--queue", queue, "run", "--unsigned", "file://"+cache)
	var log bytes.Buffer
	worker.Stderr = &log
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	env.Vars = append(env.Vars, "NIX_CONFIG="+nixConfig(env.Vars)+"\npost-build-hook = "+hook)
	path := env.Build(t, hello)
	info := filepath.Join(cache, strings.TrimPrefix(path, "/nix/store/")[:32]+".narinfo")
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(info); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s was built and never came to the cache\n%s", path, log.String())
		}
	}
	told := time.Now()
	if err := worker.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = worker.Wait()
	if took := time.Since(told); took > time.Second || worker.ProcessState.ExitCode() != exitInterrupted {
		t.Errorf("it ended after %s with %d\n%s", took, worker.ProcessState.ExitCode(), log.String())
	}
	if n := checkVisible(t, cache); n != 2 {
		t.Errorf("%d paths in the cache, want 2", n)
	}
}

func nixConfig(vars []string) string {
	for _, v := range vars {
		if config, ok := strings.CutPrefix(v, "NIX_CONFIG="); ok {
			return config
		}
	}
	return ""
}
