package s3

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob/remote"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

// webIdentity exchanges a token that somebody else issued, such as a GitLab
// job's, for credentials that are valid for an hour or so: the call
// AssumeRoleWithWebIdentity of Amazon's Security Token Service, which MinIO and
// Ceph have as well (docs.aws.amazon.com/STS/latest/APIReference).
type webIdentity struct {
	client    *http.Client
	endpoint  string
	tokenFile string
	role      string // ARN; some servers need none
	session   string
	retry     remote.Retry
}

type webIdentityAnswer struct {
	XMLName xml.Name `xml:"AssumeRoleWithWebIdentityResponse"`
	Result  struct {
		Credentials struct {
			AccessKeyID     string `xml:"AccessKeyId"`
			SecretAccessKey string
			SessionToken    string
			Expiration      time.Time
		}
	} `xml:"AssumeRoleWithWebIdentityResult"`
}

type stsError struct {
	Error struct {
		Code    string
		Message string
	}
}

// tokenLimit and answerLimit bound what is read of files and answers.
const (
	tokenLimit  = 64 << 10
	answerLimit = 1 << 20
)

// retrieve reads the token anew each time: whoever issues it may renew it.
func (w *webIdentity) retrieve(ctx context.Context) (credentials.Value, error) {
	token, err := readToken(w.tokenFile)
	if err != nil {
		return credentials.Value{}, err
	}
	form := url.Values{
		"Action":           {"AssumeRoleWithWebIdentity"},
		"Version":          {"2011-06-15"},
		"RoleSessionName":  {w.session},
		"WebIdentityToken": {token},
	}
	if w.role != "" {
		form.Set("RoleArn", w.role)
	}
	var value credentials.Value
	err = w.retry.Do(ctx, func(ctx context.Context) error {
		value, err = w.ask(ctx, form)
		return err
	})
	if err != nil {
		// An answer may quote the token.
		return value, redact(err, token)
	}
	return value, nil
}

func (w *webIdentity) ask(ctx context.Context, form url.Values) (credentials.Value, error) {
	var none credentials.Value
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return none, fmt.Errorf("STS endpoint %q is no URL", w.endpoint)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := w.client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return none, ctx.Err()
		}
		return none, &remote.TemporaryError{Err: fmt.Errorf("ask %s: %w", w.endpoint, cause(err))}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err != nil {
		return none, &remote.TemporaryError{Err: fmt.Errorf("read the answer of %s: %w", w.endpoint, err)}
	}
	if resp.StatusCode != http.StatusOK {
		err := fmt.Errorf("%s refuses the token in %s for the role %q: %s", w.endpoint, w.tokenFile, w.role, describeSTS(resp.Status, body))
		if remote.RetryStatus(resp.StatusCode) || strings.Contains(string(body), "IDPCommunicationError") {
			return none, &remote.TemporaryError{Err: err, After: remote.RetryAfter(resp.Header, time.Now())}
		}
		return none, err
	}
	var answer webIdentityAnswer
	if err := xml.Unmarshal(body, &answer); err != nil {
		return none, fmt.Errorf("%s does not answer as an STS does", w.endpoint)
	}
	c := answer.Result.Credentials
	if c.AccessKeyID == "" || c.SecretAccessKey == "" || c.SessionToken == "" {
		return none, fmt.Errorf("%s answered without credentials", w.endpoint)
	}
	return credentials.Value{
		AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken,
		Expiration: c.Expiration, SignerType: credentials.SignatureV4,
	}, nil
}

func describeSTS(status string, body []byte) string {
	var e stsError
	if xml.Unmarshal(body, &e) == nil && e.Error.Code != "" {
		return remote.Printable(e.Error.Code + ": " + e.Error.Message)
	}
	return status
}

func readToken(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("open the web identity token: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, tokenLimit+1))
	if err != nil {
		return "", fmt.Errorf("read the web identity token: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if token == "" || len(data) > tokenLimit {
		return "", fmt.Errorf("web identity token file %s: %d bytes, want one token", path, len(data))
	}
	return token, nil
}

// redact is err with secrets taken out of its text, if there are any in it.
func redact(err error, secrets ...string) error {
	text := err.Error()
	for _, secret := range secrets {
		if len(secret) >= 8 {
			text = strings.ReplaceAll(text, secret, "…")
		}
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}

// cause leaves out the URL that http's errors repeat, query and all.
func cause(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	return err
}
