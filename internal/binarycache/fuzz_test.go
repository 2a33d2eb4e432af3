package binarycache

import (
	"bytes"
	"io"
	"slices"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/nix"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

func FuzzParseKeys(f *testing.F) {
	k, err := nix.GenerateKey("cache-1")
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("# comment\n\n" + k.Public().String() + "\n"))
	f.Add([]byte("cache-1:AAAA"))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := parseKeys(data)
		if err != nil {
			return
		}
		again, err := parseKeys(marshalKeys("test", keys))
		if err != nil || !slices.Equal(keys, again) {
			t.Fatalf("%v read as %v, %v", keys, again, err)
		}
	})
}

// Whatever a server sends as a compressed NAR ends in bytes or in an error.
func FuzzDecompress(f *testing.F) {
	text := bytes.Repeat([]byte("nix-archive-1 "), 100)
	var z, x bytes.Buffer
	zw, err := zstd.NewWriter(&z)
	if err != nil {
		f.Fatal(err)
	}
	xw, err := xz.NewWriter(&x)
	if err != nil {
		f.Fatal(err)
	}
	for _, w := range []io.WriteCloser{zw, xw} {
		if _, err := w.Write(text); err != nil {
			f.Fatal(err)
		}
		if err := w.Close(); err != nil {
			f.Fatal(err)
		}
	}
	f.Add("zstd", z.Bytes())
	f.Add("zstd", z.Bytes()[:z.Len()-3])
	f.Add("xz", x.Bytes())
	f.Add("xz", x.Bytes()[:x.Len()-3])
	f.Add("gzip", []byte("\x1f\x8b"))
	f.Add("bzip2", []byte("BZh9"))
	f.Add("none", text)
	f.Add("br", text)
	f.Fuzz(func(t *testing.T, compression string, data []byte) {
		r, err := decompress(compression, bytes.NewReader(data))
		if err != nil {
			return
		}
		_, err = io.Copy(io.Discard, io.LimitReader(r, 16<<20))
		if closeErr := r.Close(); closeErr != nil && err == nil {
			t.Fatal(closeErr)
		}
		if compression == "none" && err != nil {
			t.Fatal(err)
		}
	})
}
