package local

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"gitlab.com/pantheros/pantheros/pipeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sh(script string) []string { return []string{"sh", "-c", script} }

func newShell(t *testing.T) *Shell {
	t.Helper()
	return &Shell{Env: []string{"PATH=/usr/bin:/bin", "WHO=parent"}, Path: []string{"/usr/bin", "/bin"}, Dir: t.TempDir()}
}

func TestShellRun(t *testing.T) {
	s := newShell(t)
	var lines []string
	out, err := s.Run(t.Context(), pipeline.Command{
		Argv:     sh(`echo "$WHO $MORE $PWD"; echo one >&2; printf 'two\n\nthree' >&2; exit 3`),
		Env:      []string{"MORE=child"},
		OnStderr: func(line string) { lines = append(lines, line) },
	})
	if err != nil {
		t.Fatal(err)
	}
	want := pipeline.Output{ExitCode: 3, Stdout: []byte("parent child " + s.Dir + "\n"), Stderr: []byte("one\ntwo\n\nthree")}
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"one", "two", "three"}, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

// Nothing of this process's environment reaches a child unless it is given.
func TestShellEnvironment(t *testing.T) {
	t.Setenv("PANTHER_TEST_SECRET", "hunter2")
	out, err := newShell(t).Run(t.Context(), pipeline.Command{Argv: []string{"env"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(out.Stdout); got != "PATH=/usr/bin:/bin\nWHO=parent\n" {
		t.Errorf("environment %q", got)
	}
}

func TestShellErrors(t *testing.T) {
	s := newShell(t)
	if err := os.WriteFile(filepath.Join(s.Dir, "not-a-program"), []byte("\x00"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		argv []string
		want string
	}{
		"no program":      {nil, "no program to run"},
		"not found":       {[]string{"no-such-program"}, "no-such-program was not found"},
		"not in the path": {[]string{"mkfs"}, "mkfs was not found"},
		"cannot start":    {[]string{filepath.Join(s.Dir, "not-a-program")}, "starting "},
		"ended by signal": {sh("kill -SEGV $$"), "sh was ended: signal: segmentation fault"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Run(t.Context(), pipeline.Command{Argv: tt.argv})
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// Whatever a program does about SIGINT, it and its children are gone within a
// second, and what it printed until then is there.
func TestShellCancel(t *testing.T) {
	cause := errors.New("enough")
	for name, script := range map[string]string{
		"obeys":                  `trap 'echo bye; exit 1' INT; echo $$; echo ready >&2; sleep 60 & wait`,
		"ignores":                `trap '' INT; echo $$; echo ready >&2; sleep 60; sleep 60`,
		"ignores with children":  `trap '' INT; sleep 60 & echo $!; echo ready >&2; wait; wait; sleep 60`,
		"leaves a child behind":  `trap 'exit 0' INT; (trap '' INT; sleep 60) & echo $!; echo ready >&2; wait; wait`,
		"child holds the output": `trap '' INT; (sleep 60; sleep 60) & echo $!; echo ready >&2; sleep 60`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancelCause(t.Context())
			var began time.Time
			out, err := newShell(t).Run(ctx, pipeline.Command{
				Argv: sh(script),
				OnStderr: func(string) {
					began = time.Now()
					cancel(cause)
				},
			})
			if took := time.Since(began); took > time.Second {
				t.Errorf("it took %s", took)
			}
			if !errors.Is(err, cause) {
				t.Errorf("error %v, want the cause of the end", err)
			}
			first, rest, _ := strings.Cut(string(out.Stdout), "\n")
			if name == "obeys" && rest != "bye\n" {
				t.Errorf("the program's last words were %q", rest)
			}
			pid, err := strconv.Atoi(first)
			if err != nil {
				t.Fatalf("the script printed %q", out.Stdout)
			}
			for range 50 { // it is init's to reap what a dead parent left
				if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) || zombie(pid) {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Errorf("process %d is still there", pid)
		})
	}
}

func zombie(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err == nil && strings.Contains(string(stat), ") Z ")
}

func TestShellCancelledBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := newShell(t)
	if _, err := s.Run(ctx, pipeline.Command{Argv: sh("touch ran")}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(filepath.Join(s.Dir, "ran")); err == nil {
		t.Error("the program ran")
	}
}

func TestShellKill(t *testing.T) {
	s := newShell(t)
	began := time.Now()
	_, err := s.Run(t.Context(), pipeline.Command{
		Argv:     sh(`trap '' INT TERM; echo ready >&2; sleep 60; sleep 60`),
		OnStderr: func(string) { s.Kill() },
	})
	if err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("error %v after %s", err, time.Since(began))
	}
	if _, err := s.Run(t.Context(), pipeline.Command{Argv: sh("true")}); err == nil {
		t.Error("a program started after Kill")
	}
}

func TestOutputBounds(t *testing.T) {
	head := &headBuffer{limit: 10}
	if _, err := head.Write([]byte("12345")); err != nil {
		t.Fatal(err)
	}
	if _, err := head.Write([]byte("678901")); err == nil || !head.overflow || head.String() != "12345" {
		t.Errorf("error %v, overflow %v, kept %q", err, head.overflow, head.String())
	}

	var got []int
	w := &lineWriter{each: func(line string) { got = append(got, len(line)) }}
	chunk := []byte(strings.Repeat("x", 1<<18))
	for range 8 {
		if _, err := w.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write([]byte("tail\nshort\n")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{maxLine, len("short")}, got); diff != "" {
		t.Errorf("line lengths (-want +got):\n%s", diff)
	}
	if len(w.tail) > 2*maxStderr || !strings.HasSuffix(string(w.tail), "tail\nshort\n") {
		t.Errorf("%d bytes of standard error were kept", len(w.tail))
	}
}
