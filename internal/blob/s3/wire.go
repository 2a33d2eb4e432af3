package s3

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob/remote"
)

// exchange is what the S3 client does not tell about a request and its answer.
type exchange struct {
	kind       kind
	retryAfter time.Duration
	status     int
	date       time.Time // of the answer, by the server's clock; zero: not said
	noSuchKey  bool      // the answer itself names the object as what is missing, not its bucket
}

// kind says what an answer's body is.
type kind int

const (
	aDocument kind = iota // XML or nothing
	anObject
	aListing
)

type exchangeKey struct{}

func withExchange(ctx context.Context, k kind) (context.Context, *exchange) {
	x := &exchange{kind: k}
	return context.WithValue(ctx, exchangeKey{}, x), x
}

// documentLimit bounds what is read of an answer that is no object. A page of
// 1,000 keys of 1,024 bytes, each of which the encoding triples, has 4 MB.
const documentLimit = 16 << 20

// wire stands between the S3 client and the transport.
type wire struct{ next http.RoundTripper }

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := w.next.RoundTrip(req)
	x, _ := req.Context().Value(exchangeKey{}).(*exchange)
	if err != nil || x == nil {
		return resp, err
	}
	x.status = resp.StatusCode
	x.date, _ = http.ParseTime(resp.Header.Get("Date"))
	x.retryAfter = remote.RetryAfter(resp.Header, time.Now())
	if x.kind == anObject && resp.StatusCode < 300 {
		return resp, nil
	}
	resp.Body = &limitedBody{ReadCloser: resp.Body, left: documentLimit}
	if x.kind == anObject && resp.StatusCode == http.StatusNotFound {
		return x.readAbsence(resp)
	}
	if x.kind == aListing && resp.StatusCode == http.StatusOK {
		return checkListing(resp)
	}
	return resp, nil
}

type limitedBody struct {
	io.ReadCloser
	left int64
}

func (l *limitedBody) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, fmt.Errorf("the answer is longer than %d bytes", documentLimit)
	}
	n, err := l.ReadCloser.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}

// readAbsence notes what an answer names as missing: the client makes up the
// code of one that names nothing.
func (x *exchange) readAbsence(resp *http.Response) (*http.Response, error) {
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	var said struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
	}
	x.noSuchKey = xml.Unmarshal(body, &said) == nil && said.Code == "NoSuchKey"
	return resp, nil
}

// checkListing makes sure that what says OK is a listing: the client would take
// any other document, even an error, for an empty one.
func checkListing(resp *http.Response) (*http.Response, error) {
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("read the listing: %w", err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	switch root := rootElement(body); root {
	case "ListBucketResult":
		return resp, nil
	case "Error":
		resp.StatusCode = http.StatusServiceUnavailable
		return resp, nil
	default:
		return nil, errors.New("the answer says OK and is no listing of a bucket")
	}
}

func rootElement(document []byte) string {
	d := xml.NewDecoder(bytes.NewReader(document))
	for {
		token, err := d.Token()
		if err != nil {
			return ""
		}
		if start, ok := token.(xml.StartElement); ok {
			return start.Name.Local
		}
	}
}
