package nixstore

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"testing"
)

// said is what a daemon sends: integers, and strings with their padding.
func said(values ...any) []byte {
	var b []byte
	for _, v := range values {
		switch v := v.(type) {
		case int:
			b = binary.LittleEndian.AppendUint64(b, uint64(v)) //nolint:gosec // constants of this file
		case string:
			b = binary.LittleEndian.AppendUint64(b, uint64(len(v)))
			b = append(b, v...)
			b = append(b, make([]byte, (8-len(v)%8)%8)...)
		}
	}
	return b
}

// Whatever a daemon answers ends in a result or an error, and costs no more
// memory than what it sent.
func FuzzWire(f *testing.F) {
	greeting := []any{daemonMagic, 1<<8 | 35, "2.26.3", 1, msgLast}
	f.Add(said(greeting...))
	f.Add(said(append(greeting, msgStartActivity, 1, 3, 100, "building", 1, 0, 7, 0, msgStopActivity, 1, msgLast, 1, helloPath)...))
	f.Add(said(append(greeting, msgError, "Error", 0, "Error", "\x1b[31mno\x1b[0m such path", 0, 1, 0, "while asking")...))
	f.Add(said(append(greeting, msgNext, "hello\n", msgLast, 1<<40)...))
	f.Add(said(daemonMagic, 1<<8|37, 64<<20))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := &wireConn{r: bufio.NewReader(bytes.NewReader(data)), w: bufio.NewWriter(io.Discard)}
		if c.handshake() != nil {
			return
		}
		if c.minor < minMinor || c.minor > clientVersion&0xff {
			t.Fatalf("protocol 1.%d was accepted", c.minor)
		}
		if c.untilLast() != nil {
			return
		}
		list, err := c.strings()
		size := 0
		for _, s := range list {
			size += len(s)
		}
		if err == nil && size > len(data) {
			t.Fatalf("%d bytes of strings from %d bytes", size, len(data))
		}
	})
}
