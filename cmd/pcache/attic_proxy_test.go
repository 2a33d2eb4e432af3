package main

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/nixtest"
)

// Proxies in front of the server that do what proxies do.
func TestAtticBehindProxies(t *testing.T) {
	forAttic(t, func(t *testing.T, s *atticServer, _ *nixtest.Env) {
		big, paths, _, _ := bigStore(t)
		address, _ := s.cache(t, big, "proxied")
		cache := address[strings.LastIndexByte(address, '/')+1:]
		type answer func(w http.ResponseWriter, r *http.Request) bool
		var behaviour atomic.Pointer[answer]
		behave := func(a answer) { behaviour.Store(&a) }
		proxy := newProxy(t, s, func(w http.ResponseWriter, r *http.Request) bool { return (*behaviour.Load())(w, r) })
		through := "attic+" + proxy + "/" + cache
		uploads := func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/upload-path") }

		behave(func(w http.ResponseWriter, r *http.Request) bool {
			if uploads(r) {
				http.Error(w, "<html>too large</html>", http.StatusRequestEntityTooLarge)
				return true
			}
			return false
		})
		if _, errs, code := s.run(t, big, "push", through, paths[0]); code != exitFailed || !strings.Contains(errs, "client_max_body_size") {
			t.Errorf("413: %d %s", code, errs)
		}

		// Twice a gateway's timeout, then it works.
		var tries atomic.Int64
		behave(func(w http.ResponseWriter, r *http.Request) bool {
			if uploads(r) && tries.Add(1) <= 2 {
				http.Error(w, "gateway timeout", http.StatusGatewayTimeout)
				return true
			}
			return false
		})
		if _, errs, code := s.run(t, big, "push", through, paths[0]); code != 0 {
			t.Errorf("504, then good: %d %s", code, errs)
		}

		// A connection that is cut in mid-upload.
		tries.Store(0)
		behave(func(_ http.ResponseWriter, r *http.Request) bool {
			if uploads(r) && tries.Add(1) == 1 {
				_, _ = r.Body.Read(make([]byte, 1<<16))
				panic(http.ErrAbortHandler)
			}
			return false
		})
		if _, errs, code := s.run(t, big, "push", through, paths[1]); code != 0 {
			t.Errorf("cut off: %d %s", code, errs)
		}

		// A login page.
		behave(func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<html>log in</html>"))
			return true
		})
		if _, errs, code := s.run(t, big, "push", through, paths[2]); code != exitFailed || !strings.Contains(errs, "login page") {
			t.Errorf("a login page: %d %s", code, errs)
		}
	})
}

// newProxy starts a proxy before the server. It passes on what meddle has not
// answered itself, which it says by true. As Attic has it, its configuration
// sends clients to the API's own address; this proxy puts its own there.
func newProxy(t *testing.T, s *atticServer, meddle func(w http.ResponseWriter, r *http.Request) bool) string {
	t.Helper()
	target, err := url.Parse(s.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(target)
	handle := func(w http.ResponseWriter, r *http.Request) {
		if !meddle(w, r) {
			forward.ServeHTTP(w, r)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	own := "http://" + l.Addr().String()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/cache-config/") {
			buffered := &bufferedAnswer{header: http.Header{}, status: http.StatusOK}
			handle(buffered, r)
			body := strings.ReplaceAll(buffered.body.String(), s.endpoint, own)
			for name, values := range buffered.header {
				if name != "Content-Length" {
					w.Header()[name] = values
				}
			}
			w.WriteHeader(buffered.status)
			_, _ = w.Write([]byte(body))
			return
		}
		handle(w, r)
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
	return own
}

type bufferedAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (b *bufferedAnswer) Header() http.Header         { return b.header }
func (b *bufferedAnswer) WriteHeader(status int)      { b.status = status }
func (b *bufferedAnswer) Write(p []byte) (int, error) { return b.body.Write(p) }
