package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"

	"gitlab.com/pantheros/pantheros/cmd/pcache/config"
	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

// choice is yes or no, or left to something weaker: flags are stronger than
// the address, that is stronger than the configuration. It is a flag's value.
type choice struct{ is *bool }

func (c *choice) String() string {
	if c == nil || c.is == nil {
		return ""
	}
	return strconv.FormatBool(*c.is)
}

// Set takes the words that Nix takes for its settings.
func (c *choice) Set(text string) error {
	var is bool
	switch text {
	case "true", "yes", "1":
		is = true
	case "false", "no", "0":
	default:
		return fmt.Errorf("%q is neither true nor false", text)
	}
	c.is = &is
	return nil
}

// Type is for help texts.
func (c *choice) Type() string { return "bool" }

func (c *choice) orElse(weaker *bool) {
	if c.is == nil {
		c.is = weaker
	}
}

func (c *choice) on() bool { return c.is != nil && *c.is }

// extras is what a push writes beside narinfos and NARs.
type extras struct{ listings, debugInfo, logs choice }

func (e *extras) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	for name, flag := range map[string]struct {
		value *choice
		usage string
	}{
		"listings":   {&e.listings, "write listings (.ls) of what is in the paths that are sent"},
		"debug-info": {&e.debugInfo, "index the debug symbols of the paths that are sent by build ID"},
		"logs":       {&e.logs, "send the logs of what was built here, for nix log"},
	} {
		f.Var(flag.value, name, flag.usage)
		f.Lookup(name).NoOptDefVal = "true"
	}
}

func (e *extras) orElse(weaker extras) {
	e.listings.orElse(weaker.listings.is)
	e.debugInfo.orElse(weaker.debugInfo.is)
	e.logs.orElse(weaker.logs.is)
}

func configuredExtras(c config.Cache) extras {
	return extras{choice{c.Listings}, choice{c.DebugInfo}, choice{c.Logs}}
}

// nixExtras reads Nix's settings for the same.
func nixExtras(settings map[string]string) (e extras, err error) {
	for name, c := range map[string]*choice{"write-nar-listing": &e.listings, "index-debug-info": &e.debugInfo} {
		if value, ok := settings[name]; ok {
			if err := c.Set(value); err != nil {
				return e, fmt.Errorf("parameter %s: %v", name, err)
			}
		}
	}
	return e, nil
}

func (e extras) sink() binarycache.Extras {
	return binarycache.Extras{Listings: e.listings.on(), DebugInfo: e.debugInfo.on()}
}

// logKeeper is a sink that takes the logs of builds.
type logKeeper interface {
	PutLog(ctx context.Context, drv nix.StorePath, open func() (io.ReadCloser, error)) (bool, error)
}

// putLogs sends the logs of the builds of a closure's paths, as far as they
// were built here and the cache does not have them. It returns how many.
func (r *pushRun) putLogs(ctx context.Context, sink cache.Sink, result cache.Result) (int, error) {
	keeper, ok := sink.(logKeeper)
	if !ok || !r.extras.logs.on() || r.dryRun {
		return 0, nil
	}
	var drvs []nix.StorePath
	for _, o := range result.Outcomes {
		visible := o.Action == cache.Sent || o.Action == cache.Skipped
		if visible && o.Info.Deriver != "" && r.store.HasLog(o.Info.Deriver) {
			drvs = append(drvs, o.Info.Deriver)
		}
	}
	slices.Sort(drvs)
	drvs = slices.Compact(drvs)
	stored := make([]bool, len(drvs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i, drv := range drvs {
		group.Go(func() (err error) {
			stored[i], err = keeper.PutLog(ctx, drv, func() (io.ReadCloser, error) { return r.store.OpenLog(drv) })
			if err != nil {
				return fmt.Errorf("send the build log of %s: %w", drv, err)
			}
			return nil
		})
	}
	err := group.Wait()
	n := 0
	for _, s := range stored {
		if s {
			n++
		}
	}
	return n, err
}

// putRealisations adds those of paths that the cache was found to have: a
// derivation may have been built since that turned out to be one of them. Of
// paths that are there by implication nothing is asked, but with --verify.
func (r *pushRun) putRealisations(ctx context.Context, sink cache.Sink, result cache.Result) error {
	keeper, ok := sink.(interface {
		AddRealisations(ctx context.Context, p nix.StorePath) (int, error)
	})
	if !ok || r.dryRun {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for _, o := range result.Outcomes {
		if o.Reason == cache.Present || o.Reason == cache.Implied && r.verify {
			group.Go(func() error {
				_, err := keeper.AddRealisations(ctx, o.Info.Path)
				return err
			})
		}
	}
	return group.Wait()
}
