package webserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/webserver"
)

// start serves a handler until the test ends and returns the address.
func start(t *testing.T, o webserver.Options) string {
	t.Helper()
	address, end, done := serving(t, o)
	t.Cleanup(func() {
		end()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return address
}

// serving serves a handler until end is called; done has how that ended.
func serving(t *testing.T, o webserver.Options) (address string, end context.CancelFunc, done <-chan error) {
	t.Helper()
	server, err := webserver.New(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, []net.Listener{l}) }()
	return l.Addr().String(), cancel, ended
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Clients that send their header byte by byte, or none, are cut off in time, so
// that they cannot take every slot there is: others wait no longer than that.
func TestSlowHeaders(t *testing.T) {
	const slots, limit = 8, 500 * time.Millisecond
	address := start(t, webserver.Options{
		Handler:     http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }),
		Connections: slots, HeaderTimeout: limit, IdleTimeout: limit, Drain: time.Second,
	})
	cut := make(chan time.Duration, slots)
	for i := range slots {
		c := dial(t, address)
		go func() {
			began := time.Now()
			if i%2 == 0 { // the others say nothing at all
				go func() {
					for _, b := range []byte("GET /nix-cache-info HTTP/1.1\r\nHost: cache.example.org\r\nUser-Agent: slow\r\n") {
						if _, err := c.Write([]byte{b}); err != nil {
							return
						}
						time.Sleep(50 * time.Millisecond)
					}
				}()
			}
			_, _ = io.Copy(io.Discard, c)
			cut <- time.Since(began)
		}()
	}
	time.Sleep(50 * time.Millisecond) // they have all the slots
	client := http.Client{Timeout: 10 * time.Second}
	began := time.Now()
	resp, err := client.Get("http://" + address + "/nix-cache-info")
	if err != nil {
		t.Fatalf("a good client: %v", err)
	}
	resp.Body.Close()
	if took := time.Since(began); took > 10*limit {
		t.Errorf("a good client waited %v", took)
	}
	for range slots {
		select {
		case after := <-cut:
			if after < limit/2 || after > 10*limit {
				t.Errorf("a slow client was cut off after %v, want about %v", after, limit)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("a slow client is still there")
		}
	}
}

// An endless header, and one that is too long, are refused.
func TestLongHeaders(t *testing.T) {
	address := start(t, webserver.Options{Handler: http.NotFoundHandler(), Drain: time.Second})
	c := dial(t, address)
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n"); err != nil {
		t.Fatal(err)
	}
	sent := 0
	for line := fmt.Sprintf("X-Filler: %01000d\r\n", 0); ; sent += len(line) {
		if _, err := io.WriteString(c, line); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("it takes a header without end: %d bytes so far", sent)
		} else if err != nil {
			break
		}
	}
	if sent > 8<<20 {
		t.Errorf("it took %d bytes of header", sent)
	}
}
