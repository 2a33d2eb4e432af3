package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Body reads an object. When its connection breaks it goes on where it was, on
// another one.
type Body struct {
	ctx    context.Context
	size   int64 // -1: not known
	retry  Retry
	reopen func(ctx context.Context, offset int64) (io.ReadCloser, error)

	body   io.ReadCloser
	offset int64
	broken error // of the last read, not told yet
	since  int64 // where the last reopening was
	tries  int   // reopenings without much progress
}

// progress is how many bytes make a connection count as one that works.
const progress = 256 << 10

// NewBody reads first, the object from its start, size bytes long or -1.
// reopen opens the same object, not a later one of its name, from an offset
// on; nil if the server cannot.
func NewBody(ctx context.Context, first io.ReadCloser, size int64, retry Retry, reopen func(ctx context.Context, offset int64) (io.ReadCloser, error)) *Body {
	return &Body{ctx: ctx, size: size, retry: retry, reopen: reopen, body: first}
}

// Read returns io.EOF only when as many bytes came as the server had said.
func (b *Body) Read(p []byte) (int, error) {
	for {
		if b.broken != nil {
			if err := b.resume(); err != nil {
				return 0, err
			}
		}
		n, err := b.body.Read(p)
		b.offset += int64(n)
		switch {
		case b.size >= 0 && b.offset > b.size:
			return 0, fmt.Errorf("got more than the %d bytes that the server had said", b.size)
		case b.offset == b.size: // whatever comes after
			return n, io.EOF
		case err == nil:
			return n, nil
		case errors.Is(err, io.EOF) && b.size < 0:
			return n, io.EOF
		case errors.Is(err, io.EOF):
			err = io.ErrUnexpectedEOF
		}
		b.broken = err
		if n > 0 {
			return n, nil
		}
	}
}

func (b *Body) resume() error {
	cause := b.broken
	if err := b.ctx.Err(); err != nil {
		return err
	}
	if b.offset-b.since >= progress {
		b.tries = 0
	}
	b.since = b.offset
	attempts := b.retry.Attempts
	if attempts <= 0 {
		attempts = 8
	}
	if b.tries++; b.reopen == nil || b.tries >= attempts {
		return b.fail(cause)
	}
	_ = b.body.Close()
	b.body = io.NopCloser(eof{})
	if b.tries > 1 {
		if err := b.retry.wait(b.ctx, b.tries-1, 0); err != nil {
			return err
		}
	}
	err := b.retry.Do(b.ctx, func(ctx context.Context) error {
		body, err := b.reopen(ctx, b.offset)
		if err == nil {
			b.body = body
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read on after %d bytes: %w (%w)", b.offset, err, cause)
	}
	b.broken = nil
	return nil
}

func (b *Body) fail(cause error) error {
	if b.size >= 0 {
		return fmt.Errorf("the body broke off after %d of %d bytes: %w", b.offset, b.size, cause)
	}
	return fmt.Errorf("the body broke off after %d bytes: %w", b.offset, cause)
}

// Close ends the connection if the body was not read whole.
func (b *Body) Close() error { return b.body.Close() }

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }
