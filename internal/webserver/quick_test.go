package webserver_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/webserver"
)

const known = "/0123456789abcdfghijklmnpqrsvwxyz.narinfo"

// twice serves the same with quick answers and without.
type twice struct {
	quick, slow string
	hits        atomic.Int64
	body        atomic.Pointer[string]
}

func serveTwice(t *testing.T, idle time.Duration) *twice {
	s := &twice{}
	body := strings.Repeat("StorePath: ...\n", 40)
	s.body.Store(&body)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != known {
			http.Error(w, "there is no "+r.URL.Path, http.StatusNotFound)
			return
		}
		if r.Header.Get("Authorization") != "" {
			http.Error(w, "wrong token", http.StatusUnauthorized)
			return
		}
		w.Header()["X-Content-Type-Options"] = []string{"nosniff"}
		w.Header()["Content-Type"] = []string{"text/x-nix-narinfo"}
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(*s.body.Load()))
	})
	quick := func(path string) (q webserver.Quick, ok bool) {
		if path != known {
			return q, false
		}
		s.hits.Add(1)
		return webserver.Quick{Subject: "-", Header: "X-Content-Type-Options: nosniff\r\nContent-Type: text/x-nix-narinfo\r\nAccept-Ranges: bytes\r\n", Body: []byte(*s.body.Load())}, true
	}
	s.quick = start(t, webserver.Options{Handler: handler, Quick: quick, IdleTimeout: idle, HeaderTimeout: 30 * time.Second, Drain: time.Second})
	s.slow = start(t, webserver.Options{Handler: handler, IdleTimeout: idle, HeaderTimeout: 30 * time.Second, Drain: time.Second})
	return s
}

const plain = "GET " + known + " HTTP/1.1\r\nHost: cache.example.org\r\nUser-Agent: curl/8.14 Nix/2.34\r\nAccept: */*\r\nAccept-Encoding: deflate, gzip, br, zstd\r\n\r\n"

// replies writes texts to a connection, each when the answers before it are
// read, and tells what came for each: answers, or that the connection ended.
func replies(t *testing.T, address string, texts []string, heads []int) string {
	t.Helper()
	c := dial(t, address)
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReader(c)
	var b strings.Builder
	for i, text := range texts {
		time.Sleep(3 * time.Millisecond) // net/http still looks after the last one
		// In pieces, where the text says so.
		for n, piece := range strings.Split(text, "|") {
			if n > 0 {
				time.Sleep(20 * time.Millisecond)
			}
			if _, err := io.WriteString(c, piece); err != nil {
				fmt.Fprintf(&b, "%d: cut\n", i)
				return b.String()
			}
		}
		for range heads[i] {
			method := http.MethodGet
			if strings.HasPrefix(text, "HEAD") {
				method = http.MethodHead
			}
			answer, err := http.ReadResponse(r, &http.Request{Method: method})
			if err != nil {
				if e := net.Error(nil); errors.As(err, &e) && e.Timeout() {
					t.Errorf("no answer to %q", text)
				}
				fmt.Fprintf(&b, "%d: cut\n", i)
				return b.String()
			}
			if _, err := http.ParseTime(answer.Header.Get("Date")); err != nil && answer.StatusCode == http.StatusOK {
				t.Errorf("date: %v", err)
			}
			answer.Header.Del("Date")
			body, err := io.ReadAll(answer.Body)
			if err != nil {
				t.Errorf("body: %v", err)
			}
			_ = answer.Body.Close()
			fmt.Fprintf(&b, "%d: %s length %d %v %d bytes %q\n", i, answer.Status, answer.ContentLength, answer.Header, len(body), body[:min(len(body), 40)])
			if answer.Close {
				fmt.Fprintf(&b, "%d: closes\n", i)
				return b.String()
			}
		}
	}
	return b.String()
}

// What is answered without net/http is what net/http would have answered, and
// what is not plain is left to it, wherever in a connection it comes.
func TestQuickAnswersAreTheSame(t *testing.T) {
	s := serveTwice(t, time.Minute)
	with := func(fields string) string { return strings.Replace(plain, "\r\n\r\n", "\r\n"+fields+"\r\n\r\n", 1) }
	for name, c := range map[string]struct {
		text    string
		answers int
		quick   int64 // answers, of it and the plain ones before and after it
	}{
		"plain":              {plain, 1, 3},
		"head":               {strings.Replace(plain, "GET", "HEAD", 1), 1, 3},
		"kept alive":         {with("Connection: Keep-Alive"), 1, 3},
		"forwarded":          {with("X-Forwarded-For: 192.0.2.1"), 1, 3},
		"range":              {with("Range: bytes=3-9"), 1, 2},
		"condition":          {with(`If-None-Match: "x"`), 1, 2},
		"token":              {with("Authorization: Bearer x"), 1, 2},
		"another path":       {strings.Replace(plain, known, "/nar/x", 1), 1, 2},
		"query":              {strings.Replace(plain, known, known+"?x", 1), 1, 2},
		"escapes":            {strings.Replace(plain, ".narinfo", "%2enarinfo", 1), 1, 2},
		"dots":               {strings.Replace(plain, known, "/../.."+known, 1), 1, 2},
		"absolute":           {strings.Replace(plain, known, "http://cache.example.org"+known, 1), 1, 1},
		"http/1.0":           {strings.Replace(plain, "1.1", "1.0", 1), 1, 1},
		"close":              {with("Connection: close"), 1, 1},
		"no host":            {strings.Replace(plain, "Host: cache.example.org\r\n", "", 1), 1, 1},
		"two hosts":          {with("Host: cache.example.org"), 1, 1},
		"odd host":           {strings.Replace(plain, "cache.example.org", "a b", 1), 1, 1},
		"bare line ends":     {strings.ReplaceAll(plain, "\r\n", "\n"), 1, 1},
		"folded":             {with("Accept: a\r\n b"), 1, 1},
		"control character":  {with("Accept: a\x01b"), 1, 1},
		"a body":             {with("Content-Length: 5") + "hello", 1, 1},
		"a late body":        {with("Content-Length: 5") + "|hello", 1, 1},
		"no body":            {with("Content-Length: 0"), 1, 1},
		"chunks":             {with("Transfer-Encoding: chunked") + "5\r\nhello\r\n0\r\n\r\n", 1, 1},
		"smuggled":           {with("Transfer-Encoding: chunked\r\nContent-Length: 4") + "0\r\n\r\n" + plain, 1, 1},
		"pieces":             {plain[:20] + "|" + plain[20:50] + "|" + plain[50:], 1, 2},
		"cut before its end": {plain[:len(plain)-2] + "|\r\n", 1, 2},
		"pipelined":          {plain + plain + plain, 3, 2},
		"pipelined in part":  {plain + "GE|T" + plain[3:], 2, 2},
		"two, one odd":       {with("Range: bytes=0-1") + plain, 2, 2},
		"long":               {with("Accept: " + strings.Repeat("a", 8000)), 1, 2},
		"too long":           {with("Accept: " + strings.Repeat("a", 60000)), 1, 1},
		"nonsense":           {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 1, 1},
		"another method":     {strings.Replace(plain, "GET", "DELETE", 1), 1, 1},
		"upgrade":            {with("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"), 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			// The first of a connection goes to net/http. So does one that comes
			// before net/http has finished with the last, so that on a busy machine
			// fewer are quick.
			texts, answers := []string{plain, plain, c.text, plain}, []int{1, 1, c.answers, 1}
			for try := 0; ; try++ {
				before := s.hits.Load()
				got, want := replies(t, s.quick, texts, answers), replies(t, s.slow, texts, answers)
				if got != want {
					t.Fatalf("got\n%s\nwant\n%s", got, want)
				}
				n := s.hits.Load() - before
				if n == c.quick {
					return
				}
				if n > c.quick || try == 20 {
					t.Fatalf("%d quick answers, want %d:\n%s", n, c.quick, got)
				}
			}
		})
	}
}

// A connection that is used lives longer than an idle one may, and an idle one
// does not, whoever answers.
func TestQuickConnectionsEnd(t *testing.T) {
	const idle = 2 * time.Second
	s := serveTwice(t, idle)
	c := dial(t, s.quick)
	r := bufio.NewReader(c)
	last := time.Now()
	for began := last; time.Since(began) < 2*idle; time.Sleep(idle / 10) {
		_, err := io.WriteString(c, plain)
		if err == nil {
			var answer *http.Response
			if answer, err = http.ReadResponse(r, nil); err == nil {
				_, err = io.Copy(io.Discard, answer.Body)
				_ = answer.Body.Close()
			}
		}
		switch {
		case err == nil:
		case time.Since(last) > idle/2: // the machine is busy: it was idle for too long
			c = dial(t, s.quick)
			r = bufio.NewReader(c)
			began = time.Now()
		default:
			t.Fatalf("after %s: %v", time.Since(began), err)
		}
		last = time.Now()
	}
	if s.hits.Load() == 0 {
		t.Error("nothing was answered quickly")
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * idle))
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("an idle connection: %v, want its end", err)
	}
}

// A client that sends requests and takes no answer is cut off like any other,
// and does not hold up the end of the server.
func TestQuickAnswersNotTaken(t *testing.T) {
	body := strings.Repeat("x", 4<<20)
	address, cancel, done := serving(t, webserver.Options{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }),
		Quick:   func(string) (webserver.Quick, bool) { return webserver.Quick{Body: []byte(body)}, true },
		Drain:   2 * time.Second,
	})
	c := dial(t, address)
	if _, err := io.WriteString(c, plain); err != nil {
		t.Fatal(err)
	}
	first, err := http.ReadResponse(bufio.NewReaderSize(c, 16), nil) // the handler's, a few bytes
	if err != nil {
		t.Fatal(err)
	}
	_ = first.Body.Close()
	if _, err := io.WriteString(c, plain); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond) // more than the system's buffers take is under way
	began := time.Now()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("it ended after %s", took)
	}
}

// When the server ends, every request that it has taken is answered whole.
func TestQuickAnswersWhileTheServerEnds(t *testing.T) {
	for range 5 {
		body := strings.Repeat("x", 700)
		address, cancel, done := serving(t, webserver.Options{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }),
			Quick:   func(string) (webserver.Quick, bool) { return webserver.Quick{Body: []byte(body)}, true },
		})
		var clients sync.WaitGroup
		var answered atomic.Int64
		for range 8 {
			c := dial(t, address)
			clients.Go(func() {
				r := bufio.NewReader(c)
				for {
					if _, err := io.WriteString(c, plain); err != nil {
						return
					}
					// A connection that waits may end at any time; an answer that
					// has begun must not.
					if _, err := r.Peek(1); err != nil {
						return
					}
					answer, err := http.ReadResponse(r, nil)
					if err == nil {
						_, err = io.Copy(io.Discard, answer.Body)
						_ = answer.Body.Close()
					}
					if err != nil {
						t.Errorf("cut in an answer: %v", err)
						return
					}
					answered.Add(1)
					if answer.Close {
						return
					}
				}
			})
		}
		for answered.Load() < 200 {
			time.Sleep(time.Millisecond)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		clients.Wait()
	}
}
