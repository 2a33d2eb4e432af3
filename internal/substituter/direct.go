package substituter

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// passChecked sends what comes from body, from a.offset on, always some bytes
// behind: the last of them follow when the whole has been compared with the
// narinfo.
func (a *answer) passChecked(body io.Reader, n nix.NARInfo) error {
	bufs := [2]*[]byte{buffers.Get().(*[]byte), buffers.Get().(*[]byte)}
	defer buffers.Put(bufs[0])
	defer buffers.Put(bufs[1])
	hash := sha256.New()
	w := a.c.pace(a.w)
	var read int64
	var held []byte // of the other buffer, read but not sent
	for i := 0; ; i ^= 1 {
		buf := *bufs[i]
		got, rerr := io.ReadFull(body, buf)
		read += int64(got)
		hash.Write(buf[:got])
		if n.FileSize > 0 && read > n.FileSize {
			return fmt.Errorf("it is longer than the %d bytes that its narinfo says: %w", n.FileSize, binarycache.ErrDamaged)
		}
		atEnd := errors.Is(rerr, io.EOF) || errors.Is(rerr, io.ErrUnexpectedEOF)
		if rerr != nil && !atEnd {
			return rerr
		}
		if len(held) > 0 {
			if err := a.send(w, held, read-int64(got)-int64(len(held))); err != nil {
				return err
			}
		}
		held = buf[:got]
		if atEnd {
			break
		}
	}
	var sum nix.Hash
	hash.Sum(sum[:0])
	if err := checkFile(n, read, sum); err != nil {
		return err
	}
	a.start()
	return a.send(w, held, read-int64(len(held)))
}

// send sends of p, which is at offset at, what has not been sent and belongs
// to the range.
func (a *answer) send(w io.Writer, p []byte, at int64) error {
	end := a.end(at + int64(len(p)))
	if end <= a.offset || a.offset < at {
		return nil
	}
	a.start()
	m, err := w.Write(p[a.offset-at : end-at])
	a.offset += int64(m)
	return err
}

// paced writes to a client that must keep taking bytes: each step has its own
// limit of time, so that a slow client may take as long as it needs and one
// that stopped does not hold on to anything.
type paced struct {
	http.ResponseWriter
	control *http.ResponseController
	limit   time.Duration
}

const paceStep = 1 << 20

func (c *Cache) pace(w http.ResponseWriter) *paced {
	return &paced{w, http.NewResponseController(w), c.o.WriteTimeout}
}

func (p *paced) extend() { _ = p.control.SetWriteDeadline(time.Now().Add(p.limit)) }

// Write sends b.
func (p *paced) Write(b []byte) (n int, err error) {
	for len(b) > 0 && err == nil {
		p.extend()
		var m int
		m, err = p.ResponseWriter.Write(b[:min(len(b), paceStep)])
		n += m
		b = b[m:]
	}
	return n, err
}

// ReadFrom sends what r has, of a file without copying it where the system can.
func (p *paced) ReadFrom(r io.Reader) (n int64, err error) {
	to, ok := p.ResponseWriter.(io.ReaderFrom)
	if !ok {
		return io.Copy(struct{ io.Writer }{p}, r)
	}
	// The system's way of sending a file wants the file itself, limited once.
	left := int64(-1)
	if l, ok := r.(*io.LimitedReader); ok {
		r, left = l.R, l.N
		defer func() { l.N -= n }()
	}
	for left != 0 {
		p.extend()
		step := int64(paceStep)
		if left > 0 {
			step = min(step, left)
		}
		m, err := to.ReadFrom(&io.LimitedReader{R: r, N: step})
		n += m
		if left > 0 {
			left -= m
		}
		if err != nil || m < step {
			return n, err
		}
	}
	return n, nil
}

// Unwrap lets a ResponseController find what is below.
func (p *paced) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// copy sends what r has to a client.
func (c *Cache) copy(w http.ResponseWriter, r io.Reader) (int64, error) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{c.pace(w)}, struct{ io.Reader }{r}, *buf)
}
