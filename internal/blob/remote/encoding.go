package remote

import (
	"compress/gzip"
	"fmt"
	"io"
	"strings"
)

// Decode undoes the Content-Encoding that an object was stored with: Nix can
// compress narinfos, listings and logs that way (narinfo-compression and its
// like). A NAR is left as it is: its narinfo says how it is compressed, and a
// header that says so too must not lead to undoing it twice.
func Decode(key, header string, body io.ReadCloser) (io.ReadCloser, error) {
	encoding := ""
	for e := range strings.SplitSeq(strings.ToLower(header), ",") {
		switch e = strings.TrimSpace(e); e {
		case "", "identity":
		case "aws-chunked": // of an upload; some servers forget to take it off
		default:
			encoding = strings.TrimPrefix(encoding+", "+e, ", ")
		}
	}
	if encoding == "" || strings.HasPrefix(key, "nar/") {
		return body, nil
	}
	if encoding != "gzip" {
		body.Close()
		return nil, fmt.Errorf("read %s: it is stored with Content-Encoding %s, which cannot be undone here (only gzip can)", key, Printable(encoding))
	}
	z, err := gzip.NewReader(body)
	if err != nil {
		body.Close()
		return nil, fmt.Errorf("read %s: it says that it is gzip: %w", key, err)
	}
	return &decoded{Reader: z, body: body}, nil
}

type decoded struct {
	*gzip.Reader
	body io.Closer
}

func (d *decoded) Close() error { return d.body.Close() }
