package substituter_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/substituter"
)

// A client that reads slowly gets all, however long that takes in whole; one
// that has stopped reading is cut off. So it is for a directory's files and for
// what is on its way from an upstream.
func TestSlowReaders(t *testing.T) {
	// A busy machine may not let the slow client read for a good part of it.
	const limit = 2 * time.Second
	o := newOrigin(t, binarycache.None)
	n, file := o.add(t, "heavy", 24<<20)
	for name, options := range map[string]substituter.Options{
		"directory": {Upstreams: []substituter.Upstream{dirUpstream(t, o.dir)}, WriteTimeout: limit},
		"upstream":  {Upstreams: []substituter.Upstream{o.upstream(t)}, Mirror: openMirror(t, t.TempDir(), 1<<30), WriteTimeout: limit},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFront(t, options)
			known, _ := f.narInfo(t, n.Path)
			ask := func() net.Conn {
				c, err := net.Dial("tcp", strings.TrimPrefix(f.URL, "http://"))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				if err := c.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(c, "GET /%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", known.URL)
				return c
			}
			stopped := ask()
			slow := ask()
			var got bytes.Buffer
			for began := time.Now(); ; time.Sleep(limit / 10) {
				if _, err := io.CopyN(&got, slow, 1<<20); errors.Is(err, io.EOF) {
					if took := time.Since(began); took < 2*limit {
						t.Errorf("it took %v, which says nothing of slow clients", took)
					}
					break
				} else if err != nil {
					t.Fatalf("the slow client was cut off: %v after %d bytes", err, got.Len())
				}
			}
			if !bytes.HasSuffix(got.Bytes(), file) {
				t.Errorf("the slow client got %d bytes, not the NAR's %d", got.Len(), len(file))
			}
			rest, _ := io.Copy(io.Discard, stopped)
			if rest >= int64(len(file)) {
				t.Errorf("the client that had stopped reading was served to the end")
			}
		})
	}
}
