package main

import (
	"fmt"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/nix"

	"github.com/spf13/cobra"
)

// upstreamOptions say what a push leaves to other caches.
type upstreamOptions struct {
	keys   []string
	caches []string
	full   bool
}

func (o *upstreamOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&o.keys, "skip-signed-by", nil, "do not send what this key, NAME:BASE64, has signed (can be repeated)")
	f.StringArrayVar(&o.caches, "upstream", nil, "ask this cache whether it has what --skip-signed-by leaves out, and send what it lacks (can be repeated)")
	f.BoolVar(&o.full, "full", false, "send everything, whatever --skip-signed-by or the cache's configuration says")
}

// open reads the keys, or else takes the configured ones, and opens the
// caches. Full is a zero Upstream.
func (o *upstreamOptions) open(configured []nix.PublicKey) (u binarycache.Upstream, err error) {
	if o.full {
		return u, nil
	}
	for _, text := range o.keys {
		key, err := nix.ParsePublicKey(text)
		if err != nil {
			return u, usageError{fmt.Errorf("--skip-signed-by: %v", err)}
		}
		u.Keys = append(u.Keys, key)
	}
	if len(u.Keys) == 0 {
		u.Keys = configured
	}
	if len(o.caches) > 0 && len(u.Keys) == 0 {
		return u, usagef("--upstream needs --skip-signed-by with the key of that cache: without a signature nothing is left out")
	}
	u.Caches, err = openUpstreams(o.caches)
	return u, err
}

// openUpstreams opens caches that are read beside another.
func openUpstreams(addresses []string) ([]binarycache.UpstreamCache, error) {
	var caches []binarycache.UpstreamCache
	for _, text := range addresses {
		a, err := openAddress(text)
		if err != nil {
			return nil, err
		}
		if a.reader == nil {
			return nil, usagef("--upstream %s: it is not a plain binary cache", text)
		}
		caches = append(caches, binarycache.UpstreamCache{Name: a.name, Reader: a.reader})
	}
	return caches, nil
}
