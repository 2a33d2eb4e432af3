// Package webserver runs an http.Handler for clients that may be slow, broken
// or hostile: it bounds their number, the size and the time of their requests,
// tells what each request came to, and ends without cutting off the others.
package webserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a server. Handler is needed.
type Options struct {
	Handler http.Handler
	// Access, if not nil, is told of every request when it is over. It is
	// called concurrently.
	Access func(Access)
	// Quick, if not nil, may answer a GET or HEAD of a path without asking the
	// handler, which must answer the same. The request had nothing in its header
	// that could matter, no token and no range. It is called concurrently.
	Quick func(path string) (Quick, bool)
	// Configure, if not nil, may change the http.Server before it is used, such
	// as where its own complaints go.
	Configure func(*http.Server)
	// CertFile and KeyFile, PEM, make it HTTPS. They are read again when they
	// change.
	CertFile, KeyFile string
	// Connections bounds the clients; 0: 4096. Further ones wait.
	Connections int
	// HeaderTimeout is how long a request's header may take; 0: 10 s.
	HeaderTimeout time.Duration
	// IdleTimeout is how long a connection waits for its next request; 0: 2 min.
	IdleTimeout time.Duration
	// Drain is how long requests under way may go on after the end; 0: 30 s.
	Drain time.Duration
}

// Server serves listeners.
type Server struct {
	o        Options
	server   *http.Server
	slots    chan struct{}
	tls      *tls.Config
	draining chan struct{}
	patience atomic.Int64 // milliseconds that closing may still wait for answers under way, of all connections together
}

// maxHeader bounds a request's header: no client of a binary cache needs a
// tenth of it. Attic's clients send path infos there.
const maxHeader = 32 << 10

// writeTimeout is how long a client may take to receive a small answer, or a
// step of a large one.
const writeTimeout = time.Minute

// New prepares a server. It reads the certificate.
func New(o Options) (*Server, error) {
	if o.Connections <= 0 {
		o.Connections = 4096
	}
	if o.HeaderTimeout <= 0 {
		o.HeaderTimeout = 10 * time.Second
	}
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = 2 * time.Minute
	}
	if o.Drain <= 0 {
		o.Drain = 30 * time.Second
	}
	s := &Server{o: o, slots: make(chan struct{}, o.Connections), draining: make(chan struct{})}
	s.patience.Store(patience.Milliseconds())
	if o.CertFile != "" || o.KeyFile != "" {
		if o.CertFile == "" || o.KeyFile == "" {
			return nil, errors.New("TLS wants both a certificate and its key")
		}
		c := &certificate{certFile: o.CertFile, keyFile: o.KeyFile}
		if _, err := c.get(nil); err != nil {
			return nil, err
		}
		s.tls = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
	}
	s.server = &http.Server{
		Handler:           s.record(o.Handler),
		ReadHeaderTimeout: o.HeaderTimeout,
		IdleTimeout:       o.IdleTimeout,
		MaxHeaderBytes:    maxHeader,
		WriteTimeout:      writeTimeout, // and more where much is sent
		TLSConfig:         s.tls,
		ConnState:         connState,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
	}
	if o.Configure != nil {
		o.Configure(s.server)
	}
	return s, nil
}

// Serve answers on the listeners until ctx ends, then lets requests under way
// end, for as long as Options.Drain. It closes the listeners.
func (s *Server) Serve(ctx context.Context, listeners []net.Listener) error {
	failed := make(chan error, len(listeners))
	var serving sync.WaitGroup
	for _, l := range listeners {
		serving.Go(func() {
			l := net.Listener(&limited{Listener: l, server: s, closed: make(chan struct{})})
			var err error
			if s.tls != nil {
				err = s.server.ServeTLS(l, "", "")
			} else {
				err = s.server.Serve(l)
			}
			if !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
		err = fmt.Errorf("accept connections: %w", err)
	}
	close(s.draining)
	limit, cancel := context.WithTimeout(context.Background(), s.o.Drain)
	defer cancel()
	if serr := s.server.Shutdown(limit); serr != nil {
		// Who is still being served after that time is cut off.
		_ = s.server.Close()
	}
	serving.Wait()
	return err
}

// Draining is closed when the server begins to end.
func (s *Server) Draining() <-chan struct{} { return s.draining }

// limited accepts a connection when there is a slot for it.
type limited struct {
	net.Listener
	server *Server
	once   sync.Once
	closed chan struct{}
}

// Accept waits for a slot, then for a connection.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.server.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.server.slots
		return nil, err
	}
	release := sync.OnceFunc(func() { <-l.server.slots })
	switch c := c.(type) {
	case *net.TCPConn:
		return &tcpConn{TCPConn: c, release: release, quickConn: quickConn{server: l.server}}, nil
	default:
		return &otherConn{c, release}, nil
	}
}

// Close ends also an Accept that waits for a slot.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// tcpConn gives its slot back. It keeps TCPConn's ReadFrom, by which files are
// sent without being copied.
type tcpConn struct {
	*net.TCPConn
	release func()
	until   atomic.Pointer[time.Time] // the write deadline that is set
	quickConn
}

// connKey is of a request's connection, in its context.
type connKey struct{}

// SetWriteDeadline leaves a deadline that is less than a second earlier: the
// server sets one a minute ahead for each request, and timers cost.
func (c *tcpConn) SetWriteDeadline(t time.Time) error {
	if was := c.until.Load(); was != nil && !was.IsZero() {
		if later := t.Sub(*was); later >= 0 && later < time.Second && time.Until(*was) > writeTimeout/2 {
			return nil
		}
	}
	c.until.Store(&t)
	return c.TCPConn.SetWriteDeadline(t)
}

// SetDeadline sets both.
func (c *tcpConn) SetDeadline(t time.Time) error {
	c.until.Store(&t)
	return c.TCPConn.SetDeadline(t)
}

// Close closes the connection.
func (c *tcpConn) Close() error {
	defer c.release()
	c.settle()
	return c.TCPConn.Close()
}

type otherConn struct {
	net.Conn
	release func()
}

// Close closes the connection.
func (c *otherConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// certificate is read again when its file changes.
type certificate struct {
	certFile, keyFile string

	mu      sync.Mutex
	checked time.Time
	was     [2]time.Time
	cert    *tls.Certificate
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cert != nil && time.Since(c.checked) < 5*time.Second {
		return c.cert, nil
	}
	c.checked = time.Now()
	var now [2]time.Time
	for i, file := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(file); err == nil {
			now[i] = info.ModTime()
		}
	}
	if c.cert != nil && now == c.was {
		return c.cert, nil
	}
	cert, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		if c.cert != nil {
			return c.cert, nil // half of a renewal: the old one holds
		}
		return nil, fmt.Errorf("TLS certificate: %w", err)
	}
	c.was, c.cert = now, &cert
	return c.cert, nil
}
