package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob/remote"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

// CredentialsError says that there is something to take credentials from, and
// that they cannot be had.
type CredentialsError struct {
	Source string // where they were to come from
	Err    error
}

func (e *CredentialsError) Error() string {
	return fmt.Sprintf("credentials from %s: %v", e.Source, e.Err)
}

// Unwrap gives the cause.
func (e *CredentialsError) Unwrap() error { return e.Err }

// chain finds credentials, in this order: the profile that the address names,
// the environment, a web identity token, the profile of $AWS_PROFILE or the
// default one, the container's, the machine's. The first that is there is
// taken; if it then does not work that is an error, not a reason to go on as
// somebody else. If there is none at all requests go unsigned, which public
// buckets are content with.
type chain struct {
	config  Config
	amazon  bool   // the server is Amazon's: its machines' identities are of use
	region  string // of the STS
	getenv  func(string) string
	client  *http.Client // for the STS
	retry   remote.Retry
	timeout time.Duration // for one retrieval

	mu     sync.Mutex
	source string // where the present credentials come from
	value  credentials.Value
	renew  time.Time // when to ask again; zero: never
}

var _ credentials.Provider = (*chain)(nil)

// metadataTimeout bounds the wait for a machine that has no metadata service.
const metadataTimeout = 2 * time.Second

// errNone says that a place has no credentials, and the next is to be tried.
var errNone = errors.New("none")

// Retrieve is for the interface's sake.
func (c *chain) Retrieve() (credentials.Value, error) { return c.RetrieveWithCredContext(nil) }

// RetrieveWithCredContext finds or renews credentials.
func (c *chain) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	ctx := context.Background()
	if cc != nil && cc.Context != nil {
		ctx = cc.Context
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	value, source, err := c.find(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if err != nil {
		// What there is may be good for a while yet.
		if now.Before(c.value.Expiration) {
			c.renew = now.Add(30 * time.Second)
			return c.value, nil
		}
		return credentials.Value{}, &CredentialsError{Source: source, Err: err}
	}
	c.value, c.source, c.renew = value, source, time.Time{}
	if !value.Expiration.IsZero() {
		c.renew = value.Expiration.Add(-min(5*time.Minute, value.Expiration.Sub(now)/5))
	}
	return value, nil
}

// IsExpired says that it is time to ask again.
func (c *chain) IsExpired() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.renew.IsZero() && !time.Now().Before(c.renew)
}

// describe says where the credentials in use come from.
func (c *chain) describe() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.source
}

// secrets are the present ones, to take out of messages.
func (c *chain) secrets() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return []string{c.value.SecretAccessKey, c.value.SessionToken}
}

// expirable says that asking again may give other credentials.
func (c *chain) expirable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.value.Expiration.IsZero()
}

// noCredentials is describe's answer when there are none.
const noCredentials = "none"

func (c *chain) find(ctx context.Context) (credentials.Value, string, error) {
	if c.config.Anonymous {
		return credentials.Value{SignerType: credentials.SignatureAnonymous}, "nowhere: the address says public", nil
	}
	for _, place := range []func(context.Context) (credentials.Value, string, error){
		c.fromAddress, c.fromEnvironment, c.fromWebIdentity, c.fromProfile, c.fromContainer, c.fromMachine,
	} {
		value, source, err := place(ctx)
		if !errors.Is(err, errNone) {
			return value, source, err
		}
	}
	return credentials.Value{SignerType: credentials.SignatureAnonymous}, noCredentials, nil
}

func (c *chain) fromAddress(ctx context.Context) (credentials.Value, string, error) {
	if c.config.Profile == "" {
		return credentials.Value{}, "", errNone
	}
	return c.ofProfile(ctx, c.config.Profile, true)
}

func (c *chain) fromEnvironment(context.Context) (credentials.Value, string, error) {
	const source = "the environment"
	id, secret := c.getenv("AWS_ACCESS_KEY_ID"), c.getenv("AWS_SECRET_ACCESS_KEY")
	if id == "" && secret == "" {
		return credentials.Value{}, "", errNone
	}
	if id == "" || secret == "" {
		return credentials.Value{}, source, errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must both be set, or neither")
	}
	return static(id, secret, c.getenv("AWS_SESSION_TOKEN")), source, nil
}

func static(id, secret, token string) credentials.Value {
	return credentials.Value{AccessKeyID: id, SecretAccessKey: secret, SessionToken: token, SignerType: credentials.SignatureV4}
}

func (c *chain) fromWebIdentity(ctx context.Context) (credentials.Value, string, error) {
	file := c.getenv("AWS_WEB_IDENTITY_TOKEN_FILE")
	if file == "" {
		return credentials.Value{}, "", errNone
	}
	return c.assume(ctx, file, c.getenv("AWS_ROLE_ARN"), "AWS_ROLE_ARN")
}

// assume uses a web identity token. where names what should hold the role.
func (c *chain) assume(ctx context.Context, file, role, where string) (credentials.Value, string, error) {
	source := "the web identity token in " + file
	if role == "" && c.amazon {
		return credentials.Value{}, source, fmt.Errorf("%s, the role to take on, is not set", where)
	}
	session := c.getenv("AWS_ROLE_SESSION_NAME")
	if session == "" {
		session = "pcache"
	}
	w := &webIdentity{client: c.client, endpoint: c.stsEndpoint(), tokenFile: file, role: role, session: session, retry: c.retry}
	value, err := w.retrieve(ctx)
	return value, source, err
}

// stsEndpoint is where tokens are exchanged: what AWS_ENDPOINT_URL_STS says, or
// Amazon's in the region, or, for another server, that server itself.
func (c *chain) stsEndpoint() string {
	if endpoint := c.getenv("AWS_ENDPOINT_URL_STS"); endpoint != "" {
		return endpoint
	}
	if !c.amazon {
		scheme := "https://"
		if c.config.HTTP {
			scheme = "http://"
		}
		return scheme + c.config.Endpoint
	}
	suffix := ""
	if strings.HasPrefix(c.region, "cn-") {
		suffix = ".cn"
	}
	return "https://sts." + c.region + ".amazonaws.com" + suffix
}

func (c *chain) fromProfile(ctx context.Context) (credentials.Value, string, error) {
	if name := c.getenv("AWS_PROFILE"); name != "" {
		return c.ofProfile(ctx, name, true)
	}
	return c.ofProfile(ctx, "default", false)
}

// ofProfile takes what a profile has. One that was asked for by name must have
// something.
func (c *chain) ofProfile(ctx context.Context, name string, named bool) (credentials.Value, string, error) {
	source := "the profile " + name
	p, found, err := readProfile(c.getenv, name)
	if err != nil {
		return credentials.Value{}, source, err
	}
	if !found && named {
		return credentials.Value{}, source, fmt.Errorf("neither %s nor %s has it", awsFile(c.getenv, "AWS_SHARED_CREDENTIALS_FILE", "credentials"), awsFile(c.getenv, "AWS_CONFIG_FILE", "config"))
	}
	id, secret := p["aws_access_key_id"], p["aws_secret_access_key"]
	switch {
	case (id == "") != (secret == ""):
		return credentials.Value{}, source, errors.New("aws_access_key_id and aws_secret_access_key must both be set, or neither")
	case p["role_arn"] != "" && p["web_identity_token_file"] != "":
		return c.assume(ctx, p["web_identity_token_file"], p["role_arn"], "role_arn")
	case p["role_arn"] != "" && p["source_profile"] != "":
		value, err := c.assumeFrom(ctx, p)
		return value, source, err
	case p["role_arn"] != "":
		return credentials.Value{}, source, errors.New("it has a role_arn, but neither source_profile nor web_identity_token_file; put what `aws configure export-credentials` prints into the environment instead")
	case id != "":
		return static(id, secret, p["aws_session_token"]), source, nil
	case p["credential_process"] != "" || p["sso_account_id"] != "" || p["sso_session"] != "":
		value, err := (&credentials.FileAWSCredentials{Profile: name}).RetrieveWithCredContext(&credentials.CredContext{Client: c.client, Context: ctx})
		return value, source, err
	case named:
		return credentials.Value{}, source, errors.New("it has no credentials")
	}
	return credentials.Value{}, "", errNone
}

// assumeFrom takes on a role with another profile's keys.
func (c *chain) assumeFrom(ctx context.Context, p profile) (credentials.Value, error) {
	if p["mfa_serial"] != "" {
		return credentials.Value{}, errors.New("its role wants a second factor; put what `aws configure export-credentials` prints into the environment instead")
	}
	source, found, err := readProfile(c.getenv, p["source_profile"])
	if err != nil {
		return credentials.Value{}, err
	}
	if !found || source["aws_access_key_id"] == "" || source["aws_secret_access_key"] == "" {
		return credentials.Value{}, fmt.Errorf("its source_profile %q has no keys", p["source_profile"])
	}
	role := &credentials.STSAssumeRole{
		Client:      c.client,
		STSEndpoint: c.stsEndpoint(),
		Options: credentials.STSAssumeRoleOptions{
			AccessKey:       source["aws_access_key_id"],
			SecretKey:       source["aws_secret_access_key"],
			SessionToken:    source["aws_session_token"],
			Location:        c.region,
			RoleARN:         p["role_arn"],
			RoleSessionName: "pcache",
			ExternalID:      p["external_id"],
		},
	}
	value, err := role.RetrieveWithCredContext(&credentials.CredContext{Client: c.client, Context: ctx})
	if err != nil {
		return value, fmt.Errorf("take on the role %q: %v", p["role_arn"], redact(cause(err), source["aws_secret_access_key"], source["aws_session_token"]))
	}
	return value, nil
}

// fromContainer asks what Amazon's container services put beside a container.
func (c *chain) fromContainer(ctx context.Context) (credentials.Value, string, error) {
	if c.getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") == "" && c.getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI") == "" {
		return credentials.Value{}, "", errNone
	}
	value, err := (&credentials.IAM{Client: direct()}).RetrieveWithCredContext(&credentials.CredContext{Context: ctx})
	return value, "the container's service", err
}

// fromMachine asks the instance metadata service. It is not asked on behalf of
// a server that is not Amazon's: that has no use for such credentials, and a
// machine without the service would wait for nothing.
func (c *chain) fromMachine(ctx context.Context) (credentials.Value, string, error) {
	endpoint := c.getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT")
	if strings.EqualFold(c.getenv("AWS_EC2_METADATA_DISABLED"), "true") || !c.amazon && endpoint == "" {
		return credentials.Value{}, "", errNone
	}
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	value, err := (&credentials.IAM{Client: direct(), Endpoint: strings.TrimSuffix(endpoint, "/")}).RetrieveWithCredContext(&credentials.CredContext{Context: ctx})
	if err != nil {
		return credentials.Value{}, "", errNone // there is no such service, or it has no role
	}
	return value, "the machine's metadata service", nil
}

// direct is a client for addresses of this machine, past any proxy.
func direct() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: metadataTimeout}
}

// regionOf is the bucket's region. What the environment says is of Amazon.
func regionOf(c Config, amazon bool, getenv func(string) string) (string, error) {
	if c.Region != "" {
		return c.Region, nil
	}
	if amazon {
		for _, variable := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
			if region := getenv(variable); region != "" {
				return region, nil
			}
		}
		name := c.Profile
		if name == "" {
			name = getenv("AWS_PROFILE")
		}
		if name == "" {
			name = "default"
		}
		p, _, err := readProfile(getenv, name)
		if err != nil {
			return "", &CredentialsError{Source: "the profile " + name, Err: err}
		}
		if p["region"] != "" {
			return p["region"], nil
		}
	}
	return "us-east-1", nil
}

var getenv = os.Getenv
