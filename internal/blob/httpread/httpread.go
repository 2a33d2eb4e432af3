// Package httpread reads a cache behind a web server: a blob.Reader over HTTP.
package httpread

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/blob/remote"
)

// Reader reads objects below a URL.
type Reader struct {
	config    Config
	base      *url.URL
	transport *remote.Transport
	client    *http.Client
	note      string // of a netrc file that could not be read
	token     *remote.Token
}

var _ blob.Reader = (*Reader)(nil)

// New prepares a reader. It reads the files that hold logins; nothing is asked
// of the server before the first operation.
func New(c Config) (*Reader, error) {
	base, err := url.Parse(c.URL)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.User != nil || base.RawQuery != "" {
		return nil, errors.New("the cache's URL is not http(s)://HOST/PATH")
	}
	if c.MaxSize <= 0 {
		c.MaxSize = defaultMaxSize
	}
	roots, err := remote.Roots(c.CAFile, os.Getenv, "NIX_SSL_CERT_FILE")
	if err != nil {
		return nil, err
	}
	r := &Reader{config: c, base: base}
	if r.token = c.Token; r.token == nil && c.TokenFile != "" {
		r.token = remote.FileToken(c.TokenFile)
	}
	if r.token != nil {
		if base.Scheme == "http" && !remote.Loopback(base.Host) {
			return nil, fmt.Errorf("%s would go to %s unencrypted: use https", r.token, base.Host)
		}
		if _, err := r.token.Get(context.Background()); err != nil {
			return nil, err
		}
	} else if c.User == "" && c.Password == "" {
		files := c.NetrcFiles
		if files == nil {
			files = netrcFiles(os.Getenv)
		}
		l, _, note, err := findLogin(files, base.Hostname())
		if err != nil {
			return nil, err
		}
		r.config.User, r.config.Password, r.note = l.user, l.password, note
	}
	options := remote.TransportOptions{Roots: roots, Stall: c.Stall, Requests: c.Requests}
	if c.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		options.Certificate = &cert
	}
	r.transport = remote.NewTransport(options)
	r.client = &http.Client{Transport: &authorizer{reader: r, next: r.transport}, CheckRedirect: r.checkRedirect}
	return r, nil
}

// Close ends idle connections.
func (r *Reader) Close() { r.transport.Close() }

// String is the cache's URL, without credentials.
func (r *Reader) String() string { return r.config.URL }

// authorizer adds the credentials to requests for the cache's own server. They
// are added here, and not to the request, so that the client has none to send
// along when it is redirected.
type authorizer struct {
	reader *Reader
	next   http.RoundTripper
}

func (a *authorizer) RoundTrip(req *http.Request) (*http.Response, error) {
	r := a.reader
	token, err := r.token.Get(req.Context())
	if err != nil {
		return nil, err
	}
	if req.URL.Scheme != r.base.Scheme || req.URL.Host != r.base.Host || token == "" && r.config.User == "" && r.config.Password == "" {
		return a.next.RoundTrip(req)
	}
	req = req.Clone(req.Context())
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	} else {
		req.SetBasicAuth(r.config.User, r.config.Password)
	}
	return a.next.RoundTrip(req)
}

// checkRedirect follows to other servers, as caches with their objects in a
// bucket want, but not from TLS to none, and to nothing but web servers.
func (r *Reader) checkRedirect(req *http.Request, via []*http.Request) error {
	switch {
	case len(via) >= 10:
		return errors.New("it was redirected ten times")
	case req.URL.Scheme != "https" && (req.URL.Scheme != "http" || r.base.Scheme == "https"):
		return fmt.Errorf("it redirects to a %s URL", remote.Printable(req.URL.Scheme))
	case req.URL.User != nil:
		return errors.New("it redirects to a URL with credentials")
	}
	req.Header.Del("Referer") // is nobody's business, and may be a path with a secret
	return nil
}

// Open starts to read an object. A connection that breaks is replaced by
// another, which goes on where the first was.
func (r *Reader) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	resp, err := r.get(ctx, "get", http.MethodGet, key)
	if err != nil {
		return nil, err
	}
	if resp.ContentLength > r.config.MaxSize {
		resp.Body.Close()
		return nil, &Error{Op: "get", URL: r.object(key), Err: fmt.Errorf("it has %d bytes, the limit is %d", resp.ContentLength, r.config.MaxSize)}
	}
	v := version{resp.Header.Get("ETag"), resp.Header.Get("Last-Modified"), resp.ContentLength}
	body := remote.NewBody(ctx, resp.Body, resp.ContentLength, r.config.Retry, func(ctx context.Context, offset int64) (io.ReadCloser, error) {
		return r.openFrom(ctx, key, offset, v)
	})
	return remote.Decode(key, resp.Header.Get("Content-Encoding"), &object{Body: body, url: r.object(key), left: r.config.MaxSize})
}

// object says in its errors what was read, and reads no more than the limit.
type object struct {
	*remote.Body
	url  string
	left int64
}

func (o *object) Read(p []byte) (int, error) {
	n, err := o.Body.Read(p)
	if o.left -= int64(n); o.left < 0 {
		return 0, fmt.Errorf("read %s: it has more bytes than the limit", o.url)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("read %s: %w", o.url, err)
	}
	return n, err
}

// version tells one state of an object from a later one.
type version struct {
	etag     string
	modified string
	size     int64
}

// strong says that equal versions have equal bytes.
func (v version) strong() bool { return v.etag != "" && !strings.HasPrefix(v.etag, "W/") }

// openFrom opens the same version of an object at an offset. A server that
// cannot begin in the middle sends it all again.
func (r *Reader) openFrom(ctx context.Context, key string, offset int64, was version) (io.ReadCloser, error) {
	if !was.strong() && (was.modified == "" || was.size < 0) {
		return nil, &Error{Op: "get", URL: r.object(key), Err: errors.New("the server does not say enough to read on")}
	}
	header := http.Header{}
	if offset > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
		if was.strong() {
			header.Set("If-Range", was.etag)
		} else {
			header.Set("If-Range", was.modified)
		}
	}
	resp, err := r.try(ctx, "get", http.MethodGet, key, header)
	if err != nil {
		return nil, err
	}
	changed := func() (io.ReadCloser, error) {
		resp.Body.Close()
		return nil, &Error{Op: "get", URL: r.object(key), Err: errors.New("it was changed while it was read")}
	}
	if resp.StatusCode == http.StatusPartialContent {
		want := fmt.Sprintf("bytes %d-", offset)
		if offset == 0 || !strings.HasPrefix(resp.Header.Get("Content-Range"), want) || was.size >= 0 && resp.ContentLength >= 0 && resp.ContentLength != was.size-offset {
			return changed()
		}
		return resp.Body, nil
	}
	if now := (version{resp.Header.Get("ETag"), resp.Header.Get("Last-Modified"), resp.ContentLength}); now != was {
		return changed()
	}
	if _, err := io.CopyN(io.Discard, resp.Body, offset); err != nil {
		resp.Body.Close()
		return nil, &remote.TemporaryError{Err: &Error{Op: "get", URL: r.object(key), Err: err}}
	}
	return resp.Body, nil
}

// statLimit is how large an object may be that is read because the server does
// not say its size.
const statLimit = 1 << 20

// Stat asks for an object's size. Modified is zero if the server does not say.
func (r *Reader) Stat(ctx context.Context, key string) (blob.Info, error) {
	resp, err := r.get(ctx, "stat", http.MethodHead, key)
	var refused *Error
	if errors.As(err, &refused) && (refused.Status == http.StatusMethodNotAllowed || refused.Status == http.StatusNotImplemented) ||
		err == nil && resp.ContentLength < 0 {
		// A server that makes its answers as it goes, or knows GET only.
		if err == nil {
			resp.Body.Close()
		}
		resp, err = r.get(ctx, "stat", http.MethodGet, key)
	}
	if err != nil {
		return blob.Info{}, err
	}
	defer resp.Body.Close()
	info := blob.Info{Key: key, Size: resp.ContentLength}
	if info.Size < 0 {
		if info.Size, err = io.Copy(io.Discard, io.LimitReader(resp.Body, statLimit+1)); err != nil {
			return blob.Info{}, &Error{Op: "stat", URL: r.object(key), Err: err}
		}
		if info.Size > statLimit {
			return blob.Info{}, &Error{Op: "stat", URL: r.object(key), Err: errors.New("the server does not say its size")}
		}
	}
	if modified, err := http.ParseTime(resp.Header.Get("Last-Modified")); err == nil {
		info.Modified = modified
	}
	return info, nil
}

// object is an object's URL, for messages.
func (r *Reader) object(key string) string {
	return r.base.JoinPath(strings.Split(key, "/")...).String()
}

// get asks until there is an answer or no more hope.
func (r *Reader) get(ctx context.Context, op, method, key string) (resp *http.Response, err error) {
	if err := blob.CheckKey(key); err != nil {
		return nil, err
	}
	err = r.config.Retry.Do(ctx, func(ctx context.Context) error {
		resp, err = r.try(ctx, op, method, key, nil) //nolint:bodyclose // the caller's
		return err
	})
	return resp, err
}

func (r *Reader) try(ctx context.Context, op, method, key string, header http.Header) (*http.Response, error) {
	u := *r.base
	u.Path = strings.TrimRight(r.base.Path, "/") + "/" + key
	u.RawPath = strings.TrimRight(r.base.EscapedPath(), "/") + "/" + escape(key)
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, &Error{Op: op, URL: r.object(key), Err: err}
	}
	for name, values := range header {
		req.Header[name] = values
	}
	token, err := r.token.Get(ctx)
	if err != nil {
		return nil, &Error{Op: op, URL: r.object(key), Err: err}
	}
	resp, err := r.client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s %s: %w", op, r.object(key), ctx.Err())
		}
		return nil, r.broken(op, key, err)
	}
	if err := r.judge(ctx, op, key, resp, token); err != nil {
		_, _ = io.CopyN(io.Discard, resp.Body, 16<<10) // so that the connection can be used again
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// escape is a key as a part of a URL: every byte that is not certainly plain is
// escaped, since servers differ in what they make of the rest.
func escape(key string) string {
	var b strings.Builder
	for i := range len(key) {
		switch c := key[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '~', c == '/':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
