package s3test

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel end the program when its starter ends, however
// that comes.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
