package webserver

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What is taken for a whole request net/http reads to its last byte and no
// further, without a body; what is taken for a plain one has the same path, and
// nothing that a handler looks at.
func FuzzParsePlain(f *testing.F) {
	f.Add([]byte("GET /0123456789abcdfghijklmnpqrsvwxyz.narinfo HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n"))
	f.Add([]byte("HEAD /x HTTP/1.1\r\nhost: [::1]:80\r\nconnection: keep-alive\r\n\r\n"))
	f.Add([]byte("GET /x?y HTTP/1.1\r\nHost: a\r\nRange: bytes=1-2\r\n\r\n"))
	f.Add([]byte("GET /%2e%2e/x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"))
	f.Add([]byte("GET /x HTTP/1.1\r\nHost: a\r\n\r\nGET /y HTTP/1.1\r\nHost: a\r\n\r\n"))
	f.Add([]byte("GET /x HTTP/1.1\nHost: a\n\n\r\n\r\n"))
	f.Add([]byte("GET //x HTTP/1.1\r\n: a\r\nHost:\r\nTransfer-Encoding: chunked\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got := parsePlain(data)
		if !got.whole {
			if got.plain {
				t.Fatalf("%q: plain, but not whole", data)
			}
			return
		}
		in := bufio.NewReader(bytes.NewReader(data))
		r, err := http.ReadRequest(in)
		if err != nil {
			if got.plain {
				t.Fatalf("%q: plain, but %v", data, err)
			}
			return // net/http refuses it and ends the connection
		}
		if r.ContentLength != 0 || r.Body != http.NoBody {
			t.Fatalf("%q has a body", data)
		}
		if rest, _ := io.ReadAll(in); len(rest) > 0 {
			t.Fatalf("%q: net/http leaves %q", data, rest)
		}
		if !got.plain {
			return
		}
		if r.URL.Path != string(got.path) || r.URL.RawQuery != "" || r.URL.Host != "" || got.head != (r.Method == http.MethodHead) || r.Close || r.Host == "" {
			t.Fatalf("%q: %q, net/http %s %v", data, got.path, r.Method, r.URL)
		}
		for name := range r.Header {
			switch name {
			case "User-Agent", "Accept", "Accept-Encoding", "Accept-Language", "Via", "X-Real-Ip", "Connection":
			default:
				if !strings.HasPrefix(name, "X-Forwarded-") {
					t.Fatalf("%q: plain with %s", data, name)
				}
			}
		}
	})
}

// Clients that do not take their answers hold up the end of the server together,
// not one after the other.
func TestTheEndWaitsForAllTogether(t *testing.T) {
	s, err := New(Options{Handler: http.NotFoundHandler()})
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	for range 1000 { // 50 s, if each were waited for
		c := &tcpConn{}
		c.server = s
		c.sending.Lock()
		c.settle()
	}
	if took := time.Since(started); took < patience/2 || took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
}
