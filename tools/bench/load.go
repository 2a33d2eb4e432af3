package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gitlab.com/pantheros/pantheros/internal/nix"

	"golang.org/x/sync/errgroup"
)

// object is a narinfo or a NAR of a cache.
type object struct {
	key  string
	size int64 // of what is stored; 0: whatever comes is right
}

// cached is a path's narinfo and NAR. A server may write a narinfo anew, so that
// its length is not known.
type cached struct{ info, nar object }

// objects lists what a directory cache holds, the largest NAR first.
func objects(dir string) (all []cached, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.narinfo"))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		info, err := nix.ParseNARInfo(nix.DefaultStoreDir, data)
		if err != nil {
			return nil, fmt.Errorf("%s: %v", name, err)
		}
		all = append(all, cached{object{key: filepath.Base(name)}, object{info.URL, info.FileSize}})
	}
	slices.SortFunc(all, func(a, b cached) int { return int(b.nar.size - a.nar.size) })
	return all, nil
}

// load does jobs over a number of connections that are kept: each job is a
// sequence of objects, which are asked for one after the other and read whole.
// It parses no more than it must: what it costs is taken from the server, which
// runs on the same processors.
func load(ctx context.Context, addr string, connections int, jobs [][]object) (bytes int64, err error) {
	var next, read atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range min(connections, len(jobs)) {
		group.Go(func() error {
			c := &connection{addr: addr}
			defer c.close()
			for {
				i := int(next.Add(1)) - 1
				if i >= len(jobs) {
					return nil
				}
				for _, o := range jobs[i] {
					n, err := c.get(ctx, o, nil)
					if err != nil {
						return err
					}
					read.Add(n)
				}
			}
		})
	}
	err = group.Wait()
	return read.Load(), err
}

// streams reads objects at once, each over a connection of its own, so that
// there is a moment at which all of them are under way.
func streams(ctx context.Context, addr string, all []object) error {
	var begun sync.WaitGroup
	begun.Add(len(all))
	group, ctx := errgroup.WithContext(ctx)
	for _, o := range all {
		group.Go(func() error {
			c := &connection{addr: addr}
			defer c.close()
			done := sync.OnceFunc(begun.Done)
			defer done()
			_, err := c.get(ctx, o, func() {
				done()
				begun.Wait()
			})
			return err
		})
	}
	return group.Wait()
}

type connection struct {
	addr   string
	conn   net.Conn
	reader *bufio.Reader
	buffer []byte
}

func (c *connection) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// get reads an object, checks that it is as long as it should be and returns its
// length; begun, if not nil, is called when the answer has begun to come.
func (c *connection) get(ctx context.Context, o object, begun func()) (n int64, err error) {
	if c.conn == nil {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.addr)
		if err != nil {
			return 0, err
		}
		c.conn, c.reader, c.buffer = conn, bufio.NewReaderSize(conn, 16<<10), make([]byte, 64<<10)
	}
	if err := c.conn.SetDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(c.conn, "GET /"+o.key+" HTTP/1.1\r\nHost: "+c.addr+"\r\n\r\n"); err != nil {
		return 0, err
	}
	answer, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return n, fmt.Errorf("get %s: %v", o.key, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("get %s: HTTP %d", o.key, answer.StatusCode)
	}
	if begun != nil {
		begun()
	}
	n, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{answer.Body}, c.buffer)
	if err == nil && o.size > 0 && n != o.size {
		err = fmt.Errorf("%d bytes of %d", n, o.size)
	}
	if err != nil {
		return n, fmt.Errorf("get %s: %v", o.key, err)
	}
	if answer.Close {
		c.close()
	}
	return n, ctx.Err()
}
