package local

import "syscall"

// processGroup puts a child in a process group of its own, and ends it when
// this process dies without having had the time to.
func processGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
