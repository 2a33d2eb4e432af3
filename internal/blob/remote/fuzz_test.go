package remote

import (
	"bytes"
	"io"
	"testing"
)

func FuzzDecode(f *testing.F) {
	f.Add("a.narinfo", "gzip", []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add("a.narinfo", "aws-chunked, br", []byte("x"))
	f.Add("nar/a.nar", "gzip", []byte("x"))
	f.Fuzz(func(t *testing.T, key, header string, data []byte) {
		r, err := Decode(key, header, io.NopCloser(bytes.NewReader(data)))
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, io.LimitReader(r, 16<<20))
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
