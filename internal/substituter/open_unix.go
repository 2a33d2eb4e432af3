//go:build unix

package substituter

import (
	"os"

	"golang.org/x/sys/unix"
)

// openFile opens a file for reading. os.Open would try to have it watched for
// readiness, which no file on a disk can be.
func openFile(name string) (*os.File, error) {
	for {
		fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: name, Err: err}
		}
		return os.NewFile(uintptr(fd), name), nil
	}
}
