// Package local runs the pipeline's commands on this machine: it finds Nix,
// gives it a clean environment and, where wanted, a store of its own.
package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"gitlab.com/pantheros/pantheros/pipeline"
)

const (
	// killAfter is how long a program may take to end after SIGINT.
	killAfter = 700 * time.Millisecond
	// maxStdout bounds what is kept of a program's standard output. The
	// largest is the list of a closure, about 100 bytes a path.
	maxStdout = 256 << 20
	// maxStderr bounds what is kept of standard error: its end.
	maxStderr = 256 << 10
	// maxLine bounds a line of standard error; what is longer is cut.
	maxLine = 1 << 20
)

// Shell runs commands as child processes, each in a process group of its own
// so that a Ctrl-C at the terminal reaches them through ctx alone.
type Shell struct {
	// Env is the whole environment of the children, KEY=value.
	Env []string
	// EnvOf has further variables, by the name of the one program that gets
	// them.
	EnvOf map[string][]string
	// Path lists the folders in which programs are looked up.
	Path []string
	// Dir is the folder the children run in; empty means this process's own.
	Dir string

	mu     sync.Mutex
	groups map[int]bool // process groups under way
	killed bool
}

var _ pipeline.Shell = (*Shell)(nil)

// Run runs c to its end. When ctx ends, the program's process group is sent
// SIGINT, then SIGKILL 700 ms later; what it printed until then is returned
// beside the error.
func (s *Shell) Run(ctx context.Context, c pipeline.Command) (pipeline.Output, error) {
	if len(c.Argv) == 0 {
		return pipeline.Output{}, errors.New("no program to run")
	}
	program, err := s.LookPath(c.Argv[0])
	if err != nil {
		return pipeline.Output{}, err
	}
	if err := ctx.Err(); err != nil {
		return pipeline.Output{}, err
	}
	stdout := &headBuffer{limit: maxStdout}
	stderr := &lineWriter{each: c.OnStderr}
	cmd := exec.CommandContext(ctx, program, c.Argv[1:]...)
	cmd.Args[0] = c.Argv[0]
	cmd.Env = slices.Concat(s.Env, s.EnvOf[c.Argv[0]], c.Env)
	cmd.Dir = s.Dir
	cmd.Stdout = stdout
	cmd.Stderr = stderr
	cmd.SysProcAttr = processGroup()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = killAfter
	if err := s.start(cmd); err != nil {
		return pipeline.Output{}, fmt.Errorf("starting %s: %w", c.Argv[0], err)
	}
	err = cmd.Wait()
	s.ended(cmd.Process.Pid)
	if ctx.Err() != nil {
		// What is left of the group when its leader is gone; ESRCH if nothing is.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	stderr.flush()
	out := pipeline.Output{
		ExitCode: cmd.ProcessState.ExitCode(),
		Stdout:   stdout.Bytes(),
		Stderr:   stderr.tail,
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return out, context.Cause(ctx)
	case stdout.overflow:
		return out, fmt.Errorf("%s printed more than %d MiB", c.Argv[0], maxStdout>>20)
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return out, nil
	case !errors.As(err, &exit):
		return out, fmt.Errorf("running %s: %w", c.Argv[0], err)
	case out.ExitCode < 0: // a signal ended it
		return out, fmt.Errorf("%s was ended: %s", c.Argv[0], exit.ProcessState)
	}
	return out, nil
}

// start starts a program, unless Kill was called.
func (s *Shell) start(cmd *exec.Cmd) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.killed {
		return errors.New("the run was aborted")
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if s.groups == nil {
		s.groups = map[int]bool{}
	}
	s.groups[cmd.Process.Pid] = true
	return nil
}

func (s *Shell) ended(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.groups, pid)
}

// Kill ends all programs under way at once, and lets no other start.
func (s *Shell) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.killed = true
	for pid := range s.groups {
		_ = syscall.Kill(-pid, syscall.SIGKILL) // ESRCH if it just ended
	}
}

// LookPath finds a program in Path; the process's own PATH does not count.
func (s *Shell) LookPath(name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	for _, dir := range s.Path {
		if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return p, nil
		}
	}
	return "", &NotFoundError{Program: name}
}

// NotFoundError says that a program is on none of the folders of Path.
type NotFoundError struct{ Program string }

func (e *NotFoundError) Error() string { return e.Program + " was not found" }

// headBuffer keeps the first limit bytes and notes whether there were more.
type headBuffer struct {
	bytes.Buffer
	limit    int
	overflow bool
}

func (b *headBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.limit {
		b.overflow = true
		return 0, io.ErrShortWrite
	}
	return b.Buffer.Write(p)
}

// lineWriter hands on each line, and keeps the end of it all.
type lineWriter struct {
	each func(string)
	line []byte
	tail []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.keep(p)
	if w.each == nil {
		return len(p), nil
	}
	for rest := p; len(rest) > 0; {
		part, after, ended := bytes.Cut(rest, []byte{'\n'})
		if room := maxLine - len(w.line); len(part) > room {
			part = part[:room]
		}
		w.line = append(w.line, part...)
		if ended {
			w.flush()
		}
		rest = after
	}
	return len(p), nil
}

func (w *lineWriter) flush() {
	if len(w.line) > 0 && w.each != nil {
		w.each(string(w.line))
	}
	w.line = w.line[:0]
}

func (w *lineWriter) keep(p []byte) {
	w.tail = append(w.tail, p...)
	if len(w.tail) > 2*maxStderr {
		w.tail = append(w.tail[:0], w.tail[len(w.tail)-maxStderr:]...)
	}
}
