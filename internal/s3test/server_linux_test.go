package s3test_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/s3test"
)

// orphanVariable has a copy of the test binary start a server and wait.
const orphanVariable = "PANTHEROS_TEST_ORPHAN"

// A server ends with whoever started it, however that ends.
func TestNoOrphans(t *testing.T) {
	if os.Getenv(orphanVariable) != "" {
		fmt.Printf("pid %d\n", s3test.Start(t, s3test.Versitygw).PID())
		time.Sleep(time.Minute)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestNoOrphans$")
	cmd.Env = append(os.Environ(), orphanVariable+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := 0
	for lines := bufio.NewScanner(out); pid == 0 && lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "pid "); ok {
			pid, _ = strconv.Atoi(text)
		}
	}
	if pid == 0 {
		t.Error("no server was started")
	} else if err := syscall.Kill(pid, 0); err != nil {
		t.Errorf("the server does not run: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for deadline := time.Now().Add(10 * time.Second); pid != 0 && syscall.Kill(pid, 0) == nil; time.Sleep(10 * time.Millisecond) {
		// One that nobody has waited for yet is dead all the same.
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && strings.Contains(string(stat), ") Z ") {
			break
		}
		if time.Now().After(deadline) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatal("the server outlived the process that started it")
		}
	}
}

func TestServersEndWithTheirTest(t *testing.T) {
	var pids []int
	t.Run("test", func(t *testing.T) {
		s3test.Each(t, func(t *testing.T, s *s3test.Server) {
			s.Put(t, s.Bucket(t), "k", "x", "text/plain", "")
			pids = append(pids, s.PID())
		})
	})
	for _, pid := range pids {
		if syscall.Kill(pid, 0) == nil {
			t.Errorf("process %d still runs", pid)
		}
	}
}
