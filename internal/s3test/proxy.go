package s3test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// Fault is what a Proxy does to a request. The zero value passes it on.
type Fault struct {
	Delay time.Duration // before anything else

	// Instead of asking the server:
	Status     int               // answer so, with an error document of Code
	Code       string            // "SlowDown"
	Header     map[string]string // of that answer
	Body       *string           // of that answer, instead of the document
	Reset      bool              // cut the connection
	Hang       bool              // say nothing until the client gives up
	Stale      bool              // the first answer that the same URL ever got
	CutRequest int64             // cut the connection after so many bytes of the request's body

	// On the way to the server:
	DropHeader  string // leave it out; of unsigned requests only
	FlipRequest bool   // change a bit of the request's body

	// To the server's answer:
	Lost      bool              // the server did it, the connection is cut before the answer
	Replace   *string           // another body, with status 200
	SetHeader map[string]string // replaced headers
	CutBody   int64             // the body breaks off after so many bytes, with a reset
	Truncate  int64             // the body ends after so many bytes, as if that were all
	FlipBody  bool              // change a bit of the body
}

// Proxy stands between a client and a server and makes faults. It keeps the
// Host header, so that signatures stay valid.
type Proxy struct {
	Addr string

	target string
	next   *http.Transport
	mu     sync.Mutex
	rule   func(n int, r *http.Request) Fault
	n      int
	seen   []string
	first  map[string]recorded
	rate   int64     // bytes of request bodies per second; 0: as they come
	ahead  time.Time // when the link is free again
	sent   int64     // bytes of request bodies passed on
}

type recorded struct {
	status int
	header http.Header
	body   []byte
}

// NewProxy starts a proxy in front of a server. It ends with the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	p := &Proxy{
		target: target,
		next:   &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64},
		first:  make(map[string]recorded),
	}
	server := httptest.NewUnstartedServer(p)
	server.Config.ConnState = func(c net.Conn, state http.ConnState) {
		// What waits in this side's buffer counts as sent to the other side.
		if tcp, ok := c.(*net.TCPConn); ok && state == http.StateNew {
			_ = tcp.SetReadBuffer(64 << 10)
		}
	}
	server.Start()
	p.Addr = strings.TrimPrefix(server.URL, "http://")
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		p.next.CloseIdleConnections()
	})
	return p
}

// Rule decides on each request from now on; n counts them from 1. nil passes
// all on. It also forgets what was counted and seen.
func (p *Proxy) Rule(rule func(n int, r *http.Request) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rule, p.n, p.seen = rule, 0, nil
}

// Throttle lets so many bytes of request bodies pass per second, of all
// requests together; 0: as they come.
func (p *Proxy) Throttle(bytesPerSecond int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rate = bytesPerSecond
}

// Sent is how many bytes of request bodies were passed on so far.
func (p *Proxy) Sent() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent
}

// slowBody is a request's body on a link that all requests share.
type slowBody struct {
	io.ReadCloser
	p *Proxy
}

func (b *slowBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), 16<<10)])
	b.p.mu.Lock()
	b.p.sent += int64(n)
	var wait time.Duration
	if b.p.rate > 0 {
		now := time.Now()
		if b.p.ahead.Before(now) {
			b.p.ahead = now
		}
		b.p.ahead = b.p.ahead.Add(time.Duration(n) * time.Second / time.Duration(b.p.rate))
		wait = b.p.ahead.Sub(now)
	}
	b.p.mu.Unlock()
	time.Sleep(wait)
	return n, err
}

// Seen lists the requests since the last Rule: method and path with query.
func (p *Proxy) Seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.seen...)
}

// Count counts the requests since the last Rule whose line starts so.
func (p *Proxy) Count(start string) int {
	n := 0
	for _, line := range p.Seen() {
		if strings.HasPrefix(line, start) {
			n++
		}
	}
	return n
}

func (p *Proxy) decide(r *http.Request) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	p.seen = append(p.seen, r.Method+" "+r.URL.RequestURI())
	if p.rule == nil {
		return Fault{}
	}
	return p.rule(p.n, r)
}

// ServeHTTP handles a request.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := p.decide(r)
	if f.Delay > 0 {
		select {
		case <-time.After(f.Delay):
		case <-r.Context().Done():
			return
		}
	}
	switch {
	case f.Hang:
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		return
	case f.Reset:
		reset(w)
		return
	case f.CutRequest > 0:
		_, _ = io.CopyN(io.Discard, r.Body, f.CutRequest)
		reset(w)
		return
	case f.Status != 0:
		_, _ = io.Copy(io.Discard, r.Body)
		p.refuse(w, f)
		return
	}
	key := r.Method + " " + r.URL.RequestURI()
	p.mu.Lock()
	first, ok := p.first[key]
	p.mu.Unlock()
	if f.Stale && ok {
		write(w, first.status, first.header, bytes.NewReader(first.body))
		return
	}
	p.forward(w, r, f, key)
}

func (p *Proxy) refuse(w http.ResponseWriter, f Fault) {
	for name, value := range f.Header {
		w.Header().Set(name, value)
	}
	body := fmt.Sprintf("<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>made by the test</Message><RequestId>PROXY</RequestId></Error>", f.Code)
	if f.Body != nil {
		body = *f.Body
	}
	w.WriteHeader(f.Status)
	_, _ = io.WriteString(w, body)
}

func (p *Proxy) forward(w http.ResponseWriter, r *http.Request, f Fault, key string) {
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host = "http", p.target
	out.RequestURI = ""
	if f.DropHeader != "" {
		out.Header.Del(f.DropHeader)
	}
	if r.Body != nil && r.Body != http.NoBody {
		out.Body = &slowBody{ReadCloser: r.Body, p: p}
	}
	if f.FlipRequest && r.ContentLength > 0 {
		out.Body = io.NopCloser(&flipper{r: r.Body})
	}
	resp, err := p.next.RoundTrip(out)
	if err != nil {
		reset(w)
		return
	}
	defer resp.Body.Close()
	if f.Lost {
		reset(w)
		return
	}
	for name, value := range f.SetHeader {
		resp.Header.Set(name, value)
	}
	if f.Replace != nil {
		resp.Header.Del("Content-Length")
		write(w, http.StatusOK, resp.Header, strings.NewReader(*f.Replace))
		return
	}
	if r.Method == http.MethodHead || resp.ContentLength != 0 && resp.ContentLength < 0 || resp.ContentLength > 1<<20 || f.CutBody > 0 || f.Truncate > 0 || f.FlipBody {
		p.stream(w, resp, f)
		return
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		reset(w)
		return
	}
	p.mu.Lock()
	if _, ok := p.first[key]; !ok {
		p.first[key] = recorded{resp.StatusCode, resp.Header.Clone(), body}
	}
	p.mu.Unlock()
	write(w, resp.StatusCode, resp.Header, bytes.NewReader(body))
}

func write(w http.ResponseWriter, status int, header http.Header, body io.Reader) {
	for name, values := range header {
		w.Header()[name] = values
	}
	w.WriteHeader(status)
	_, _ = io.Copy(w, body)
}

// stream passes a body on as it comes, or a part of it.
func (p *Proxy) stream(w http.ResponseWriter, resp *http.Response, f Fault) {
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	var body io.Reader = resp.Body
	switch {
	case f.FlipBody:
		body = &flipper{r: body}
	case f.CutBody > 0:
		body = io.LimitReader(body, f.CutBody)
	case f.Truncate > 0:
		body = io.LimitReader(body, f.Truncate)
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, body)
	if f.CutBody > 0 {
		_ = http.NewResponseController(w).Flush()
		time.Sleep(10 * time.Millisecond) // a reset overtakes what was sent
		reset(w)
	}
	// A handler that wrote less than it announced has its connection closed.
}

// reset cuts a connection so that the other side sees a reset.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// flipper changes a bit of the first byte.
type flipper struct {
	r    io.Reader
	done bool
}

func (f *flipper) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if n > 0 && !f.done {
		p[0] ^= 1
		f.done = true
	}
	return n, err
}
