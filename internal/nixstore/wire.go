package nixstore

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"

	"gitlab.com/pantheros/pantheros/internal/nix"
)

// The daemon's protocol, as Nix 2.4 to 2.34 speak it (libstore's
// worker-protocol): 64-bit little-endian integers, strings with a length and
// padding to eight bytes. Every operation is answered by log messages that end
// with "last" or "error", then by its result.
const (
	clientMagic = 0x6e697863
	daemonMagic = 0x6478696f
	// clientVersion is 1.35: new enough for framed NARs and structured
	// errors, old enough that every daemon since 2.4 has what it promises.
	clientVersion = 1<<8 | 35
	minMinor      = 26

	opQueryValidPaths = 31
	opAddToStoreNAR   = 39

	msgNext          = 0x6f6c6d67
	msgRead          = 0x64617461
	msgWrite         = 0x64617416
	msgLast          = 0x616c7473
	msgError         = 0x63787470
	msgStartActivity = 0x53545254
	msgStopActivity  = 0x53544f50
	msgResult        = 0x52534c54

	maxString = 64 << 20 // of what a daemon says; the longest is a list of paths
	maxCount  = 1 << 22
)

// wireConn is one connection. It is not for concurrent use. After an error it
// must be thrown away.
type wireConn struct {
	r     *bufio.Reader
	w     *bufio.Writer
	raw   io.Closer
	minor uint64
}

// connect opens a connection to the store's daemon, or starts a nix-daemon of
// its own that speaks over its standard streams.
func (s *Store) connect(ctx context.Context) (*wireConn, error) {
	c := &wireConn{}
	if s.socket != "" {
		sock, err := (&net.Dialer{}).DialContext(ctx, "unix", s.socket)
		if err != nil {
			return nil, fmt.Errorf("connect to the Nix daemon of %s: %v", s, err)
		}
		c.r, c.w, c.raw = bufio.NewReaderSize(sock, 64<<10), bufio.NewWriterSize(sock, 256<<10), sock
	} else {
		d, err := s.startDaemon(ctx)
		if err != nil {
			return nil, err
		}
		c.r, c.w, c.raw = bufio.NewReaderSize(d.stdout, 64<<10), bufio.NewWriterSize(d.stdin, 256<<10), d
	}
	stop := context.AfterFunc(ctx, func() { c.raw.Close() })
	defer stop()
	if err := c.handshake(); err != nil {
		c.raw.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("speak to the Nix daemon of %s: %v", s, err)
	}
	return c, nil
}

func (c *wireConn) handshake() error {
	c.putInt(clientMagic)
	if err := c.w.Flush(); err != nil {
		return err
	}
	magic, err := c.int()
	if err != nil {
		return err
	}
	if magic != daemonMagic {
		return fmt.Errorf("it answers %#x, which no Nix daemon does", magic)
	}
	version, err := c.int()
	if err != nil {
		return err
	}
	if version>>8 != 1 || version&0xff < minMinor {
		return fmt.Errorf("its protocol is %d.%d, and 1.%d is needed (Nix 2.4 or newer)", version>>8, version&0xff, minMinor)
	}
	c.minor = min(version&0xff, clientVersion&0xff)
	c.putInt(clientVersion)
	c.putInt(0) // CPU affinity, obsolete
	c.putInt(0) // reserve space, obsolete
	if err := c.w.Flush(); err != nil {
		return err
	}
	if c.minor >= 33 {
		if _, err := c.string(); err != nil { // its version of Nix
			return err
		}
	}
	if c.minor >= 35 {
		if _, err := c.int(); err != nil { // whether it trusts us
			return err
		}
	}
	return c.untilLast()
}

func (c *wireConn) putInt(n uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	c.w.Write(b[:]) // an error sticks to the writer until Flush
}

func (c *wireConn) putBool(b bool) {
	if b {
		c.putInt(1)
	} else {
		c.putInt(0)
	}
}

func (c *wireConn) putString(s string) {
	c.putInt(uint64(len(s)))
	c.w.WriteString(s)
	c.w.Write(make([]byte, (8-len(s)%8)%8))
}

func (c *wireConn) putPaths(ps []nix.StorePath) {
	c.putInt(uint64(len(ps)))
	for _, p := range ps {
		c.putString(string(p))
	}
}

func (c *wireConn) int() (uint64, error) {
	var b [8]byte
	if _, err := io.ReadFull(c.r, b[:]); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("it ended the conversation")
		}
		return 0, err
	}
	return binary.LittleEndian.Uint64(b[:]), nil
}

func (c *wireConn) string() (string, error) {
	n, err := c.int()
	if err != nil {
		return "", err
	}
	if n > maxString {
		return "", fmt.Errorf("it sends a string of %d bytes", n)
	}
	// Memory is taken as bytes come, not as they are announced.
	padded := int((n + 7) / 8 * 8) //nolint:gosec // at most maxString
	var b []byte
	for have := 0; have < padded; have = len(b) {
		b = append(b, make([]byte, min(padded-have, max(have, 4<<10)))...)
		if _, err := io.ReadFull(c.r, b[have:]); err != nil {
			return "", err
		}
	}
	return string(b[:n]), nil
}

func (c *wireConn) strings() ([]string, error) {
	n, err := c.int()
	if err != nil {
		return nil, err
	}
	if n > maxCount {
		return nil, fmt.Errorf("it sends a list of %d strings", n)
	}
	var list []string
	for range n {
		s, err := c.string()
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// untilLast reads log messages up to the end of an operation. The daemon's
// own error is a daemonError.
func (c *wireConn) untilLast() error {
	for {
		kind, err := c.int()
		if err != nil {
			return err
		}
		switch kind {
		case msgLast:
			return nil
		case msgError:
			return c.readError()
		case msgNext, msgWrite:
			_, err = c.string()
		case msgRead, msgStopActivity:
			_, err = c.int()
		case msgStartActivity:
			err = c.skip("iiisfi")
		case msgResult:
			err = c.skip("iif")
		default:
			return fmt.Errorf("it sends a message of unknown kind %#x", kind)
		}
		if err != nil {
			return err
		}
	}
}

// skip reads values that do not matter: i an integer, s a string, f a list of
// fields of either type.
func (c *wireConn) skip(layout string) error {
	for _, kind := range layout {
		var err error
		switch kind {
		case 'i':
			_, err = c.int()
		case 's':
			_, err = c.string()
		case 'f':
			err = c.skipFields()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *wireConn) skipFields() error {
	n, err := c.int()
	if err != nil {
		return err
	}
	if n > maxCount {
		return fmt.Errorf("it sends a message of %d fields", n)
	}
	for range n {
		kind, err := c.int()
		if err != nil {
			return err
		}
		if kind == 0 {
			_, err = c.int()
		} else {
			_, err = c.string()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// daemonError is what the daemon says went wrong.
type daemonError struct{ message string }

func (e *daemonError) Error() string { return e.message }

var ansi = regexp.MustCompile("\x1b\\[[0-9;]*m")

func (c *wireConn) readError() error {
	if err := c.skip("sis"); err != nil { // "Error", level, name
		return err
	}
	message, err := c.string()
	if err != nil {
		return err
	}
	if err := c.skip("i"); err != nil { // a position, never sent
		return err
	}
	traces, err := c.int()
	if err != nil {
		return err
	}
	for range min(traces, maxCount) {
		if err := c.skip("is"); err != nil {
			return err
		}
	}
	return &daemonError{strings.Join(strings.Fields(ansi.ReplaceAllString(message, "")), " ")}
}
