package httpread

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/blob/remote"
)

// Error is a request that failed: the server's refusal, or Err if no answer
// came.
type Error struct {
	Op     string // get, stat
	URL    string
	Status int    // of HTTP; 0 if no answer came
	Hint   string // what to do
	Err    error
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%s %s: ", e.Op, e.URL)
	if e.Err != nil {
		text += e.Err.Error()
	} else {
		text += strings.TrimSpace(fmt.Sprintf("HTTP %d %s", e.Status, http.StatusText(e.Status)))
	}
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// Unwrap gives the cause if no answer came.
func (e *Error) Unwrap() error { return e.Err }

// broken is an exchange without an answer. What no repetition mends is final.
func (r *Reader) broken(op, key string, err error) error {
	e := &Error{Op: op, URL: r.object(key), Err: err}
	var ue *url.Error
	if errors.As(err, &ue) {
		e.Err = ue.Err
	}
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		dns       *net.DNSError
	)
	switch {
	case errors.As(err, &authority):
		e.Hint = "name the file of its certificate authority in NIX_SSL_CERT_FILE"
	case errors.As(err, &name), errors.As(err, &invalid), strings.Contains(e.Err.Error(), "redirect"):
	case errors.As(err, &record), strings.Contains(e.Err.Error(), "server gave HTTP response to HTTPS client"):
		e.Hint = "does the server have no TLS (http://)?"
	case errors.As(err, &dns) && dns.IsNotFound:
		e.Hint = "check the host's name"
	default:
		return &remote.TemporaryError{Err: e}
	}
	return e
}

// judge tells answers from refusals. token is what was sent.
func (r *Reader) judge(ctx context.Context, op, key string, resp *http.Response, token string) error {
	switch resp.StatusCode {
	case http.StatusOK, http.StatusPartialContent:
		// What logs in, or sells something, instead of answering.
		if strings.HasPrefix(strings.ToLower(resp.Header.Get("Content-Type")), "text/html") && !strings.HasSuffix(key, ".html") {
			return &Error{Op: op, URL: r.object(key), Status: resp.StatusCode, Err: errors.New("the answer is a web page, not the object"), Hint: "is there a login page, or a network's, in between?"}
		}
		return nil
	case http.StatusNotFound, http.StatusGone:
		return fmt.Errorf("%s: %w", key, blob.ErrNotExist)
	}
	e := &Error{Op: op, URL: r.object(key), Status: resp.StatusCode}
	if resp.Request.URL.Host != r.base.Host {
		e.URL += " (redirected to " + remote.Printable(resp.Request.URL.Host) + ")"
	}
	switch {
	case remote.RetryStatus(resp.StatusCode):
		return &remote.TemporaryError{Err: e, After: remote.RetryAfter(resp.Header, time.Now())}
	case resp.StatusCode == http.StatusUnauthorized && r.token.Renew(ctx, token):
		return &remote.TemporaryError{Err: e}
	case resp.StatusCode == http.StatusUnauthorized:
		e.Hint = r.remedy("the server wants to know who asks", "the server does not accept")
	case resp.StatusCode == http.StatusForbidden:
		e.Hint = r.remedy("the server forbids it to everybody", "the server forbids it to") + "; it may also be absent: a bucket that may not be listed does not say so"
	case resp.StatusCode == http.StatusProxyAuthRequired:
		e.Hint = "the proxy wants a login: http://USER:PASSWORD@HOST:PORT in HTTPS_PROXY or HTTP_PROXY"
	}
	return e
}

// remedy says what can be done about a refusal, in the words for those who sent
// no credentials and for those who did.
func (r *Reader) remedy(none, some string) string {
	host := r.base.Hostname()
	switch {
	case r.token != nil:
		return some + " " + r.token.String()
	case r.config.User != "" || r.config.Password != "":
		return fmt.Sprintf("%s the login of %s (the address, or netrc)", some, host)
	case r.note != "":
		return fmt.Sprintf("%s, and a netrc file cannot be read: %s", none, r.note)
	default:
		return fmt.Sprintf("%s: put `machine %s login … password …` into a netrc file (%s), or give a file with a token", none, host, strings.Join(netrcFiles(os.Getenv), ", "))
	}
}
