package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

var atticCases = []benchCase{
	{
		name: "attic-cold", title: "cold push to atticd on loopback (SQLite, a directory, chunks)", shape: large, rounds: 1,
		programs: []program{
			{name: "pcache", needs: []string{"atticd"}, run: pushAttic(false, pcacheToAttic)},
			{name: "attic", needs: []string{"atticd", "attic"}, run: pushAttic(false, atticToAttic)},
		},
		targets: []target{{program: "pcache", peer: "attic", value: "wall", atLeast: 1}},
	},
	{
		name: "attic-again", title: "push to atticd of what is all there", shape: large, rounds: 3,
		programs: []program{
			{name: "pcache", needs: []string{"atticd"}, run: pushAttic(true, pcacheToAttic)},
			{name: "attic", needs: []string{"atticd", "attic"}, run: pushAttic(true, atticToAttic)},
		},
		targets: []target{{program: "pcache", peer: "attic", value: "wall", atLeast: 2}},
	},
}

// atticServer is a real atticd with one cache, "bench".
type atticServer struct {
	*server
	scratch string
	token   string
	remove  func()
}

func (a *atticServer) address() string { return "attic+http://" + a.addr + "/bench" }

func (a *atticServer) stop() {
	a.server.stop()
	a.remove()
}

// startAttic starts atticd, as its documentation's smallest installation.
func (b *bench) startAttic(ctx context.Context) (*atticServer, error) {
	scratch, remove, err := b.scratch("atticd")
	if err != nil {
		return nil, err
	}
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	secret := []byte("a secret of the benchmark, long enough for HS256")
	config := fmt.Sprintf(`listen = %q
api-endpoint = "http://%[1]s/"
[database]
url = "sqlite://%[2]s/server.db?mode=rwc"
[storage]
type = "local"
path = "%[2]s/storage"
[chunking]
nar-size-threshold = 65536
min-size = 16384
avg-size = 65536
max-size = 262144
[compression]
type = "zstd"
[garbage-collection]
interval = "0 seconds"
[jwt.signing]
token-hs256-secret-base64 = %[3]q
`, addr, scratch, base64.StdEncoding.EncodeToString(secret))
	file := filepath.Join(scratch, "server.toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	a := &atticServer{scratch: scratch, token: atticToken(secret), remove: remove}
	a.server, err = start(ctx, addr, filepath.Join(scratch, "atticd.log"), append(os.Environ(), "HOME="+scratch, "RUST_LOG=warn"), b.find("atticd"), "-f", file)
	if err != nil {
		remove()
		return nil, err
	}
	if _, err := b.runPcache(ctx, a.env(), "cache", "create", a.address()); err != nil {
		a.stop()
		return nil, err
	}
	return a, nil
}

// atticToken is a token that may do everything.
func atticToken(secret []byte) string {
	part := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			panic(err) // they are constants and a time
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	signed := part(map[string]string{"alg": "HS256", "typ": "JWT"}) + "." + part(map[string]any{
		"exp": time.Now().Add(24 * time.Hour).Unix(), "sub": "bench",
		"https://jwt.attic.rs/v1": map[string]any{"caches": map[string]any{"*": map[string]int{"r": 1, "w": 1, "cc": 1}}},
	})
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func (a *atticServer) env() []string { return []string{"PCACHE_TOKEN=" + a.token} }

type atticPush = func(ctx context.Context, b *bench, c *closure, a *atticServer) (sample, error)

// pushAttic measures a push to a new server, or to one that has everything. The
// first server that was filled is kept for that.
func pushAttic(again bool, push atticPush) runner {
	return func(ctx context.Context, b *bench, c *closure) (sample, error) {
		a := b.attic
		if !again || a == nil {
			var err error
			if a, err = b.startAttic(ctx); err != nil {
				return sample{}, err
			}
			if again {
				if _, err := pcacheToAttic(ctx, b, c, a); err != nil {
					a.stop()
					return sample{}, err
				}
			}
			if b.attic == nil {
				b.attic = a
				b.closed = append(b.closed, a.stop)
			} else {
				defer a.stop()
			}
		}
		user, sys := a.cpu()
		s, err := push(ctx, b, c, a)
		u, y := a.cpu()
		s.Server = u + y - user - sys
		return s, err
	}
}

func pcacheToAttic(ctx context.Context, b *bench, c *closure, a *atticServer) (sample, error) {
	return b.runPcache(ctx, a.env(), "push", "--store", c.Dir, a.address(), string(c.Root))
}

// atticToAttic measures Attic's own client. A client that is linked with Nix's
// library takes its store from NIX_REMOTE; one with a stand-in for that, as
// docs/attic.md has it, from SHIM_ROOT.
func atticToAttic(ctx context.Context, b *bench, c *closure, a *atticServer) (sample, error) {
	home, remove, err := b.scratch("home")
	if err != nil {
		return sample{}, err
	}
	defer remove()
	env := append(b.newest().environ(home), "XDG_CONFIG_HOME="+home, "NIX_REMOTE="+c.Dir, "SHIM_ROOT="+c.Dir)
	if _, err := timed(ctx, env, b.find("attic"), "login", "bench", "http://"+a.addr, a.token); err != nil {
		return sample{}, err
	}
	return timed(ctx, env, b.find("attic"), "push", "bench:bench", string(c.Root))
}
