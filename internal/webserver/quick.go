package webserver

import (
	"bytes"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Most requests of a binary cache are for a narinfo that is in memory. net/http
// takes several times as long to find out that it is asked for one as there is
// to do then: it starts a goroutine that watches the connection, stops it again,
// and sets three deadlines. So a connection looks at what comes between two
// requests before net/http does, and answers a plain request itself. Plain is
// what cannot be misunderstood: one whole request and nothing after it, of
// GET or HEAD, without any field that could change the answer. All else is
// net/http's, the first request of a connection always, and so is every decision
// about the connection: it believes that the connection waits.

// Quick is an answer that is known without asking anybody.
type Quick struct {
	// Subject is who asked, for the access log.
	Subject string
	// Header are lines of the header with their ends, without the date and the
	// length.
	Header string
	Body   []byte
}

// quickConn is what a connection needs for quick answers. Only one goroutine at
// a time reads from a connection, or says that it is idle.
type quickConn struct {
	server *Server
	// between: the last request is answered, and net/http has nothing of the next.
	between bool
	// given is what net/http has been given since the request began that it reads
	// or answers: that one, and what came after it (it looks for the next request
	// while an answer is being sent).
	given    []byte
	lost     bool      // where a request ends is not known: all is net/http's from here on
	extended time.Time // when the time to wait for the next request was last set
	remote   string
	// sending is held while an answer is under way, so that the end of the
	// server, which closes what is idle, does not cut it.
	sending sync.Mutex
}

// maxGiven bounds what is remembered of requests that net/http answers.
const maxGiven = 8 << 10

// Read reads for net/http, and answers what it need not see.
func (c *tcpConn) Read(p []byte) (int, error) {
	for {
		n, err := c.TCPConn.Read(p)
		if n == 0 || err != nil || c.lost {
			return n, err
		}
		if c.between {
			if r := parsePlain(p[:n]); r.plain {
				done, err := c.answer(r)
				if err != nil {
					return 0, err
				}
				if done {
					continue
				}
			}
			c.between = false
		}
		if len(c.given)+n > maxGiven || c.server.o.Quick == nil {
			c.given, c.lost = nil, true
		} else {
			c.given = append(c.given, p[:n]...)
		}
		return n, nil
	}
}

// idle is told by net/http that a request is answered. What it was given beyond
// that request belongs to the next.
func (c *tcpConn) idle() {
	if c.lost {
		return
	}
	end := bytes.Index(c.given, headEnd) + len(headEnd)
	if end < len(headEnd) || !parsePlain(c.given[:end]).whole {
		c.given, c.lost = nil, true
		return
	}
	c.given = append(c.given[:0], c.given[end:]...)
	c.between, c.extended = len(c.given) == 0, time.Time{}
}

var answers = sync.Pool{New: func() any { return new([]byte) }}

// answer answers a plain request if that can be done at once.
func (c *tcpConn) answer(r plainRequest) (done bool, err error) {
	started := time.Now()
	path := string(r.path)
	q, ok := c.server.o.Quick(path)
	if !ok {
		return false, nil
	}
	method := http.MethodGet
	buf := answers.Get().(*[]byte)
	defer answers.Put(buf)
	b := (*buf)[:0]
	b = append(b, "HTTP/1.1 200 OK\r\n"...)
	b = append(b, q.Header...)
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, int64(len(q.Body)), 10)
	b = append(b, "\r\nDate: "...)
	b = append(b, httpDate(started)...)
	b = append(b, "\r\n\r\n"...)
	header := len(b)
	if r.head {
		method = http.MethodHead
	} else {
		b = append(b, q.Body...)
	}
	*buf = b
	if idle := c.server.o.IdleTimeout; started.Sub(c.extended) > min(idle/8, 5*time.Second) {
		c.extended = started
		if err := c.SetReadDeadline(started.Add(idle)); err != nil {
			return false, err
		}
	}
	if err := c.SetWriteDeadline(started.Add(writeTimeout)); err != nil {
		return false, err
	}
	c.sending.Lock()
	n, err := c.Write(b)
	c.sending.Unlock()
	if c.server.o.Access != nil {
		if c.remote == "" {
			c.remote = c.RemoteAddr().String()
		}
		c.server.o.Access(Access{
			Method: method, Path: path, Remote: c.remote, Subject: q.Subject,
			Status: http.StatusOK, Bytes: int64(max(0, n-header)), Took: time.Since(started), Cut: err != nil,
		})
	}
	return true, err
}

// patience is how long the end of the server waits for quick answers that are
// just being sent, in all: net/http closes connections one after the other, and
// many clients may not take theirs.
const patience = time.Second

// settle waits for an answer that is just being sent, but not for a client that
// does not take it.
func (c *tcpConn) settle() {
	for range 50 {
		if c.sending.TryLock() {
			c.sending.Unlock()
			return
		}
		if c.server.patience.Add(-1) < 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// connState is net/http's hook.
func connState(c net.Conn, state http.ConnState) {
	if c, ok := c.(*tcpConn); ok && state == http.StateIdle {
		c.idle()
	}
}

type dateText struct {
	second int64
	text   string
}

var lastDate atomic.Pointer[dateText]

// httpDate is a time as a header has it.
func httpDate(t time.Time) string {
	if d := lastDate.Load(); d != nil && d.second == t.Unix() {
		return d.text
	}
	d := &dateText{t.Unix(), t.UTC().Format(http.TimeFormat)}
	lastDate.Store(d)
	return d.text
}

// plainRequest is what was read from a connection, if it is simple.
type plainRequest struct {
	whole bool // one whole request without a body, and nothing after it
	plain bool // whole, and nothing but method and path says what is wanted
	head  bool
	path  []byte
}

var (
	headEnd   = []byte("\r\n\r\n")
	lineEnd   = []byte("\r\n")
	lineTail  = []byte(" HTTP/1.1")
	getSpace  = []byte("GET /")
	headSpace = []byte("HEAD /")
)

// parsePlain looks at the beginning of a request. It is stricter than HTTP: what
// it does not know it leaves to net/http, and what it could misjudge the end of
// is not whole.
func parsePlain(b []byte) (r plainRequest) {
	if !bytes.HasSuffix(b, headEnd) || bytes.Index(b, headEnd) != len(b)-len(headEnd) {
		return plainRequest{}
	}
	b = b[:len(b)-len(lineEnd)]
	line, b := cutLine(b)
	switch {
	case bytes.HasPrefix(line, getSpace):
		r.path = line[len(getSpace)-1:]
	case bytes.HasPrefix(line, headSpace):
		r.path, r.head = line[len(headSpace)-1:], true
	default:
		return plainRequest{}
	}
	var ok bool
	if r.path, ok = bytes.CutSuffix(r.path, lineTail); !ok {
		return plainRequest{}
	}
	r.plain = true
	for _, c := range r.path {
		switch class := classes[c]; {
		case class&inPath != 0:
		case class&inValue != 0 && c != ' ':
			r.plain = false
		default:
			return plainRequest{}
		}
	}
	hosts := 0
	for len(b) > 0 {
		line, b = cutLine(b)
		colon := bytes.IndexByte(line, ':')
		if colon <= 0 || colon > maxName {
			return plainRequest{}
		}
		var lower [maxName]byte
		for i, c := range line[:colon] {
			if classes[c]&inName == 0 {
				return plainRequest{}
			}
			if c >= 'A' && c <= 'Z' {
				c += 'a' - 'A'
			}
			lower[i] = c
		}
		value := line[colon+1:]
		for _, c := range value {
			if classes[c]&inValue == 0 {
				return plainRequest{}
			}
		}
		switch string(lower[:colon]) {
		case "host":
			hosts++
			for _, c := range bytes.TrimSpace(value) {
				if classes[c]&inHost == 0 {
					r.plain = false
				}
			}
		case "user-agent", "accept", "accept-encoding", "accept-language", "via",
			"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip":
		case "connection":
			if !bytes.EqualFold(bytes.TrimSpace(value), []byte("keep-alive")) {
				return plainRequest{}
			}
		case "content-length", "transfer-encoding", "trailer", "te", "expect", "upgrade", "http2-settings":
			return plainRequest{}
		default:
			r.plain = false // a token, a range, a condition
		}
	}
	r.whole = true
	r.plain = r.plain && hosts == 1
	return r
}

func cutLine(b []byte) (line, rest []byte) {
	i := bytes.Index(b, lineEnd) // there is one: b ends with it
	return b[:i], b[i+len(lineEnd):]
}

// maxName is the longest name of a field that is looked at.
const maxName = 40

const (
	inPath  = 1 << iota // in a path without escapes and without a query
	inName              // in a field's name
	inValue             // in a field's value, and in a request's target but for spaces
	inHost              // in a host and port
)

var classes = func() (t [256]byte) {
	for c := byte(' '); c <= '~'; c++ {
		t[c] |= inValue
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-', c == '_':
			t[c] |= inPath | inName | inHost
		case c == '.':
			t[c] |= inPath | inHost
		case c == '/':
			t[c] |= inPath
		case c == ':' || c == '[' || c == ']':
			t[c] |= inHost
		}
	}
	return t
}()
