package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gitlab.com/pantheros/pantheros/ci/internal/dagger"
	"gitlab.com/pantheros/pantheros/pipeline"
)

// Places in the containers. The Nix store is a chroot store in a volume: the
// image's own /nix stays as it is, so that a newer image is a newer Nix whatever
// the volume holds, and builders see /nix/store as on every machine.
const (
	nixDir   = "/var/lib/pantheros/nix"   // volume: the store, and what Nix fetched
	stateDir = "/var/lib/pantheros/state" // volume: the cache and key where none is given, and reports
	keyFile  = "/run/secrets/cache-key"
)

var volumeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// nix is a container with Nix, as the image has it.
func (m *Pantheros) nix() *dagger.Container {
	if m.ImageFile != nil {
		return dag.Container().Import(m.ImageFile)
	}
	return dag.Container().From(m.Image)
}

// golang is a container with Go and the project's Go source.
func (m *Pantheros) golang() *dagger.Container {
	ctr := dag.Container().From(m.GoImage)
	if m.ImageFile != nil {
		ctr = dag.Container().Import(m.ImageFile)
	}
	ctr = ctr.
		WithMountedCache("/root/go/pkg/mod", dag.CacheVolume("pantheros-go-mod")).
		WithMountedCache("/root/.cache/go-build", dag.CacheVolume("pantheros-go-build")).
		WithEnvVariable("GOPATH", "/root/go").
		WithEnvVariable("GOFLAGS", "-buildvcs=false").
		WithEnvVariable("CGO_ENABLED", "0")
	if m.Goproxy != "" {
		ctr = ctr.WithEnvVariable("GOPROXY", m.Goproxy)
	}
	return ctr
}

// pcache compiles the cache tool, static, so that it runs in every image. That
// is done in a container and not by the module: the engine then serves it from
// its cache until the source changes.
func (m *Pantheros) pcache() *dagger.File {
	source := dag.Directory().WithDirectory("/", m.Source, dagger.DirectoryWithDirectoryOpts{
		Include: []string{"go.mod", "go.sum", "cmd", "internal", "pipeline"},
		Exclude: []string{"**/*_test.go", "**/testdata"},
	})
	return m.golang().
		WithMountedDirectory("/src", source).
		WithWorkdir("/src").
		WithExec([]string{"go", "build", "-trimpath", "-ldflags=-s -w", "-o", "/out/pcache", "./cmd/pcache"}).
		File("/out/pcache")
}

// workshop is a container with Nix, the store's volume and the settings for a
// run with those inputs, which substitutes through near, if that is not nil.
func (m *Pantheros) workshop(ctx context.Context, inputs pipeline.Inputs, near *nearby) (*dagger.Container, error) {
	ctr := m.nix()
	sandboxShell, err := hasSandboxShell(ctx, ctr)
	if err != nil {
		return nil, err
	}
	settings := []string{
		"extra-experimental-features = nix-command flakes",
		"accept-flake-config = false",
		"warn-dirty = false",
		"sandbox = true",
		"sandbox-fallback = false",
		"build-users-group =",
		"max-jobs = auto",
		// How often to look, in seconds, whether a derivation that another host's
		// container was at is there: hosts share most of theirs.
		"build-poll-interval = 1",
		"flake-registry =",
	}
	if sandboxShell {
		settings = append(settings, "sandbox-paths = /bin/sh=/bin/busybox")
	}
	// The nearby cache first; the caches behind it are asked where it fails.
	direct := m.Substituters
	if inputs == pipeline.InputsOffline {
		settings = append(settings, "substituters =")
	}
	keys := m.TrustedKeys
	if near != nil {
		ctr = ctr.WithServiceBinding(nearHost, near.service)
		direct = append([]string{fmt.Sprintf("http://%s:%d", nearHost, nearPort)}, direct...)
		keys = append(slices.Clone(keys), near.keys...)
		settings = append(settings, "fallback = true")
	}
	if len(direct) > 0 {
		settings = append(settings,
			"extra-substituters = "+strings.Join(direct, " "),
			"extra-trusted-public-keys = "+strings.Join(keys, " "))
	}
	home := nixDir + "/home"
	ctr = ctr.
		WithMountedCache(nixDir, dag.CacheVolume(m.Store+"-nix")).
		WithEnvVariable("NIX_REMOTE", nixDir+"/store").
		WithEnvVariable("NIX_USER_CONF_FILES", "").
		WithEnvVariable("HOME", home).
		WithEnvVariable("XDG_CACHE_HOME", home+"/cache").
		WithEnvVariable("XDG_CONFIG_HOME", home+"/config").
		WithEnvVariable("XDG_DATA_HOME", home+"/data").
		WithEnvVariable("XDG_STATE_HOME", home+"/state").
		WithEnvVariable("LC_ALL", "C.UTF-8").
		WithEnvVariable("GIT_TERMINAL_PROMPT", "0")
	if m.Builders == "" {
		settings = append(settings, "build-hook =", "builders =")
	} else {
		settings = append(settings, "builders-use-substitutes = true", "builders = "+m.Builders)
		ctr = m.reachBuilders(ctr)
	}
	return ctr.WithEnvVariable("NIX_CONFIG", strings.Join(settings, "\n")), nil
}

// hasSandboxShell reports whether the image has a static busybox, for images
// whose Nix brings no shell of its own for the sandbox: Debian's does not, those
// of nixpkgs do. The answer is the image's, and comes from the engine's cache.
func hasSandboxShell(ctx context.Context, image *dagger.Container) (bool, error) {
	out, err := image.WithExec([]string{"sh", "-c", "if [ -x /bin/busybox ]; then echo yes; else echo no; fi"}).Stdout(ctx)
	if err != nil {
		return false, fmt.Errorf("looking into the image: %w", err)
	}
	return strings.TrimSpace(out) == "yes", nil
}

// reachBuilders gives a container what it takes to log in to the machines that
// build for it.
func (m *Pantheros) reachBuilders(ctr *dagger.Container) *dagger.Container {
	ssh := []string{"-o", "BatchMode=yes", "-o", "ConnectTimeout=10"}
	if m.BuilderKey != nil {
		const file = "/run/secrets/builder-key"
		ctr = ctr.WithMountedSecret(file, m.BuilderKey, dagger.ContainerWithMountedSecretOpts{Mode: 0o400})
		ssh = append(ssh, "-i", file, "-o", "IdentitiesOnly=yes")
	}
	if m.BuilderKnownHosts != nil {
		const file = "/run/builder-known-hosts"
		ctr = ctr.WithMountedFile(file, m.BuilderKnownHosts)
		ssh = append(ssh, "-o", "UserKnownHostsFile="+file, "-o", "StrictHostKeyChecking=yes")
	}
	return ctr.WithEnvVariable("NIX_SSHOPTS", strings.Join(ssh, " "))
}
