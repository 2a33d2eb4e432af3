// Package badnet is a network that is slow, narrow or unreliable: a proxy for
// TCP connections on the loopback interface. Tests and benchmarks put it between
// a client and a server; it needs no rights and knows no protocol.
package badnet

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Options say how bad the network is. The zero value passes all on.
type Options struct {
	// RTT is added to every round trip, half of it each way. To connect costs
	// one round trip, as a handshake does. It limits no throughput by itself:
	// up to window bytes are under way on a connection and direction.
	RTT time.Duration
	// Bandwidth is how many bytes a second pass each way, over all connections
	// together. 0: as many as come.
	Bandwidth int64
	// MeanReset cuts connections with a reset, each after a random number of
	// bytes (both ways together) that is exponentially distributed with this
	// mean. 0: never.
	MeanReset int64
	// Seed of the random numbers, so that a run can be had again.
	Seed uint64
	// Sent, if not nil, sees what clients send, before any delay. It is called
	// by several goroutines at once and must not keep p.
	Sent func(p []byte)
}

const (
	chunk  = 32 << 10 // bytes that are passed on together
	window = 8 << 20  // bytes under way
)

// Proxy listens for clients and connects each to its target.
type Proxy struct {
	Addr string // host:port

	target   string
	o        Options
	listener net.Listener
	up, down limiter
	resets   atomic.Int64
	conns    atomic.Int64

	mu     sync.Mutex
	random *rand.Rand
	open   map[net.Conn]bool
	closed bool
	wg     sync.WaitGroup
}

// Listen starts a proxy in front of target, host:port. Close ends it.
func Listen(target string, o Options) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{
		Addr: l.Addr().String(), target: target, o: o, listener: l,
		random: rand.New(rand.NewPCG(o.Seed, 0)), open: make(map[net.Conn]bool),
	}
	p.up.rate, p.down.rate = o.Bandwidth, o.Bandwidth
	p.wg.Go(p.accept)
	return p, nil
}

// Resets is how many connections were cut.
func (p *Proxy) Resets() int64 { return p.resets.Load() }

// Connections is how many clients connected.
func (p *Proxy) Connections() int64 { return p.conns.Load() }

// Close cuts all connections and waits for their goroutines.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for c := range p.open {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
	return err
}

// track notes an open connection; false if the proxy is closed.
func (p *Proxy) track(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.Close()
		return false
	}
	p.open[c] = true
	return true
}

func (p *Proxy) forget(c net.Conn) {
	p.mu.Lock()
	delete(p.open, c)
	p.mu.Unlock()
	_ = c.Close()
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.conns.Add(1)
		if p.track(c) {
			p.wg.Go(func() { p.serve(c) })
		}
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer p.forget(client)
	time.Sleep(p.o.RTT)
	server, err := net.Dial("tcp", p.target)
	if err != nil || !p.track(server) {
		return
	}
	defer p.forget(server)
	cut := func() {
		for _, c := range []net.Conn{client, server} {
			_ = c.(*net.TCPConn).SetLinger(0) // so that the close is a reset
			_ = c.Close()
		}
	}
	life := &lifetime{}
	if p.o.MeanReset > 0 {
		p.mu.Lock()
		life.left.Store(1 + int64(p.random.ExpFloat64()*float64(p.o.MeanReset)))
		p.mu.Unlock()
		life.end = func() {
			p.resets.Add(1)
			cut()
		}
	}
	var both sync.WaitGroup
	both.Go(func() { p.pass(server, client, &p.up, p.o.Sent, life, cut) })
	both.Go(func() { p.pass(client, server, &p.down, nil, life, cut) })
	both.Wait()
}

// lifetime is how many bytes a connection passes before it is cut.
type lifetime struct {
	left atomic.Int64
	end  func() // nil: it is never cut
	once sync.Once
}

func (l *lifetime) spend(n int) {
	if l.end != nil && l.left.Add(-int64(n)) <= 0 {
		l.once.Do(l.end)
	}
}

type piece struct {
	data []byte
	due  time.Time
}

var buffers = sync.Pool{New: func() any { return new([chunk]byte) }}

// pass carries one direction until it ends. A normal end is passed on, any other
// cuts the connection.
func (p *Proxy) pass(to, from net.Conn, l *limiter, sees func([]byte), life *lifetime, cut func()) {
	under := make(chan piece, window/chunk)
	var writer sync.WaitGroup
	writer.Go(func() {
		broken := false
		for item := range under {
			if !broken {
				sleepUntil(item.due)
				l.wait(len(item.data))
				_, err := to.Write(item.data)
				broken = err != nil
				life.spend(len(item.data))
			}
			buffers.Put((*[chunk]byte)(item.data[:chunk]))
		}
		if !broken {
			_ = to.(*net.TCPConn).CloseWrite()
		}
	})
	var err error
	for err == nil {
		b := buffers.Get().(*[chunk]byte)
		var n int
		if n, err = from.Read(b[:]); n == 0 {
			buffers.Put(b)
			continue
		}
		if sees != nil {
			sees(b[:n])
		}
		under <- piece{b[:n], time.Now().Add(p.o.RTT / 2)}
	}
	if !errors.Is(err, io.EOF) {
		cut()
	}
	close(under)
	writer.Wait()
}

func sleepUntil(t time.Time) {
	if d := time.Until(t); d > 0 {
		time.Sleep(d)
	}
}

// limiter lets bytes pass at a rate.
type limiter struct {
	rate int64
	mu   sync.Mutex
	next time.Time // when the line is free
}

func (l *limiter) wait(n int) {
	if l.rate <= 0 {
		return
	}
	l.mu.Lock()
	if now := time.Now(); l.next.Before(now) {
		l.next = now
	}
	l.next = l.next.Add(time.Duration(int64(n) * int64(time.Second) / l.rate))
	until := l.next
	l.mu.Unlock()
	sleepUntil(until)
}
