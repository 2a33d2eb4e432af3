package intake

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nix/nar"
)

// HasNAR says whether the NAR of p is in the cache, so that PutPath need not
// read one.
func (i *Intake) HasNAR(ctx context.Context, p nix.PathInfo) (bool, error) {
	_, there, err := i.nars.Find(ctx, p)
	return there, err
}

// PutPath takes a path's NAR, uncompressed, and returns what Publish needs to
// make the path visible. The NAR is stored only if it is one, and has the size
// and hash that p says. One that is there already is not read.
func (i *Intake) PutPath(ctx context.Context, p nix.PathInfo, body io.Reader) (n nix.NARInfo, existed bool, err error) {
	if p.NARSize > i.o.MaxNAR {
		return n, false, &RefusalError{TooLarge: true, Reason: fmt.Sprintf("the NAR has %d bytes, the limit is %d", p.NARSize, i.o.MaxNAR)}
	}
	if err := i.init(ctx); err != nil {
		return n, false, err
	}
	select {
	case i.decoders <- struct{}{}:
		defer func() { <-i.decoders }()
	case <-ctx.Done():
		return n, false, ctx.Err()
	}
	v := &verified{r: body, want: p, hash: sha256.New(), format: nar.NewParser(nar.Visitor{})}
	n, err = i.nars.Put(ctx, p, v)
	if v.err != nil {
		err = v.err // it says more than what the store makes of it
	}
	if err != nil {
		return n, false, err
	}
	if !n.FileHash.IsZero() {
		i.remember(n.URL, facts{fileHash: n.FileHash, fileSize: n.FileSize, narHash: p.NARHash, narSize: p.NARSize})
	}
	return n, v.n == 0, nil
}

// verified passes a NAR on and ends in a RefusalError if it is not the one that is
// wanted.
type verified struct {
	r      io.Reader
	want   nix.PathInfo
	hash   hash.Hash
	format *nar.Parser
	n      int64
	err    error // of the client's making
}

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	v.n += int64(n)
	if v.n > v.want.NARSize {
		return 0, v.fail("the NAR has more bytes than the %d that were announced", v.want.NARSize)
	}
	v.hash.Write(p[:n])
	if _, formatErr := v.format.Write(p[:n]); formatErr != nil {
		return 0, v.fail("the NAR cannot be read: %v", formatErr)
	}
	switch {
	case errors.Is(err, io.EOF):
		if v.n != v.want.NARSize {
			return 0, v.fail("the NAR has %d bytes, and %d were announced", v.n, v.want.NARSize)
		}
		if err := v.format.Close(); err != nil {
			return 0, v.fail("the NAR cannot be read: %v", err)
		}
		if got := nix.Hash(v.hash.Sum(nil)); got != v.want.NARHash {
			return 0, v.fail("the NAR's hash is %s, and %s was announced", got, v.want.NARHash)
		}
	case err != nil:
		v.err = fmt.Errorf("read what the client sends: %w", err)
		return n, v.err
	}
	return n, err
}

func (v *verified) fail(format string, args ...any) error {
	v.err = refuse(format, args...)
	return v.err
}
