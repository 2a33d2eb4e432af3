package attic

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob/remote"
)

// Error is a request that a server refused, or that got no answer.
type Error struct {
	Op     string // what was asked
	Server string // URL
	Status int    // of HTTP; 0 if no answer came
	Kind   string // Attic's name of the error, such as NoSuchCache; may be empty
	Err    error
	Hint   string // what to do
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%s at %s: %v", e.Op, e.Server, e.Err)
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrNoSuchCache is what an Error is when the server has no such cache, or
// does not let the token know of it.
var ErrNoSuchCache = errors.New("there is no such cache")

// Is makes errors.Is(err, ErrNoSuchCache) hold.
func (e *Error) Is(target error) bool { return target == ErrNoSuchCache && e.Kind == "NoSuchCache" }

func (k *Client) server() string { return k.config.Endpoint }

func (k *Client) failed(op string, err error) error {
	return &Error{Op: op, Server: k.server(), Err: err}
}

// broken is an exchange without an answer.
func (k *Client) broken(ctx context.Context, method, path string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	e := &Error{Op: method + " " + path, Server: k.server(), Err: err}
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		dns       *net.DNSError
	)
	switch {
	case errors.As(err, &authority):
		e.Hint = "name the file of its certificate authority in NIX_SSL_CERT_FILE"
	case errors.As(err, &name):
	case errors.As(err, &dns) && dns.IsNotFound:
		e.Hint = "check the host's name"
	default:
		if errors.Is(err, remote.ErrStalled) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			e.Hint = "if this comes after about a minute, a proxy in front of the server gives up: raise its timeouts (nginx: proxy_read_timeout, proxy_send_timeout) and let it pass bodies on (proxy_request_buffering off)"
		}
		return &remote.TemporaryError{Err: e}
	}
	return e
}

// judge tells answers from refusals. token is what was sent.
func (k *Client) judge(ctx context.Context, op string, resp *http.Response, token string) error {
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		if strings.HasPrefix(strings.ToLower(resp.Header.Get("Content-Type")), "text/html") {
			return k.failed(op, errors.New("the answer is a web page; is there a login page, or a network's, in between?"))
		}
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxError))
	var said struct {
		Kind    string `json:"error"`
		Message string `json:"message"`
	}
	isAttic := json.Unmarshal(text, &said) == nil && said.Kind != ""
	e := &Error{Op: op, Server: k.server(), Status: resp.StatusCode}
	if isAttic {
		e.Kind = remote.Printable(said.Kind)
		e.Err = fmt.Errorf("%s: %s (HTTP %d)", e.Kind, remote.Printable(said.Message), resp.StatusCode)
	} else {
		e.Err = errors.New(strings.TrimSpace(fmt.Sprintf("HTTP %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))))
	}
	temporary := func() error {
		return &remote.TemporaryError{Err: e, After: remote.RetryAfter(resp.Header, time.Now())}
	}
	switch status := resp.StatusCode; {
	case status == http.StatusUnauthorized && k.config.Token.Renew(ctx, token):
		return temporary()
	case status == http.StatusUnauthorized:
		e.Hint = k.unauthorized(token)
	case status == http.StatusForbidden && isAttic:
		e.Hint = fmt.Sprintf("with %s there is some right to cache %s, but not this one", k.config.Token, k.config.Cache)
	case status == http.StatusNotFound && e.Kind == "NoSuchCache":
		e.Hint = fmt.Sprintf("make it (pcache cache create %s), or check the name", k.config)
	case status == http.StatusNotFound && !isAttic:
		e.Hint = "is this an Attic server? The address is attic+https://HOST/CACHE, with what its api-endpoint setting has before the name of the cache"
	case status == http.StatusBadRequest && e.Kind == "CacheAlreadyExists":
		e.Hint = "pcache cache configure changes it"
	case status == http.StatusRequestEntityTooLarge:
		e.Hint = "a proxy in front of the server takes no body of this size: raise its limit (nginx: client_max_body_size 0), or give the API an address without it (Cloudflare's limit is 100 MB)"
	case status == http.StatusRequestTimeout, status == http.StatusBadGateway, status == http.StatusGatewayTimeout, status == 524:
		e.Hint = "a proxy in front of the server gave up: raise its timeouts (nginx: proxy_read_timeout, proxy_send_timeout; 60 s is short for a large NAR) and let it pass bodies on (proxy_request_buffering off)"
		return temporary()
	case status >= 300 && status < 400:
		e.Hint = "the server redirects to " + remote.Printable(resp.Header.Get("Location")) + ": give that address"
	case remote.RetryStatus(status):
		return temporary()
	}
	return e
}

// unauthorized says what is wrong with a token that the server does not take,
// as far as that can be seen from here.
func (k *Client) unauthorized(token string) string {
	if token == "" {
		return fmt.Sprintf("a token is needed: pcache login %s, or --token-file", k.config.Endpoint)
	}
	if expires, ok := Expires(token); ok && expires.Before(time.Now()) {
		return fmt.Sprintf("%s expired at %s: put a new one there", k.config.Token, expires.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("%s is not one of this server's, or gives no right to cache %s", k.config.Token, k.config.Cache)
}

// Expires is when a token of Attic, a JSON Web Token, ends, by its own word:
// its signature is the server's business.
func Expires(token string) (time.Time, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}, false
	}
	data, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return time.Time{}, false
	}
	var claims struct {
		Expires float64 `json:"exp"`
	}
	if json.Unmarshal(data, &claims) != nil || claims.Expires <= 0 || claims.Expires > 1<<40 {
		return time.Time{}, false
	}
	return time.Unix(int64(claims.Expires), 0), true
}
