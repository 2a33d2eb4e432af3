//go:build unix && !linux

package local

import "errors"

// canUnshare fails: chroot stores and their sandbox are made of Linux's
// namespaces.
func canUnshare(string) error {
	return errors.New("a store of its own for Nix needs Linux; use the installed Nix with --store system --inputs real")
}
