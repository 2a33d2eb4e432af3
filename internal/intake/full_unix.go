//go:build unix

package intake

import (
	"errors"
	"syscall"
)

// Full says that an error is for lack of room where the cache is.
func Full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
