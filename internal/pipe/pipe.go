// Package pipe turns what writes into what is read.
package pipe

import "io"

// Reader reads what Source writes. Its WriteTo calls Source directly, which
// costs nothing; the first Read starts a goroutine instead, which Close ends
// by failing Source's next write. It is not for concurrent use.
type Reader struct {
	Source io.WriterTo
	pipe   *io.PipeReader
	ended  chan struct{} // the goroutine has
}

var _ interface {
	io.ReadCloser
	io.WriterTo
} = (*Reader)(nil)

// WriteTo has Source write to w.
func (r *Reader) WriteTo(w io.Writer) (int64, error) { return r.Source.WriteTo(w) }

func (r *Reader) Read(p []byte) (int, error) {
	if r.pipe == nil {
		pr, pw := io.Pipe()
		r.pipe, r.ended = pr, make(chan struct{})
		go func() {
			defer close(r.ended)
			_, err := r.Source.WriteTo(pw)
			pw.CloseWithError(err) // nil becomes io.EOF
		}()
	}
	return r.pipe.Read(p)
}

// Close ends a Read's goroutine and waits for that: afterwards nobody uses what
// Source uses. Source's resources are its own.
func (r *Reader) Close() error {
	if r.pipe == nil {
		return nil
	}
	err := r.pipe.Close()
	<-r.ended
	return err
}

// Func is a Source that is a function.
type Func func(w io.Writer) (int64, error)

// WriteTo calls f.
func (f Func) WriteTo(w io.Writer) (int64, error) { return f(w) }
