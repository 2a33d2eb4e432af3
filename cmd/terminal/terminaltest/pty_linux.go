package terminaltest

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Session is a program on a pseudo-terminal.
type Session struct {
	*Screen
	Cmd *exec.Cmd

	terminal *os.File
	ended    chan struct{} // nothing more will come
}

// Start starts a program as the leader of a session on a terminal of its own,
// which is its standard input, output and error. It is killed at the end of the
// test.
func Start(t testing.TB, cmd *exec.Cmd, columns, rows int) *Session {
	t.Helper()
	ptmx, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ptmx.Close() })
	fd := int(ptmx.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatalf("making a terminal: %v", err)
	}
	s := &Session{Screen: NewScreen(columns, rows), Cmd: cmd, terminal: ptmx, ended: make(chan struct{})}
	s.size(t)
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.ended)
		_, _ = io.Copy(s.Screen, ptmx) // it ends with an error when the last holder of the terminal ends
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		<-s.ended
	})
	return s
}

func (s *Session) size(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	size := &unix.Winsize{Row: uint16(s.rows), Col: uint16(s.columns)}
	s.mu.Unlock()
	if err := unix.IoctlSetWinsize(int(s.terminal.Fd()), unix.TIOCSWINSZ, size); err != nil {
		t.Fatal(err)
	}
}

// Resize makes the terminal larger or smaller, of which the program is told.
func (s *Session) Resize(t testing.TB, columns, rows int) {
	t.Helper()
	s.resize(columns, rows)
	s.size(t)
}

// Type types keys, "\x03" for Ctrl-C.
func (s *Session) Type(t testing.TB, keys string) {
	t.Helper()
	if _, err := io.WriteString(s.terminal, keys); err != nil {
		t.Fatal(err)
	}
}

// Until waits until something is on the screen, and returns the screen.
func (s *Session) Until(t testing.TB, what string, condition func(screen string) bool) string {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		text := s.Text()
		if condition(text) {
			return text
		}
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s\n%s", what, text)
		}
	}
}

// Shows waits until a text is on the screen, and returns the screen.
func (s *Session) Shows(t testing.TB, text string) string {
	t.Helper()
	return s.Until(t, fmt.Sprintf("%q on the screen", text), func(screen string) bool { return strings.Contains(screen, text) })
}

// Wait waits until the program ended and all that it wrote is on the screen,
// and returns its exit code.
func (s *Session) Wait() int {
	_ = s.Cmd.Wait()
	<-s.ended
	return s.Cmd.ProcessState.ExitCode()
}
