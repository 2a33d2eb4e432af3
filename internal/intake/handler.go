package intake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/substituter"
)

// ServeHTTP takes a PUT. r.URL.Path is the object's key after a slash. Whether
// the client may has been decided before.
func (i *Intake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := strings.TrimPrefix(r.URL.Path, "/")
	body := Steady(w, r)
	var err error
	switch substituter.Classify(key) {
	case substituter.KindNAR:
		err = i.PutNAR(r.Context(), key, body, r.ContentLength)
	case substituter.KindNARInfo:
		err = i.putSmall(body, nix.MaxNARInfoSize, func(data []byte) error {
			return i.PutNARInfo(r.Context(), key[:32], data)
		})
	case substituter.KindOther:
		err = i.PutOther(r.Context(), key, body)
	case substituter.KindInfo:
		if key != "nix-cache-info" {
			err = refuse("%s is made by the server", key)
			break
		}
		err = i.putSmall(body, 64<<10, func(data []byte) error { return i.PutInfo(r.Context(), data) })
	default:
		err = refuse("a binary cache has no object %.200q", key)
	}
	if err == nil {
		w.WriteHeader(http.StatusCreated)
		return
	}
	// What is left of the body is not read: the client hears at once.
	w.Header().Set("Connection", "close")
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler)
	}
	substituter.Fail(w, Status(err), err.Error())
}

// Status is the HTTP status for an error of an Intake.
func Status(err error) int {
	var (
		refusal  *RefusalError
		missing  *MissingError
		refused  *binarycache.RefusedError
		upstream *substituter.UpstreamError
		slow     interface{ Timeout() bool }
	)
	switch {
	case errors.As(err, &refusal) && refusal.TooLarge:
		return http.StatusRequestEntityTooLarge
	case errors.As(err, &refusal) && refusal.Conflict, errors.As(err, &missing), errors.As(err, &refused):
		return http.StatusConflict
	case errors.As(err, &refusal):
		return http.StatusBadRequest
	case errors.As(err, &upstream):
		return http.StatusBadGateway
	case Full(err):
		return http.StatusInsufficientStorage
	case errors.As(err, &slow) && slow.Timeout():
		return http.StatusRequestTimeout
	case errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable
	case errors.Is(err, io.ErrUnexpectedEOF):
		return http.StatusBadRequest
	default:
		return http.StatusInternalServerError
	}
}

func (i *Intake) putSmall(body io.Reader, limit int64, f func([]byte) error) error {
	var b bytes.Buffer
	if _, err := b.ReadFrom(io.LimitReader(body, limit+1)); err != nil {
		return fmt.Errorf("read what the client sends: %w", err)
	}
	if int64(b.Len()) > limit {
		return &RefusalError{TooLarge: true, Reason: fmt.Sprintf("it has more than %d bytes", limit)}
	}
	return f(b.Bytes())
}

// Steady is a request's body, whose client has to keep sending: so many bytes
// in such a time. It is for one handler at a time.
func Steady(w http.ResponseWriter, r *http.Request) io.Reader {
	return &steady{body: r.Body, control: http.NewResponseController(w)}
}

// steady reads a body that must keep coming: so many bytes in such a time.
type steady struct {
	body    io.Reader
	control *http.ResponseController
	left    int64
}

const (
	steadyStep = 64 << 10
	steadyTime = time.Minute
)

func (s *steady) Read(p []byte) (int, error) {
	if s.left <= 0 {
		s.left = steadyStep
		_ = s.control.SetReadDeadline(time.Now().Add(steadyTime))
	}
	n, err := s.body.Read(p)
	s.left -= int64(n)
	return n, err
}
