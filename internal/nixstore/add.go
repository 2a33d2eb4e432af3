package nixstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"sync"

	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// Sink adds paths to a store. Close it to end its connections.
type Sink struct {
	store *Store
	// trusting: the caller has checked the signatures of what is not content
	// addressed, so that the daemon need not; it obeys only who may say so.
	trusting bool
	conns    int
	idle     chan *wireConn // capacity conns: those not in use

	mu   sync.Mutex
	open []*wireConn
}

var _ cache.Sink = (*Sink)(nil)

// Sink returns a sink for cache.Copy. If trusting, input-addressed paths are
// added without the daemon's checking of signatures: the caller has checked
// them. Otherwise Nix checks them against its own trusted-public-keys.
func (s *Store) Sink(trusting bool) *Sink {
	n := max(runtime.GOMAXPROCS(0), 2)
	return &Sink{store: s, trusting: trusting, conns: n, idle: make(chan *wireConn, n)}
}

// Traits tells cache.Copy that adding a path needs its references first.
func (k *Sink) Traits() cache.Traits {
	return cache.Traits{RefsFirst: true, Large: k.conns}
}

// Missing asks the daemon, in one question, which paths it has.
func (k *Sink) Missing(ctx context.Context, ps []nix.PathInfo) ([]nix.PathInfo, error) {
	have := make(map[string]bool)
	err := k.with(ctx, func(c *wireConn) error {
		paths := make([]nix.StorePath, len(ps))
		for i, p := range ps {
			paths[i] = p.Path
		}
		c.putInt(opQueryValidPaths)
		c.putPaths(paths)
		if c.minor >= 27 {
			c.putBool(false) // do not look at substituters
		}
		if err := c.w.Flush(); err != nil {
			return err
		}
		if err := c.untilLast(); err != nil {
			return err
		}
		valid, err := c.strings()
		for _, p := range valid {
			have[p] = true
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ask %s what it has: %w", k.store, err)
	}
	var missing []nix.PathInfo
	for _, p := range ps {
		if !have[string(p.Path)] {
			missing = append(missing, p)
		}
	}
	return missing, nil
}

// PutNAR adds a path, whose references must be there. Nix computes the hash
// again and keeps nothing if it differs.
func (k *Sink) PutNAR(ctx context.Context, p nix.PathInfo, nar io.Reader) (nix.NARInfo, error) {
	err := k.with(ctx, func(c *wireConn) error {
		c.putInt(opAddToStoreNAR)
		c.putString(string(p.Path))
		c.putString(string(p.Deriver))
		c.putString(p.NARHash.Hex())
		c.putPaths(p.References)
		c.putInt(0) // registration time: now
		c.putInt(uint64(p.NARSize))
		c.putBool(false) // ultimate: it was not built here
		c.putInt(uint64(len(p.Signatures)))
		for _, sig := range p.Signatures {
			c.putString(sig.String())
		}
		c.putString(p.CA)
		c.putBool(false) // repair
		c.putBool(k.trusting && p.CA == "")
		return c.sendFramed(nar)
	})
	if err != nil {
		return nix.NARInfo{}, fmt.Errorf("add to %s: %w%s", k.store, err, adviceOn(err))
	}
	return nix.NARInfo{PathInfo: p}, nil
}

// Publish has nothing to do: a path that was added is visible.
func (k *Sink) Publish(context.Context, []nix.NARInfo) error { return nil }

// sendFramed sends r in frames while it listens: the daemon may refuse before
// the end.
func (c *wireConn) sendFramed(r io.Reader) error {
	answer := make(chan error, 1)
	go func() { answer <- c.untilLast() }()
	frames := &frameWriter{c: c, answer: answer}
	_, err := io.CopyBuffer(struct{ io.Writer }{frames}, r, make([]byte, 128<<10))
	if err == nil {
		c.putInt(0)
		err = c.w.Flush()
	}
	if frames.answered {
		return frames.early
	}
	if err != nil {
		// Why the daemon hung up says more than that it did.
		c.raw.Close()
		var said *daemonError
		if answer := <-answer; errors.As(answer, &said) {
			return said
		}
		return err
	}
	return <-answer
}

// adviceOn says what to do about Nix's refusal of a path, where Nix does not.
// The words differ by version; not to know them costs only the advice.
func adviceOn(err error) string {
	var said *daemonError
	if errors.As(err, &said) && strings.Contains(said.message, "lacks a") && strings.Contains(said.message, "signature") {
		return "; say which key its cache signs with (--public-key), or add that to trusted-public-keys in nix.conf"
	}
	return ""
}

// frameWriter sends each write as a frame: its length, then the bytes.
type frameWriter struct {
	c        *wireConn
	answer   <-chan error
	answered bool
	early    error
}

func (f *frameWriter) Write(p []byte) (int, error) {
	select {
	case err := <-f.answer:
		f.answered, f.early = true, err
		if err == nil {
			f.early = errors.New("the daemon was content before the end of the NAR")
		}
		return 0, f.early
	default:
	}
	f.c.putInt(uint64(len(p)))
	return f.c.w.Write(p)
}

// with runs f on a connection that nobody else uses meanwhile. One that ends
// in an error is not used again.
func (k *Sink) with(ctx context.Context, f func(*wireConn) error) error {
	c, err := k.take(ctx)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { c.raw.Close() })
	err = f(c)
	if !stop() || err != nil {
		k.drop(c)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	k.idle <- c
	return nil
}

func (k *Sink) take(ctx context.Context) (*wireConn, error) {
	select {
	case c := <-k.idle:
		return c, nil
	default:
	}
	// cache.Copy never wants more than Traits said, so this is bounded.
	c, err := k.store.connect(ctx)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	k.open = append(k.open, c)
	k.mu.Unlock()
	return c, nil
}

func (k *Sink) drop(c *wireConn) {
	k.mu.Lock()
	for i, o := range k.open {
		if o == c {
			k.open = append(k.open[:i], k.open[i+1:]...)
			break
		}
	}
	k.mu.Unlock()
	c.raw.Close()
}

// Close ends all connections. Nothing else may use the sink any more.
func (k *Sink) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.open {
		c.raw.Close()
	}
	k.open = nil
	return nil
}

// daemonProcess is a nix-daemon that serves one connection.
type daemonProcess struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout io.Reader
	once   sync.Once
}

func (s *Store) startDaemon(ctx context.Context) (*daemonProcess, error) {
	// Not ended by ctx but by Close, which ctx calls: it must be waited for.
	cmd := s.nixCommand(context.WithoutCancel(ctx), "nix-daemon", "--stdio")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = &bytes.Buffer{}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a nix-daemon for %s: %v (is Nix on PATH?)", s, err)
	}
	return &daemonProcess{cmd: cmd, stdin: stdin, stdout: stdout}, nil
}

// Close ends the conversation, which ends the process.
func (d *daemonProcess) Close() error {
	d.once.Do(func() {
		d.stdin.Close()
		_ = d.cmd.Process.Kill() // what it was adding is not valid, what was added is committed
		_ = d.cmd.Wait()
	})
	return nil
}
