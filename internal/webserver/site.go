package webserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"gitlab.com/pantheros/pantheros/internal/token"
)

// Site is what a cache server has at its root: the cache itself, the same
// below the cache's name, handlers for other protocols, and what is for
// operators. It decides who may do what; the handlers need not ask again.
type Site struct {
	// Name of the cache, for tokens and for its second place, /Name/.
	Name string
	Gate *token.Gate
	// Read answers GET and HEAD, Push takes PUT; nil: nothing is taken. Their
	// requests' paths begin at the cache's root.
	Read, Push http.Handler
	// Remembered, if not nil, gives what Read would answer a GET with, header
	// lines and body, if that is in memory. key is below the cache's root.
	Remembered func(key string) (header string, body []byte, ok bool)
	// Ready says why the server cannot answer, or nil.
	Ready func() error
	// Metrics, if not nil, is at /metrics for who may read.
	Metrics http.Handler

	mounts []mount
}

type mount struct {
	prefix  string
	handler http.Handler
}

// Mount adds a handler for the paths that begin with prefix, such as "/_api/".
// It decides itself what a client may: Subject tells who it is.
func (s *Site) Mount(prefix string, h http.Handler) {
	s.mounts = append(s.mounts, mount{prefix, h})
}

type whoKey struct{}

// Subject is who sent a request that a Site passed on.
func Subject(ctx context.Context) token.Subject {
	who, _ := ctx.Value(whoKey{}).(token.Subject)
	return who
}

// ServeHTTP answers a request.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	switch path {
	case "/healthz":
		answer(w, http.StatusOK, "ok")
		return
	case "/readyz":
		if err := s.Ready(); err != nil {
			answer(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		answer(w, http.StatusOK, "ready")
		return
	}
	who, err := s.Gate.Subject(r)
	if err != nil {
		SetSubject(w, "?")
		s.deny(w, http.StatusUnauthorized, err.Error())
		return
	}
	SetSubject(w, who.Name)
	for _, m := range s.mounts {
		if strings.HasPrefix(path, m.prefix) {
			m.handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), whoKey{}, who)))
			return
		}
	}
	if below, ok := s.below(path); ok {
		r = r.Clone(r.Context())
		r.URL.Path, r.URL.RawPath = "/"+below, ""
	}
	s.cache(w, r, who)
}

// Quick answers what needs no token and is remembered; see Options.Quick.
func (s *Site) Quick(path string) (q Quick, ok bool) {
	key, ok := strings.CutPrefix(path, "/")
	if !ok || s.Remembered == nil || !s.Gate.Anonymous.May(s.Name, token.Pull) {
		return q, false
	}
	if below, ok := s.below(path); ok {
		key = below
	}
	q.Subject = s.Gate.Anonymous.Name
	q.Header, q.Body, ok = s.Remembered(key)
	return q, ok
}

// below is what follows /NAME/ in a path: the cache's root is there as well as at /.
func (s *Site) below(path string) (key string, ok bool) {
	for _, part := range []string{"/", s.Name, "/"} { // a path is looked at for every request: nothing is put together
		if path, ok = strings.CutPrefix(path, part); !ok {
			return "", false
		}
	}
	return path, true
}

func (s *Site) cache(w http.ResponseWriter, r *http.Request, who token.Subject) {
	var need token.Rights
	var next http.Handler
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		need, next = token.Pull, s.Read
		if r.URL.Path == "/metrics" && s.Metrics != nil {
			next = s.Metrics
		}
	case http.MethodPut:
		need, next = token.Push, s.Push
		if next == nil {
			w.Header().Set("Allow", "GET, HEAD")
			answer(w, http.StatusMethodNotAllowed, "this server takes no pushes (pcache serve --accept-pushes)")
			return
		}
	default:
		w.Header().Set("Allow", "GET, HEAD, PUT")
		answer(w, http.StatusMethodNotAllowed, "a binary cache knows GET, HEAD and PUT")
		return
	}
	if !who.May(s.Name, need) {
		status := http.StatusForbidden
		if _, sent := token.Secret(r); !sent {
			status = http.StatusUnauthorized
		}
		s.deny(w, status, fmt.Sprintf("this needs a token with the right to %s cache %s", need, s.Name))
		return
	}
	if r.URL.Path == "/" && next == s.Read {
		answer(w, http.StatusOK, "This is a Nix binary cache: see nix-cache-info.")
		return
	}
	next.ServeHTTP(w, r)
}

func (s *Site) deny(w http.ResponseWriter, status int, text string) {
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="binary cache", charset="UTF-8"`)
	}
	answer(w, status, text)
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n")
}

// CheckName refuses names of caches that could not be the first part of a
// path, or stand for something else there.
func CheckName(name string) error {
	if err := token.CheckName(name); err != nil {
		return err
	}
	switch name {
	case "nar", "log", "realisations", "build-trace-v2", "debuginfo", "healthz", "readyz", "metrics":
		return errors.New("a cache cannot have the name " + name + ": binary caches have something there")
	}
	return nil
}
