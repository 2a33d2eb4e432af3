package intake

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/nix/nar"
)

// check passes a NAR's file on and looks into it: at its end it knows the
// facts, and fails instead of ending if they do not please.
type check struct {
	body    io.Reader
	accept  func(facts) error
	hash    hash.Hash
	pipe    *io.PipeWriter
	verdict chan error
	facts   facts
	err     error
}

func newCheck(body io.Reader, compression string, maxNAR int64, accept func(facts) error) *check {
	pr, pw := io.Pipe()
	c := &check{body: body, accept: accept, hash: sha256.New(), pipe: pw, verdict: make(chan error, 1)}
	go func() {
		err := c.decompress(pr, compression, maxNAR)
		pr.CloseWithError(err)
		c.verdict <- err
	}()
	return c
}

// decompress runs beside the reading. It writes to facts before it gives its
// verdict.
func (c *check) decompress(r *io.PipeReader, compression string, maxNAR int64) error {
	plain, err := binarycache.Decompress(compression, r)
	if err != nil {
		return refuse("the NAR is not compressed as its name says: %v", err)
	}
	defer plain.Close()
	hash := sha256.New()
	format := nar.NewParser(nar.Visitor{})
	n, err := io.Copy(io.MultiWriter(hash, format), io.LimitReader(plain, maxNAR+1))
	switch {
	case n > maxNAR:
		return &RefusalError{TooLarge: true, Reason: fmt.Sprintf("the NAR has more than %d bytes", maxNAR)}
	case err != nil:
		return refuse("the NAR cannot be read: %v", err)
	}
	if err := format.Close(); err != nil {
		return refuse("the NAR cannot be read: %v", err)
	}
	// Whatever follows the compressed bytes is no part of the file.
	if extra, _ := io.Copy(io.Discard, r); extra > 0 {
		return refuse("%d bytes follow the end of the NAR", extra)
	}
	hash.Sum(c.facts.narHash[:0])
	c.facts.narSize = n
	return nil
}

// Read returns io.EOF only when the check is passed.
func (c *check) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.body.Read(p)
	if n > 0 {
		c.facts.fileSize += int64(n)
		c.hash.Write(p[:n])
		if _, werr := c.pipe.Write(p[:n]); werr != nil {
			c.err = werr
			return 0, c.err
		}
	}
	if err == nil {
		return n, nil
	}
	if err != io.EOF {
		c.err = fmt.Errorf("read what the client sends: %w", err)
		c.pipe.CloseWithError(c.err)
		return 0, c.err
	}
	_ = c.pipe.Close()
	if err := <-c.verdict; err != nil {
		c.err = err
		return 0, c.err
	}
	c.hash.Sum(c.facts.fileHash[:0])
	if c.accept != nil {
		if err := c.accept(c.facts); err != nil {
			c.err = err
			return 0, c.err
		}
	}
	c.err = io.EOF
	return n, nil
}

// close ends the decompressing of what was not read to its end.
func (c *check) close() { c.pipe.CloseWithError(errors.New("it was not sent to its end")) }
