//go:build unix && !linux

package local

import "syscall"

// processGroup puts a child in a process group of its own.
func processGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
