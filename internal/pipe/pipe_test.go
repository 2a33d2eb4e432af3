package pipe_test

import (
	"errors"
	"io"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/pipe"
)

// After Close nobody writes any more: the detector of races would see it.
func TestCloseWaits(t *testing.T) {
	written := 0
	failed := errors.New("not closed")
	r := &pipe.Reader{Source: pipe.Func(func(w io.Writer) (int64, error) {
		for {
			if _, err := w.Write(make([]byte, 1000)); err != nil {
				failed = err
				return int64(written), err
			}
			written++
		}
	})}
	if _, err := io.CopyN(io.Discard, struct{ io.Reader }{r}, 5500); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if written < 5 || !errors.Is(failed, io.ErrClosedPipe) {
		t.Errorf("%d writes, then %v", written, failed)
	}
}

// What is not read is not started, and can be closed.
func TestCloseUnread(t *testing.T) {
	r := &pipe.Reader{Source: pipe.Func(func(io.Writer) (int64, error) {
		t.Error("it was started")
		return 0, nil
	})}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
