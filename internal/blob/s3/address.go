package s3

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/blob/remote"
)

// Config says where a bucket is and how to talk to it. Only Bucket is needed.
type Config struct {
	Bucket string
	Prefix string // of all keys, without a slash at either end

	Endpoint string // host[:port] of the server; empty: Amazon's for the region
	HTTP     bool   // no TLS
	Region   string // empty: the profile's, $AWS_REGION, us-east-1
	// Addressing is how the bucket is named in requests: "path" in the path,
	// "virtual" in the host name, "" or "auto" as the server is known to want:
	// in the path but for Amazon, Google and Alibaba.
	Addressing   string
	StorageClass string // of new objects; empty: the bucket's

	// CAFile holds the authorities of the server's certificate, PEM; empty:
	// those of $AWS_CA_BUNDLE or $NIX_SSL_CERT_FILE, or the system's.
	CAFile string

	Profile   string // in ~/.aws; empty: $AWS_PROFILE, default
	Anonymous bool   // sign nothing, ask for no credentials

	// PartSize is the size of the first parts of a large upload and the bound
	// below which an object goes up in one piece; 0: 8 MiB, at least 5 MiB.
	PartSize int64
	// Buffer bounds the bytes that all uploads hold together; 0: 64 MiB. An
	// upload has at most 10,000 parts, of at most Buffer minus PartSize bytes.
	Buffer int64
	// VerifyUploads has the server compare each upload with its SHA-256 also
	// where the connection is protected anyway: with TLS, or within this
	// machine. Over a network without TLS it always does. It costs about 1.5 s
	// of this machine's processor per gigabyte.
	VerifyUploads bool
	// Requests bounds the requests that wait for their answer; 0: 128.
	Requests int
	// State is a folder of this machine, made if need be, for what tells an
	// unfinished upload that may be gone on with from one that another process
	// is at work on; empty: only uploads that nothing has come to for 15 minutes
	// are gone on with.
	State string
	Stall time.Duration // how long no byte may move; 0: 30 s
	Retry remote.Retry

	idle time.Duration                                                        // defaultIdle
	dial func(ctx context.Context, network, address string) (net.Conn, error) // for tests
}

// The parameters of an address that say how to reach the bucket. The first
// line are Nix's own.
var parameters = []string{
	"endpoint", "region", "profile", "scheme", "addressing-style", "storage-class", "public",
	"anonymous",
	"multipart-upload", "multipart-threshold", "multipart-chunk-size", "buffer-size",
}

var bucketName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$`)

// ParseAddress reads an address in the form that Nix has for it,
//
//	s3://BUCKET[/PREFIX][?endpoint=HOST&region=…&profile=…&scheme=…]
//
// so that one address serves both (nix help-stores, "S3 Binary Cache Store").
// Parameters of Nix that say nothing about how to reach the bucket are
// returned beside the Config; Nix's sizes of parts are taken as known and
// ignored. An unknown parameter is an error.
func ParseAddress(address string) (Config, map[string]string, error) {
	c, nix, err := parseAddress(address)
	if err != nil {
		return Config{}, nil, fmt.Errorf("cache address %q: %v", withoutSecrets(address), err)
	}
	return c, nix, nil
}

// withoutSecrets leaves out what stands where a password would.
func withoutSecrets(address string) string {
	if scheme, rest, ok := strings.Cut(address, "://"); ok {
		authority, _, _ := strings.Cut(rest, "/")
		if i := strings.LastIndexByte(authority, '@'); i >= 0 {
			return scheme + "://…" + rest[i:]
		}
	}
	return address
}

func parseAddress(address string) (c Config, nix map[string]string, err error) {
	rest, ok := strings.CutPrefix(address, "s3://")
	if !ok {
		return c, nil, fmt.Errorf("it does not start with s3://")
	}
	rest, query, _ := strings.Cut(rest, "?")
	if strings.Contains(rest, "#") || strings.Contains(query, "#") {
		return c, nil, fmt.Errorf("a fragment (#) has no meaning in it")
	}
	bucket, prefix, _ := strings.Cut(rest, "/")
	if strings.Contains(bucket, "@") {
		return c, nil, fmt.Errorf("credentials do not belong in an address: put them in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or in a profile")
	}
	if !bucketName.MatchString(bucket) || strings.Contains(bucket, "..") || net.ParseIP(bucket) != nil {
		return c, nil, fmt.Errorf("%q is no bucket's name: want 3 to 63 letters, digits, dots and dashes (the server goes into ?endpoint=)", bucket)
	}
	c.Bucket = bucket
	if prefix, err = url.PathUnescape(prefix); err != nil {
		return c, nil, fmt.Errorf("its path: %v", err)
	}
	if c.Prefix = strings.Trim(prefix, "/"); c.Prefix != "" {
		if err := blob.CheckKey(c.Prefix); err != nil {
			return c, nil, err
		}
	}
	own, nix, err := remote.Params(query, parameters)
	if err != nil {
		return c, nil, err
	}
	c.Region, c.Profile, c.StorageClass = own["region"], own["profile"], own["storage-class"]
	if c.Profile == "default" {
		c.Profile = "" // what Nix takes if none is given
	}
	switch scheme := own["scheme"]; scheme {
	case "", "https":
	case "http":
		c.HTTP = true
	default:
		return c, nil, fmt.Errorf("scheme=%s: want https or http", scheme)
	}
	if c.Endpoint, c.HTTP, err = parseEndpoint(own["endpoint"], c.HTTP); err != nil {
		return c, nil, err
	}
	c.Addressing = own["addressing-style"]
	for _, name := range []string{"public", "anonymous"} {
		switch own[name] {
		case "", "false", "0":
		case "true", "1":
			c.Anonymous = true
		default:
			return c, nil, fmt.Errorf("%s=%s: want true or false", name, own[name])
		}
	}
	return c, nix, c.check()
}

// parseEndpoint takes host, host:port or a URL of those, whose scheme counts.
func parseEndpoint(endpoint string, plain bool) (host string, http bool, err error) {
	if endpoint == "" {
		return "", plain, nil
	}
	host = endpoint
	if scheme, rest, ok := strings.Cut(endpoint, "://"); ok {
		switch scheme {
		case "https":
			plain = false
		case "http":
			plain = true
		default:
			return "", false, fmt.Errorf("endpoint=%s: want a host name or an https or http URL", endpoint)
		}
		host = strings.TrimSuffix(rest, "/")
	}
	u, err := url.Parse("//" + host)
	if err != nil || u.Host == "" || u.User != nil || u.Host != host {
		if u != nil && u.User != nil {
			return "", false, fmt.Errorf("endpoint: credentials do not belong in an address")
		}
		return "", false, fmt.Errorf("endpoint=%s: want HOST or HOST:PORT, without a path", endpoint)
	}
	return host, plain, nil
}

// Limits of S3 (docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html).
const (
	minPart   = 5 << 20
	maxPart   = 5 << 30
	maxParts  = 10_000
	maxObject = 5 << 40
)

const (
	defaultPart   = 8 << 20
	defaultBuffer = 64 << 20
)

// check fills in the defaults that need no looking around.
func (c *Config) check() error {
	if !slices.Contains([]string{"", "auto", "path", "virtual"}, c.Addressing) {
		return fmt.Errorf("addressing-style=%s: want auto, path or virtual", c.Addressing)
	}
	if c.PartSize == 0 {
		c.PartSize = defaultPart
	}
	if c.idle == 0 {
		c.idle = defaultIdle
	}
	if c.Buffer == 0 {
		c.Buffer = max(defaultBuffer, 4*c.PartSize)
	}
	if c.PartSize < minPart || c.PartSize > maxPart {
		return fmt.Errorf("parts of %d bytes: S3 wants %d to %d", c.PartSize, int64(minPart), int64(maxPart))
	}
	if c.Buffer < 2*c.PartSize {
		return fmt.Errorf("a buffer of %d bytes holds no two parts of %d", c.Buffer, c.PartSize)
	}
	return nil
}

// String is the bucket's address without what only this machine needs.
func (c Config) String() string {
	s := "s3://" + path.Join(c.Bucket, c.Prefix)
	if c.Endpoint == "" {
		return s
	}
	scheme := ""
	if c.HTTP {
		scheme = "http://"
	}
	return s + "?endpoint=" + scheme + c.Endpoint
}
