package local

import (
	"os"
	"os/exec"
	"syscall"
)

// canUnshare tries what Nix does for each build in a chroot store: to make a
// mount and a PID namespace, within a user namespace unless it is root.
func canUnshare(busybox string) error {
	cmd := exec.Command(busybox, "true")
	cmd.Env = []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
	}
	if err := cmd.Run(); err != nil {
		return ErrNoSandbox
	}
	return nil
}
