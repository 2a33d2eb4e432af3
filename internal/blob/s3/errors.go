package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/blob/remote"

	"github.com/minio/minio-go/v7"
)

// Error is a request that failed: the server's refusal, or Err if no answer
// came.
type Error struct {
	Op        string // get, stat, put, list, delete
	Object    string // s3://BUCKET/KEY
	Status    int    // of HTTP; 0 if no answer came
	Code      string // the server's, such as AccessDenied
	Message   string // the server's
	RequestID string // the server's, to find the request in its log
	Hint      string // what to do
	Err       error
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: ", e.Op, e.Object)
	switch {
	case e.Err != nil:
		b.WriteString(e.Err.Error())
	case e.Message != "" && e.Message != e.Code:
		fmt.Fprintf(&b, "%s: %s", e.Code, e.Message)
	default:
		b.WriteString(e.Code)
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, " (HTTP %d", e.Status)
		if e.RequestID != "" {
			fmt.Fprintf(&b, ", request %s", e.RequestID)
		}
		b.WriteByte(')')
	}
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// Unwrap gives the cause if no answer came.
func (e *Error) Unwrap() error { return e.Err }

// throttleCodes and passingCodes are S3's codes for what passes by itself,
// whatever the status they come with
// (docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html).
var (
	throttleCodes = []string{"SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "ThrottlingException", "RequestLimitExceeded", "RequestThrottled", "TooManyRequests"}
	passingCodes  = []string{"XAmzContentSHA256Mismatch", "BadDigest", "InternalError", "ServiceUnavailable", "RequestTimeout", "ServerBusy", "OperationAborted", "ConditionalRequestConflict"}
	expiredCodes  = []string{"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}
	absentCodes   = []string{"NoSuchKey", "NoSuchObject", "NotFound"}
)

func oneOf(code string, codes []string) bool {
	for _, c := range codes {
		if c == code {
			return true
		}
	}
	return false
}

// judge makes of the client's error what callers are promised: ctx's error,
// blob.ErrNotExist, an *Error or a *CredentialsError, the last two inside a
// *remote.TemporaryError if it is worth trying again.
func (s *Store) judge(ctx context.Context, op, key string, err error, x *exchange) error {
	if err == nil {
		s.proven()
		return nil
	}
	object := s.object(key)
	if ctx.Err() != nil {
		return fmt.Errorf("%s %s: %w", op, object, ctx.Err())
	}
	var ce *CredentialsError
	if errors.As(err, &ce) {
		return ce
	}
	e := &Error{Op: op, Object: object}
	answer := minio.ToErrorResponse(err)
	if answer.Code == "" && answer.StatusCode == 0 {
		return e.broken(err)
	}
	e.Status = x.status
	e.Code = remote.Printable(answer.Code)
	e.Message = remote.Printable(redact(errors.New(answer.Message), s.chain.secrets()...).Error())
	e.RequestID = remote.Printable(answer.RequestID)
	switch {
	case oneOf(e.Code, throttleCodes):
		if x.status != http.StatusServiceUnavailable && x.status != http.StatusTooManyRequests {
			s.transport.Limiter().Throttled() // those two it has seen itself
		}
		return &remote.TemporaryError{Err: e, After: x.retryAfter}
	case oneOf(e.Code, passingCodes), remote.RetryStatus(x.status):
		return &remote.TemporaryError{Err: e, After: x.retryAfter}
	case x.status == http.StatusOK:
		// An error, or something else that is no answer, that says OK.
		return &remote.TemporaryError{Err: e}
	case oneOf(e.Code, expiredCodes) && s.chain.expirable():
		s.credentials.Expire()
		return &remote.TemporaryError{Err: e}
	case x.status == http.StatusNotFound && oneOf(e.Code, absentCodes) && op != "list":
		if x.noSuchKey {
			s.proven()
		}
		return fmt.Errorf("%s: %w", key, blob.ErrNotExist)
	}
	e.Hint = s.hint(op, e, answer.Region)
	return e
}

// broken is an exchange without an answer. What no repetition mends is final.
func (e *Error) broken(err error) error {
	e.Err = cause(err)
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		dns       *net.DNSError
	)
	switch {
	case errors.As(err, &authority):
		e.Hint = "name the file of its certificate authority in AWS_CA_BUNDLE"
	case errors.As(err, &name), errors.As(err, &invalid):
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		e.Hint = "if the server has no TLS, say scheme=http"
	case errors.As(err, &dns) && dns.IsNotFound:
		e.Hint = "check the endpoint in the address"
	default:
		return &remote.TemporaryError{Err: e}
	}
	return e
}

// needs says which permission an operation wants.
var needs = map[string]string{"get": "s3:GetObject", "stat": "s3:GetObject", "put": "s3:PutObject", "list": "s3:ListBucket", "delete": "s3:DeleteObject"}

func (s *Store) hint(op string, e *Error, region string) string {
	switch {
	case e.Code == "AuthorizationHeaderMalformed" || e.Code == "PermanentRedirect" || e.Code == "TemporaryRedirect" || e.Code == "InvalidRegion" || e.Status == http.StatusMovedPermanently:
		if region != "" && region != s.region {
			return fmt.Sprintf("the bucket is in the region %s: add region=%s to the address", remote.Printable(region), remote.Printable(region))
		}
		return fmt.Sprintf("the bucket is not in the region %s: add region= to the address", s.region)
	case e.Code == "InvalidAccessKeyId" || e.Code == "SignatureDoesNotMatch" || e.Code == "InvalidToken" || e.Code == "InvalidClientTokenId" || e.Code == "XAdminUserNotFound":
		return fmt.Sprintf("this server does not know the credentials from %s", s.chain.describe())
	case oneOf(e.Code, expiredCodes):
		return fmt.Sprintf("renew the credentials from %s", s.chain.describe())
	case e.Code == "RequestTimeTooSkewed":
		return "this machine's clock is wrong"
	case e.Code == "NoSuchBucket":
		return "make the bucket, or check its name and the endpoint in the address"
	case e.Status == http.StatusForbidden || e.Status == http.StatusUnauthorized:
		return s.permissionHint(op)
	case e.Status == http.StatusBadRequest && strings.Contains(e.Message, "HTTPS server"):
		return "say scheme=https"
	case e.Status == http.StatusNotImplemented:
		return "the server cannot do that"
	}
	return ""
}

// permissionHint says what to grant. S3 answers 403 for an object that does not
// exist when the credentials may not list the bucket: it then cannot be told
// whether it is there, and must not be taken for absent.
func (s *Store) permissionHint(op string) string {
	who := "the credentials from " + s.chain.describe()
	if source := s.chain.describe(); source == noCredentials {
		who = "requests without credentials (none were found in the environment, in ~/.aws or beside the machine)"
	} else if s.config.Anonymous {
		who = "requests without credentials"
	}
	hint := fmt.Sprintf("%s need %s on %s", who, needs[op], s.object("*"))
	switch op {
	case "list":
		hint = fmt.Sprintf("%s need s3:ListBucket on the bucket %s", who, s.config.Bucket)
	case "get", "stat":
		hint += fmt.Sprintf(" and s3:ListBucket on the bucket %s, without which S3 does not say whether an object is there", s.config.Bucket)
	}
	return hint + " (docs/s3.md)"
}
