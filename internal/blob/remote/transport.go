// Package remote is what the stores behind HTTP have in common: a transport
// that notices when nothing moves any more, retries, a limit of requests that
// adapts to the server, bodies that are read on after a broken connection, and
// the addresses that Nix has for them.
package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// ErrStalled is wrapped by errors of requests that were given up because no
// byte moved for too long.
var ErrStalled = errors.New("no byte moved")

// DefaultStall is how long nothing may move.
const DefaultStall = 30 * time.Second

// TransportOptions say how requests travel. The zero value suits most.
type TransportOptions struct {
	Roots *x509.CertPool // that certificates must come from; nil: the system's
	Stall time.Duration  // how long no byte may move; 0: DefaultStall
	// Requests bounds the requests under way; 0: DefaultRequests.
	Requests    int
	Certificate *tls.Certificate // the client's; nil: none
	// ExpectContinue is how long a request with "Expect: 100-continue" waits
	// for the server's word before it sends its body; 0: not at all.
	ExpectContinue time.Duration
	// Dial connects; nil: as the network has it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Transport carries requests. It keeps as many connections as it lets requests
// pass at once, so that no request pays for a new one again.
type Transport struct {
	base    *http.Transport
	limiter *Limiter
	stall   time.Duration
}

var _ http.RoundTripper = (*Transport)(nil)

// NewTransport returns a transport. Close it when its last request is done.
func NewTransport(o TransportOptions) *Transport {
	limiter := NewLimiter(o.Requests)
	if o.Stall <= 0 {
		o.Stall = DefaultStall
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	}
	base := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         o.Dial,
		TLSHandshakeTimeout: 10 * time.Second,
		TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			RootCAs:            o.Roots,
			ClientSessionCache: tls.NewLRUClientSessionCache(int(limiter.max)),
		},
		MaxIdleConnsPerHost:    int(limiter.max),
		IdleConnTimeout:        90 * time.Second,
		ExpectContinueTimeout:  o.ExpectContinue,
		MaxResponseHeaderBytes: 64 << 10,
		WriteBufferSize:        32 << 10,
		ReadBufferSize:         32 << 10,
		DisableCompression:     true, // what is stored is wanted, not what is in it
		Protocols:              new(http.Protocols),
	}
	if o.Certificate != nil {
		base.TLSClientConfig.Certificates = []tls.Certificate{*o.Certificate}
	}
	// HTTP/2 was measured against this, TLS on both sides: the same for 5,000
	// small objects, 2.3 times as long for large ones, which share one
	// connection's windows and locks.
	base.Protocols.SetHTTP1(true)
	return &Transport{base: base, limiter: limiter, stall: o.Stall}
}

// Limiter is what bounds the requests.
func (t *Transport) Limiter() *Limiter { return t.limiter }

// Close closes the connections that no request uses.
func (t *Transport) Close() { t.base.CloseIdleConnections() }

type patienceKey struct{}

// WithPatience makes the wait for an answer's header longer, for requests that
// have the server work for long.
func WithPatience(ctx context.Context, d time.Duration) context.Context {
	return context.WithValue(ctx, patienceKey{}, d)
}

// slowestLink is what a link is taken to carry at least, in bytes a second, and
// sendBuffer how much of a sent body may still be in this machine's buffers
// when the last of it was taken: the time that this may need is no stall.
const (
	slowestLink = 64 << 10
	sendBuffer  = 4 << 20
)

// RoundTrip waits for a slot and sends the request. It gives up when no byte
// moves for the stall time: of the body sent, until the answer, and of the
// answer's body while somebody reads it. When it has failed, or the answer's
// body has been closed, nobody reads the request's body any more: its memory
// may be used for something else.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	slot, err := t.limiter.Acquire(req.Context())
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	w := &watch{cancel: cancel}
	patience, _ := ctx.Value(patienceKey{}).(time.Duration)
	wait := max(t.stall, patience)
	out := req.WithContext(ctx)
	var sent *sentBody
	if req.Body != nil && req.Body != http.NoBody {
		after := wait + time.Duration(min(max(req.ContentLength, 0), sendBuffer))*time.Second/slowestLink
		sent = &sentBody{ReadCloser: req.Body, watch: w, each: t.stall, last: after, closed: make(chan struct{})}
		out.Body, out.GetBody = sent, nil
		w.start(t.stall)
	} else {
		w.start(wait)
	}
	resp, err := t.base.RoundTrip(out)
	w.stop()
	slot.Done(err == nil && (resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable))
	if err != nil {
		err = w.explain(ctx, err)
		cancel(nil)
		sent.wait()
		return nil, err
	}
	resp.Body = &receivedBody{ReadCloser: resp.Body, ctx: ctx, watch: w, each: t.stall, sent: sent}
	return resp, nil
}

// watch ends a request when it is not touched for a time. A request has two
// phases, sending until the answer's header and receiving: the sender may still
// be at work when the answer has come, and must then not move the deadline.
type watch struct {
	cancel context.CancelCauseFunc

	mu        sync.Mutex
	timer     *time.Timer
	receiving bool
}

func (w *watch) start(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer == nil {
		w.timer = time.AfterFunc(d, func() { w.cancel(fmt.Errorf("%w for too long", ErrStalled)) })
		return
	}
	w.timer.Reset(d)
}

// sent moves the deadline while the request is sent.
func (w *watch) sent(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.receiving {
		w.timer.Reset(d)
	}
}

func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.receiving = true
	w.timer.Stop()
}

// explain puts the watch's reason in the place of the cancellation that it
// caused.
func (w *watch) explain(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && errors.Is(cause, ErrStalled) {
		return cause
	}
	return err
}

// sentBody is a request's body: every read of it moves the deadline.
type sentBody struct {
	io.ReadCloser
	watch *watch
	each  time.Duration
	last  time.Duration // once it has been read whole

	once   sync.Once
	closed chan struct{}
}

// Close is called by the base transport, perhaps after its RoundTrip has
// returned, and not called again by anybody who reads.
func (b *sentBody) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(func() { close(b.closed) })
	return err
}

func (b *sentBody) wait() {
	if b != nil {
		<-b.closed
	}
}

func (b *sentBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.watch.sent(b.last)
	} else {
		b.watch.sent(b.each)
	}
	return n, err
}

// receivedBody is an answer's body. Time counts only while it is read: what a
// slow reader leaves in the connection is not the server's fault.
type receivedBody struct {
	io.ReadCloser
	ctx   context.Context
	watch *watch
	each  time.Duration
	sent  *sentBody
}

func (b *receivedBody) Read(p []byte) (int, error) {
	b.watch.start(b.each)
	n, err := b.ReadCloser.Read(p)
	b.watch.stop()
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.watch.explain(b.ctx, err)
	}
	return n, err
}

func (b *receivedBody) Close() error {
	err := b.ReadCloser.Close()
	b.watch.cancel(nil)
	b.sent.wait()
	return err
}

// Roots reads certificate authorities from file or, if that is empty, from the
// file that the first set of the environment variables names. nil, the
// system's, if none is set.
func Roots(file string, getenv func(string) string, variables ...string) (*x509.CertPool, error) {
	origin := ""
	for _, variable := range variables {
		if file != "" {
			break
		}
		if file = getenv(variable); file != "" {
			origin = " (of $" + variable + ")"
		}
	}
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the certificate authorities%s: %w", origin, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s%s holds no PEM certificate", file, origin)
	}
	return pool, nil
}
