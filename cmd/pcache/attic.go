package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/cmd/pcache/config"
	"gitlab.com/pantheros/pantheros/internal/attic"
	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/blob/httpread"
	"gitlab.com/pantheros/pantheros/internal/blob/remote"
	"gitlab.com/pantheros/pantheros/internal/cache"
)

// tokenVariable holds a token for machines that hand secrets over in the
// environment.
const tokenVariable = "PCACHE_TOKEN"

// isAttic says whether a cache's address is one of an Attic server.
func isAttic(text string) bool {
	return strings.HasPrefix(text, "attic:") || strings.HasPrefix(text, "attic+")
}

// atticConfig reads the address of a cache of an Attic server, and finds the
// token: that of the configuration, of the environment, or of Attic's own
// configuration, in this order.
func atticConfig(text string, c config.Cache) (attic.Config, error) {
	servers, err := attic.ReadServers(os.Getenv)
	if err != nil {
		return attic.Config{}, err
	}
	k, err := attic.ParseAddress(text, servers)
	if err != nil {
		return attic.Config{}, usageError{err}
	}
	switch {
	case c.TokenFile != "":
		k.Token = remote.FileToken(c.TokenFile)
	case len(c.TokenCommand) > 0:
		k.Token = commandToken(c.TokenCommand)
	case os.Getenv(tokenVariable) != "":
		k.Token = remote.NewToken("the token in $"+tokenVariable, func(context.Context) (string, error) { return os.Getenv(tokenVariable), nil })
	}
	k.CAFile = c.CAFile
	return k, nil
}

// tokenTime is how long a command may take to fetch a token.
const tokenTime = time.Minute

// commandToken is a token that a command prints. It is run again when the
// server no longer takes the one it printed last.
func commandToken(command []string) *remote.Token {
	return remote.NewToken("the token that "+command[0]+" prints", func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, tokenTime)
		defer cancel()
		cmd := exec.CommandContext(ctx, command[0], command[1:]...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		cmd.WaitDelay = time.Second
		out, err := cmd.Output()
		if err != nil {
			last := strings.TrimSpace(stderr.String())
			if i := strings.LastIndexByte(last, '\n'); i >= 0 {
				last = last[i+1:]
			}
			return "", fmt.Errorf("get a token from %s: %v: %s", command[0], err, remote.Printable(last))
		}
		return string(out), nil
	})
}

func openAttic(text string, c config.Cache) (address, error) {
	k, err := atticConfig(text, c)
	if err != nil {
		return address{}, err
	}
	client, err := attic.NewClient(k)
	if err != nil {
		return address{}, usageError{err}
	}
	a := address{name: k.String(), attic: client}
	// Read without asking for its configuration, every cache is here; the
	// configuration may name a nearer place.
	files, err := httpread.New(httpread.Config{URL: strings.TrimRight(k.Endpoint, "/") + "/" + k.Cache, Token: k.Token, CAFile: c.CAFile})
	if err != nil {
		return address{}, usageError{err}
	}
	a.reader = files
	// A cache that only its key's holders may read has its configuration
	// behind the token; a public one can be read without asking for it.
	reader := func(ctx context.Context, retry remote.Retry) (*httpread.Reader, error) {
		url, err := client.Substituter(ctx)
		if err != nil {
			return nil, err
		}
		return httpread.New(httpread.Config{URL: url, Token: k.Token, CAFile: c.CAFile, Retry: retry})
	}
	a.openSource = func(ctx context.Context, o binarycache.SourceOptions) (cache.Source, error) {
		r, err := reader(ctx, remote.Retry{})
		if err != nil {
			return nil, err
		}
		return binarycache.OpenSource(ctx, r, o)
	}
	a.openSink = func(ctx context.Context, o sinkOptions) (cache.Sink, error) {
		s := attic.SinkOptions{StoreDir: o.StoreDir, Verify: o.verify, Upstream: o.Upstream.Keys, Full: o.full}
		if o.verify {
			r, err := reader(ctx, remote.Retry{Attempts: 3})
			if err != nil {
				return nil, err
			}
			keys, err := client.PublicKeys(ctx)
			if err != nil {
				return nil, err
			}
			if len(keys) == 0 {
				return nil, errors.New("the server names no public key to verify with")
			}
			if s.Back, err = binarycache.OpenSource(ctx, r, binarycache.SourceOptions{Name: a.name, StoreDir: o.StoreDir, Trusted: keys}); err != nil {
				return nil, err
			}
		}
		return attic.OpenSink(ctx, client, s)
	}
	return a, nil
}

// atticOf is the client of a cache that must be one of Attic.
func atticOf(text string) (*attic.Client, address, error) {
	a, err := openAddress(text)
	if err != nil {
		return nil, a, err
	}
	if a.attic == nil {
		return nil, a, usagef("cache %s is not on an Attic server: use the tools of its storage", a.name)
	}
	return a.attic, a, nil
}

// exitOfAttic tells an Attic server's refusals apart: 0 is none of them.
func exitOfAttic(err error) int {
	var e *attic.Error
	switch {
	case !errors.As(err, &e):
		return 0
	case e.Status == 401 || e.Status == 403 || e.Kind == "NoSuchCache" || e.Kind == "CacheAlreadyExists":
		return exitRefused
	default:
		return 0
	}
}
