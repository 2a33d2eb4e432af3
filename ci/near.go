package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"gitlab.com/pantheros/pantheros/ci/internal/dagger"
	"gitlab.com/pantheros/pantheros/pipeline"
)

// The nearby cache: pcache serve in the engine, over the caches of a run, keeping
// what it read in a volume. All hosts' containers substitute through it, so that
// what they share crosses the network once, and a store that begins empty is
// filled from this machine.
const (
	nearHost, nearPort = "nearby-cache", 8501
	nearDir            = "/var/cache/pantheros-near" // volume
	nearSize           = "40GiB"
	nixosCache         = "https://cache.nixos.org"
)

// cacheServiceHost is the name by which a cache's address means CacheService.
const cacheServiceHost = "cache-service"

// nearby is the nearby cache of a run.
type nearby struct {
	service *dagger.Service
	// keys are those that the cache which is pushed to is signed with; the keys of
	// the others are the settings'.
	keys []string
}

// withPcache is a container with pcache, which may reach the cache.
func (m *Pantheros) withPcache(ctr *dagger.Container) *dagger.Container {
	ctr = ctr.WithFile("/usr/local/bin/pcache", m.pcache(), dagger.ContainerWithFileOpts{Permissions: 0o755})
	if m.CacheCa != nil {
		// Go reads every folder named here, beside the image's own bundle.
		const dir = "/run/cache-ca"
		ctr = ctr.WithMountedFile(dir+"/ca.pem", m.CacheCa).WithEnvVariable("SSL_CERT_DIR", dir+":/etc/ssl/certs")
	}
	return ctr
}

// nearContainer has what serving and warming need.
func (m *Pantheros) nearContainer() *dagger.Container {
	return m.mayReach(m.withPcache(m.nix())).
		WithMountedCache(nearDir, dag.CacheVolume(m.Store+"-near"))
}

// nearScript serves from the first folder that no other server uses: two calls at
// once on one engine have a server each.
const nearScript = `listen=$1 size=$2; shift 2
case $1 in file://*) mkdir -p "${1#file://}" ;; esac
trap 'kill -TERM $server; wait $server; exit' TERM INT
for n in 0 1 2 3 4 5 6 7; do
	pcache serve --listen "$listen" --local "$0/$n" --local-size "$size" --access-log=false "$@" & server=$!
	code=0; wait $server || code=$?
	[ $code = 4 ] || exit $code
done
exit 4`

// near starts the nearby cache for a run with those inputs.
func (m *Pantheros) near(ctx context.Context, inputs pipeline.Inputs) (*nearby, error) {
	keys, err := m.cacheKeys(ctx)
	if err != nil {
		return nil, err
	}
	caches := append([]string{m.cacheAddress()}, m.Substituters...)
	if inputs != pipeline.InputsOffline {
		caches = append(caches, nixosCache)
	}
	argv := append([]string{"sh", "-uc", nearScript, nearDir, fmt.Sprintf(":%d", nearPort), nearSize}, caches...)
	service := m.nearContainer().
		WithExposedPort(nearPort).
		AsService(dagger.ContainerAsServiceOpts{Args: argv})
	return &nearby{service: service, keys: keys}, nil
}

// cacheKeys are the public keys of what is pushed to the cache: the server's, the
// given key's, or that of the key which was made at the first push.
func (m *Pantheros) cacheKeys(ctx context.Context) ([]string, error) {
	ctr := m.mayReach(m.withPcache(m.nix())).WithEnvVariable("PANTHEROS_RUN", runID())
	if pipeline.ServerSigns(m.cacheAddress()) {
		text, err := ctr.WithExec([]string{"pcache", "cache", "show", "--json", m.Cache}).Stdout(ctx)
		if err != nil {
			return nil, fmt.Errorf("asking the cache for its key: %w", err)
		}
		var shown struct {
			Keys []string `json:"public_keys"`
		}
		if err := json.Unmarshal([]byte(text), &shown); err != nil {
			return nil, fmt.Errorf("asking the cache for its key: %v", err)
		}
		return shown.Keys, nil
	}
	file := stateDir + "/" + keptKey
	if m.SigningKey != nil {
		file = keyFile
		ctr = ctr.WithMountedSecret(keyFile, m.SigningKey, dagger.ContainerWithMountedSecretOpts{Mode: 0o400})
	} else {
		ctr = ctr.WithMountedCache(stateDir, dag.CacheVolume(m.Store+"-state"))
	}
	text, err := ctr.WithExec([]string{"sh", "-euc", `[ ! -s "$0" ] || pcache pubkey <"$0"`, file}).Stdout(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the key's public half: %w", err)
	}
	return strings.Fields(text), nil
}

// Brings the hosts' newest generations from the cache to the engine.
//
// No container of a run waits for the network then. A host that was never pushed
// is left out. Returns what was brought for each host.
//
// +cache="never"
func (m *Pantheros) Warm(
	ctx context.Context,
	// Hosts to bring; default: all.
	// +optional
	hosts []string,
) (string, error) {
	if pipeline.ServerSigns(m.Cache) {
		return "", fmt.Errorf("--cache: an Attic server keeps no roots, so a host's newest generation is not known there; its containers read through the nearby cache all the same")
	}
	_, inv, err := m.checkout(ctx)
	if err != nil {
		return "", err
	}
	if len(hosts) == 0 {
		hosts = inv.HostNames()
	}
	for _, name := range hosts {
		if !slices.Contains(inv.HostNames(), name) {
			return "", &pipeline.UnknownHostError{Name: name, Known: inv.HostNames()}
		}
	}
	argv := append([]string{"sh", "-uc", warmScript, nearDir + "/0", m.cacheAddress(), nearSize}, hosts...)
	return m.nearContainer().WithEnvVariable("PANTHEROS_RUN", runID()).WithExec(argv).Stdout(ctx)
}

// warmScript warms host by host: one that was never pushed, or whose newest
// generation is damaged, does not keep the others out.
const warmScript = `cache=$1 size=$2; shift 2
case $cache in file://*) mkdir -p "${cache#file://}" ;; esac
worst=0
for host; do
	code=0
	pcache warm "$cache" "$host" --to "$0" --max-size "$size" --progress none >/tmp/said 2>&1 || code=$?
	echo "$host: $(tail -n 1 /tmp/said)"
	[ $code = 0 ] || grep -q 'has no root' /tmp/said || worst=$code
done
exit $worst`
