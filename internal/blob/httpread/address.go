package httpread

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob/remote"
)

// Config says where a cache is and how to read it. Only URL is needed.
type Config struct {
	URL string // http or https, without query

	// User and Password are sent to the server, and no other. If both are
	// empty they are looked for in netrc files.
	User, Password string
	NetrcFiles     []string // to look in; nil: $NETRC, Nix's, ~/.netrc
	// A bearer token is sent over plain HTTP to this machine only.
	TokenFile string        // holds one
	Token     *remote.Token // another source of one; it wins

	CertFile, KeyFile string // of a client certificate, PEM
	CAFile            string // authorities of the server's certificate, PEM; empty: $NIX_SSL_CERT_FILE, the system's

	// MaxSize bounds an object's bytes; 0: 128 GiB.
	MaxSize  int64
	Requests int           // that wait for their answer at once; 0: 128
	Stall    time.Duration // how long no byte may move; 0: 30 s
	Retry    remote.Retry
}

const defaultMaxSize = 128 << 30

// parameters are those of Nix that say how to reach the server.
var parameters = []string{"tls-certificate", "tls-private-key"}

// ParseAddress reads an address of a cache behind HTTP as Nix has it,
//
//	https://[USER:PASSWORD@]HOST[:PORT][/PATH][?PARAMETER=…]
//
// The parameters of Nix that say nothing about how to reach the cache are
// returned beside the Config. An unknown parameter is an error.
func ParseAddress(address string) (Config, map[string]string, error) {
	c, nix, err := parseAddress(address)
	if err != nil {
		return Config{}, nil, fmt.Errorf("cache address %q: %v", withoutSecrets(address), err)
	}
	return c, nix, nil
}

// withoutSecrets leaves a password out.
func withoutSecrets(address string) string {
	if scheme, rest, ok := strings.Cut(address, "://"); ok {
		authority, _, _ := strings.Cut(rest, "/")
		if i := strings.LastIndexByte(authority, '@'); i >= 0 {
			return scheme + "://…" + rest[i:]
		}
	}
	return address
}

func parseAddress(address string) (Config, map[string]string, error) {
	u, err := url.Parse(address)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the address, which may hold a password
		}
		return Config{}, nil, err
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return Config{}, nil, errors.New("it does not start with https:// or http://")
	}
	if u.Hostname() == "" {
		return Config{}, nil, errors.New("it names no host")
	}
	if u.Fragment != "" {
		return Config{}, nil, errors.New("a fragment (#) has no meaning in it")
	}
	own, nix, err := remote.Params(u.RawQuery, parameters)
	if err != nil {
		return Config{}, nil, err
	}
	c := Config{CertFile: own["tls-certificate"], KeyFile: own["tls-private-key"]}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return Config{}, nil, errors.New("tls-certificate and tls-private-key go together")
	}
	if u.User != nil {
		c.User = u.User.Username()
		c.Password, _ = u.User.Password()
	}
	u.User, u.RawQuery, u.ForceQuery = nil, "", false
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	c.URL = u.String()
	return c, nix, nil
}
