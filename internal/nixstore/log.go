package nixstore

import (
	"compress/bzip2"
	"errors"
	"io"
	"io/fs"
	"os"

	"gitlab.com/pantheros/pantheros/internal/nix"
)

// OpenLog returns the log of the build of a derivation on this machine, as the
// builder wrote it: Nix keeps it compressed. The error is fs.ErrNotExist if
// there is none: the derivation was not built here, or keep-build-log is off.
func (s *Store) OpenLog(drv nix.StorePath) (io.ReadCloser, error) {
	base := drv.Base()
	name := s.logDir + "/drvs/" + base[:2] + "/" + base[2:]
	f, err := os.Open(name + ".bz2")
	if err == nil {
		return struct {
			io.Reader
			io.Closer
		}{bzip2.NewReader(f), f}, nil
	}
	if errors.Is(err, fs.ErrNotExist) { // compress-build-log is off
		f, err = os.Open(name)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// HasLog says whether OpenLog would find a log.
func (s *Store) HasLog(drv nix.StorePath) bool {
	base := drv.Base()
	name := s.logDir + "/drvs/" + base[:2] + "/" + base[2:]
	for _, suffix := range []string{".bz2", ""} {
		if info, err := os.Stat(name + suffix); err == nil && info.Mode().IsRegular() {
			return true
		}
	}
	return false
}
