package binarycache

import (
	"bytes"
	"errors"
	"hash"

	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nix/nar"
)

// contents compares a NAR that passes by with a content address.
type contents struct {
	address nix.ContentAddress
	hash    hash.Hash
	parser  *nar.Parser // of a path that must be one file; nil: the NAR is hashed
	err     error
}

func newContents(c nix.ContentAddress) *contents {
	v := &contents{address: c, hash: c.NewHash()}
	if c.Method == nix.Archive {
		return v
	}
	v.parser = nar.NewParser(nar.Visitor{
		Enter: func(n nar.Node) error {
			if n.Kind != nar.Regular || n.Executable {
				return errNoFile
			}
			return nil
		},
		Contents: func(p []byte) error {
			v.hash.Write(p)
			return nil
		},
	})
	return v
}

var errNoFile = errors.New("the path is no plain file")

func (v *contents) write(p []byte) {
	if v.parser == nil {
		v.hash.Write(p)
	} else if v.err == nil {
		_, v.err = v.parser.Write(p)
	}
}

func (v *contents) match() bool {
	if v.parser != nil && v.err == nil {
		v.err = v.parser.Close()
	}
	return v.err == nil && bytes.Equal(v.hash.Sum(nil), v.address.Hash)
}
