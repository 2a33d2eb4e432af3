package binarycache

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/nix"

	"github.com/klauspost/compress/zstd"
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

// xzSample is "nix-archive-1 " a hundred times, as xz --check=crc32 -0 writes
// it, but for the code of the dictionary's size in its block header: 28 is 64
// MiB, two more are twice as much.
func xzSample(t testing.TB, dictionary byte) []byte {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString("/Td6WFoAAAFpIt42AgAhARwAAAAQz1jM4AV3AB5dADcaS3L9cBltLifBtXZUFZOPtlWdwnPRtrupW48AAAAAAJLLOqcAATb4CgAAAJXLjwY+MA2LAgAAAAABWVo=")
	if err != nil {
		t.Fatal(err)
	}
	const header = 12 // the block header's place; it has 12 bytes, the last 4 its sum
	data[header+4] = dictionary
	binary.LittleEndian.PutUint32(data[header+8:], crc32.ChecksumIEEE(data[header:header+8]))
	return data
}

// A file cannot have its reader take memory as it pleases.
func TestXZDictionary(t *testing.T) {
	want := strings.Repeat("nix-archive-1 ", 100)
	for dictionary, ok := range map[byte]bool{0: true, 28: true, 29: false, 37: false, 39: false, 40: false, 41: false} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, err := decompress("xz", bytes.NewReader(xzSample(t, dictionary)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		runtime.ReadMemStats(&after)
		if ok && (err != nil || string(got) != want) {
			t.Errorf("dictionary of code %d: %d bytes, %v", dictionary, len(got), err)
		}
		if !ok && (err == nil || dictionary < 41 && !strings.Contains(err.Error(), "more than 64 MiB")) {
			t.Errorf("dictionary of code %d: %d bytes, %v", dictionary, len(got), err)
		}
		if taken := after.TotalAlloc - before.TotalAlloc; taken > 2*maxXZDictionary {
			t.Errorf("dictionary of code %d: %d bytes of memory taken", dictionary, taken)
		}
	}
}

// Whatever a server sends as a compressed NAR ends in bytes or in an error.
func FuzzDecompress(f *testing.F) {
	text := bytes.Repeat([]byte("nix-archive-1 "), 100)
	var z bytes.Buffer
	zw, err := zstd.NewWriter(&z)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := zw.Write(text); err != nil {
		f.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		f.Fatal(err)
	}
	x := xzSample(f, 28)
	f.Add("zstd", z.Bytes())
	f.Add("zstd", z.Bytes()[:z.Len()-3])
	f.Add("xz", x)
	f.Add("xz", x[:len(x)-3])
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
