package attic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob/remote"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

const (
	maxAnswer = 16 << 20 // of JSON; the longest is a list of missing paths
	maxError  = 64 << 10

	defaultRequests = 32
	defaultStall    = 90 * time.Second
)

// Client speaks to one cache of a server. It may be used concurrently.
type Client struct {
	config    Config
	transport *remote.Transport
	http      *http.Client

	mu   sync.Mutex
	base *url.URL // of the API: the endpoint, or what the server says it is
}

// NewClient prepares a client. Nothing is asked of the server before the first
// call.
func NewClient(c Config) (*Client, error) {
	base, err := url.Parse(c.Endpoint)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.User != nil {
		return nil, fmt.Errorf("the server's URL %q is not http(s)://HOST", withoutUser(c.Endpoint))
	}
	if err := CheckName(c.Cache); err != nil {
		return nil, err
	}
	if c.Token != nil && base.Scheme == "http" && !remote.Loopback(base.Host) && !c.Insecure {
		return nil, fmt.Errorf("%s would go to %s unencrypted: use https", c.Token, base.Host)
	}
	roots, err := remote.Roots(c.CAFile, os.Getenv, "NIX_SSL_CERT_FILE")
	if err != nil {
		return nil, err
	}
	if c.Requests <= 0 {
		c.Requests = defaultRequests
	}
	if c.Stall <= 0 {
		c.Stall = defaultStall
	}
	k := &Client{config: c, base: base}
	k.transport = remote.NewTransport(remote.TransportOptions{Roots: roots, Stall: c.Stall, Requests: c.Requests, ExpectContinue: 2 * time.Second})
	k.http = &http.Client{Transport: k.transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // an API does not redirect; what does is something else
	}}
	return k, nil
}

// Close ends idle connections.
func (k *Client) Close() { k.transport.Close() }

// CacheConfig is what a server says of a cache, and what can be set of it.
// Unset fields are unknown, or stay as they are.
type CacheConfig struct {
	Keypair             json.RawMessage `json:"keypair,omitempty"` // see Generate; never sent by a server
	SubstituterEndpoint string          `json:"substituter_endpoint,omitempty"`
	APIEndpoint         string          `json:"api_endpoint,omitempty"`
	PublicKey           string          `json:"public_key,omitempty"`
	IsPublic            *bool           `json:"is_public,omitempty"`
	StoreDir            string          `json:"store_dir,omitempty"`
	Priority            *int            `json:"priority,omitempty"`
	// UpstreamKeys are names of keys; what they signed need not be uploaded.
	UpstreamKeys *[]string  `json:"upstream_cache_key_names,omitempty"`
	Retention    *Retention `json:"retention_period,omitempty"`
}

// Generate is a Keypair that the server makes itself.
var Generate = json.RawMessage(`"Generate"`)

// Retention is how long a path is kept after it was last asked for.
type Retention struct {
	Global bool          // as the server has it for all caches
	Period time.Duration // whole seconds; 0: for ever
}

// MarshalJSON gives the form of Attic: "Global" or {"Period": seconds}.
func (r Retention) MarshalJSON() ([]byte, error) {
	if r.Global {
		return []byte(`"Global"`), nil
	}
	seconds := int64(r.Period / time.Second)
	if seconds < 0 || seconds > 1<<32-1 {
		return nil, fmt.Errorf("a retention of %s cannot be said to Attic", r.Period)
	}
	return json.Marshal(map[string]int64{"Period": seconds})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (r *Retention) UnmarshalJSON(data []byte) error {
	if string(data) == `"Global"` {
		*r = Retention{Global: true}
		return nil
	}
	var period struct{ Period *uint32 }
	if err := json.Unmarshal(data, &period); err != nil || period.Period == nil {
		return errors.New("the retention period is neither Global nor a number of seconds")
	}
	*r = Retention{Period: time.Duration(*period.Period) * time.Second}
	return nil
}

// Text is the retention for people.
func (r Retention) Text() string {
	switch {
	case r.Global:
		return "as the server has it"
	case r.Period == 0:
		return "for ever"
	default:
		return r.Period.String()
	}
}

// Config asks for the cache's configuration, and speaks from then on to the
// API endpoint that it names, as Attic's own client does. One without TLS is
// not gone to from one with it: the token would be read on the way.
func (k *Client) Config(ctx context.Context) (CacheConfig, error) {
	var c CacheConfig
	if err := k.call(ctx, http.MethodGet, "cache-config/"+k.config.Cache, nil, &c); err != nil {
		return c, err
	}
	if c.APIEndpoint == "" {
		return c, nil
	}
	api, err := url.Parse(c.APIEndpoint)
	if err != nil || api.Scheme != "http" && api.Scheme != "https" || api.Host == "" || api.User != nil {
		return c, k.failed("ask about", fmt.Errorf("the server names as its API endpoint what is no URL: %q", remote.Printable(c.APIEndpoint)))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if api.Scheme == "http" && k.base.Scheme == "https" {
		return c, k.failed("ask about", fmt.Errorf("the server sends its clients from https to %s; its api-endpoint setting is wrong", remote.Printable(c.APIEndpoint)))
	}
	if api.Scheme == "http" && k.config.Token != nil && !remote.Loopback(api.Host) && !k.config.Insecure {
		return c, k.failed("ask about", fmt.Errorf("the server sends its clients to %s, and the token would go there unencrypted", remote.Printable(c.APIEndpoint)))
	}
	k.base = api
	return c, nil
}

// PublicKeys are the keys that the server signs the cache's paths with, as its
// configuration names them; nil if it names none.
func (k *Client) PublicKeys(ctx context.Context) ([]nix.PublicKey, error) {
	c, err := k.Config(ctx)
	if err != nil || c.PublicKey == "" {
		return nil, err
	}
	key, err := nix.ParsePublicKey(c.PublicKey)
	if err != nil {
		return nil, k.failed("ask about", fmt.Errorf("the server names as its public key what is none: %q", remote.Printable(c.PublicKey)))
	}
	return []nix.PublicKey{key}, nil
}

// Substituter is the URL at which Nix reads the cache: the one that the server
// names or, where it names none, the one at which every server answers. That
// one comes with an error too.
func (k *Client) Substituter(ctx context.Context) (string, error) {
	c, err := k.Config(ctx)
	if err != nil || c.SubstituterEndpoint == "" {
		return strings.TrimRight(k.config.Endpoint, "/") + "/" + k.config.Cache, err
	}
	u, err := url.Parse(c.SubstituterEndpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return "", k.failed("ask about", fmt.Errorf("the server names as its substituter endpoint what is no URL: %q", remote.Printable(c.SubstituterEndpoint)))
	}
	return strings.TrimRight(c.SubstituterEndpoint, "/"), nil
}

// Create makes the cache. It needs the right to create caches.
func (k *Client) Create(ctx context.Context, c CacheConfig) error {
	return k.call(ctx, http.MethodPost, "cache-config/"+k.config.Cache, c, nil)
}

// Configure changes what is set of c. It needs the right to configure caches,
// and for the retention one more.
func (k *Client) Configure(ctx context.Context, c CacheConfig) error {
	return k.call(ctx, http.MethodPatch, "cache-config/"+k.config.Cache, c, nil)
}

// Destroy removes the cache, with all that is in it.
func (k *Client) Destroy(ctx context.Context) error {
	return k.call(ctx, http.MethodDelete, "cache-config/"+k.config.Cache, nil, nil)
}

// missingBatch is how many paths are asked for in one request: 36 bytes each
// in JSON, below the 2 MB that servers take and the 32,766 variables that an
// SQLite statement may have.
const missingBatch = 8000

// Missing returns the hash parts that the cache does not have.
func (k *Client) Missing(ctx context.Context, hashes []string) (map[string]bool, error) {
	missing := make(map[string]bool)
	for len(hashes) > 0 {
		n := min(len(hashes), missingBatch)
		request := struct {
			Cache  string   `json:"cache"`
			Hashes []string `json:"store_path_hashes"`
		}{k.config.Cache, hashes[:n]}
		var answer struct {
			Missing []string `json:"missing_paths"`
		}
		if err := k.call(ctx, http.MethodPost, "get-missing-paths", request, &answer); err != nil {
			return nil, err
		}
		asked := make(map[string]bool, n)
		for _, h := range hashes[:n] {
			asked[h] = true
		}
		for _, h := range answer.Missing {
			if !asked[h] {
				return nil, k.failed("ask about", fmt.Errorf("the server says that it misses %q, which it was not asked for", remote.Printable(h)))
			}
			missing[h] = true
		}
		hashes = hashes[n:]
	}
	return missing, nil
}

// call makes a request of the API whose body can be sent again.
func (k *Client) call(ctx context.Context, method, path string, body, answer any) error {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return err
		}
	}
	return k.config.Retry.Do(ctx, func(ctx context.Context) error {
		return k.try(ctx, method, path, data, answer)
	})
}

func (k *Client) try(ctx context.Context, method, path string, data []byte, answer any) error {
	req, token, err := k.request(ctx, method, path)
	if err != nil {
		return err
	}
	if data != nil {
		req.Body = io.NopCloser(bytes.NewReader(data))
		req.ContentLength = int64(len(data))
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := k.http.Do(req)
	if err != nil {
		return k.broken(ctx, method, path, err)
	}
	defer resp.Body.Close()
	if err := k.judge(ctx, method+" "+path, resp, token); err != nil {
		return err
	}
	if answer == nil {
		_, _ = io.CopyN(io.Discard, resp.Body, maxError) // so that the connection can be used again
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return k.broken(ctx, method, path, err)
	}
	if len(text) > maxAnswer {
		return k.failed(method+" "+path, fmt.Errorf("the answer has more than %d bytes", maxAnswer))
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return k.failed(method+" "+path, fmt.Errorf("the answer is not what an Attic server sends: %v", err))
	}
	return nil
}

// renewBefore is how long before its end a token is replaced, if there is
// another: an upload that began with the old one is judged at its beginning.
const renewBefore = 30 * time.Second

// request makes a request with the token, which it returns as well.
func (k *Client) request(ctx context.Context, method, path string) (*http.Request, string, error) {
	token, err := k.config.Token.Get(ctx)
	if err != nil {
		return nil, "", err
	}
	if end, ok := Expires(token); ok && time.Until(end) < renewBefore && k.config.Token.Renew(ctx, token) {
		if token, err = k.config.Token.Get(ctx); err != nil {
			return nil, "", err
		}
	}
	k.mu.Lock()
	target := k.base.JoinPath("_api/v1", path)
	k.mu.Unlock()
	req, err := http.NewRequestWithContext(ctx, method, target.String(), nil)
	if err != nil {
		return nil, "", err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return req, token, nil
}

// NARInfo is what an upload says of its path: the upload info of
// attic/src/api/v1/upload_path.rs.
type NARInfo struct {
	Cache      string   `json:"cache"`
	Hash       string   `json:"store_path_hash"`
	StorePath  string   `json:"store_path"`
	References []string `json:"references"` // base names
	System     *string  `json:"system"`
	Deriver    *string  `json:"deriver"` // base name
	Signatures []string `json:"sigs"`
	CA         *string  `json:"ca"`
	NARHash    string   `json:"nar_hash"` // sha256: and hexadecimal digits
	NARSize    int64    `json:"nar_size"`
}

// NewNARInfo is the upload info of a path.
func NewNARInfo(cache string, p nix.PathInfo) NARInfo {
	n := NARInfo{
		Cache: cache, Hash: p.Path.HashPart(), StorePath: string(p.Path),
		References: []string{}, Signatures: []string{},
		NARHash: "sha256:" + p.NARHash.Hex(), NARSize: p.NARSize,
	}
	for _, r := range p.References {
		n.References = append(n.References, r.Base())
	}
	for _, s := range p.Signatures {
		n.Signatures = append(n.Signatures, s.String())
	}
	if p.Deriver != "" {
		base := p.Deriver.Base()
		n.Deriver = &base
	}
	if p.CA != "" {
		n.CA = &p.CA
	}
	return n
}

// PathInfo checks what an upload says of its path.
func (n NARInfo) PathInfo(storeDir string) (p nix.PathInfo, err error) {
	if p.Path, err = nix.ParseStorePath(storeDir, n.StorePath); err != nil {
		return p, err
	}
	if n.Hash != p.Path.HashPart() {
		return p, fmt.Errorf("store_path_hash %q is not that of %s", remote.Printable(n.Hash), p.Path)
	}
	if p.NARHash, err = nix.ParseHash(n.NARHash); err != nil {
		return p, fmt.Errorf("nar_hash: %v", err)
	}
	if p.NARSize = n.NARSize; p.NARSize <= 0 {
		return p, fmt.Errorf("nar_size is %d", n.NARSize)
	}
	for _, r := range n.References {
		ref, err := nix.BaseStorePath(storeDir, r)
		if err != nil {
			return p, fmt.Errorf("references: %v", err)
		}
		p.References = append(p.References, ref)
	}
	slices.Sort(p.References)
	p.References = slices.Compact(p.References)
	if n.Deriver != nil && *n.Deriver != "" {
		if p.Deriver, err = nix.BaseStorePath(storeDir, *n.Deriver); err != nil {
			return p, fmt.Errorf("deriver: %v", err)
		}
	}
	for _, text := range n.Signatures {
		// As in a narinfo, one that cannot be read proves nothing.
		if sig, err := nix.ParseSignature(text); err == nil {
			p.Signatures = append(p.Signatures, sig)
		}
	}
	if n.CA != nil {
		if strings.ContainsAny(*n.CA, "\r\n") {
			return p, errors.New("ca holds a line break")
		}
		p.CA = *n.CA
	}
	return p, nil
}

// Names of headers, and the size of an upload info from which it travels
// before the NAR instead of in a header: proxies limit headers to 8 kB or
// less in all, and Attic's own client does it from 4 KiB.
const (
	InfoHeader     = "X-Attic-Nar-Info"
	PreambleHeader = "X-Attic-Nar-Info-Preamble-Size"
	preambleFrom   = 4 << 10
)

// expectFrom is the size of a NAR from which the server is asked before the
// bytes are sent: one that knows them, and trusts its clients
// (require-proof-of-possession = false), then answers at once.
const expectFrom = 256 << 10

// Uploaded is what a server says of an upload.
type Uploaded struct {
	Deduplicated bool  // it had the NAR
	FileSize     int64 // bytes stored; 0: it did not say
}

// Upload sends a path's NAR, which makes it visible. nar is read once; after an
// error that wraps a remote.TemporaryError the same with the NAR read anew may
// succeed.
func (k *Client) Upload(ctx context.Context, p nix.PathInfo, nar io.Reader) (Uploaded, error) {
	const op = "upload-path"
	info, err := json.Marshal(NewNARInfo(k.config.Cache, p))
	if err != nil {
		return Uploaded{}, err
	}
	req, token, err := k.request(ctx, http.MethodPut, op)
	if err != nil {
		return Uploaded{}, err
	}
	body := nar
	req.ContentLength = p.NARSize
	if len(info) < preambleFrom {
		req.Header.Set(InfoHeader, string(info))
	} else {
		req.Header.Set(PreambleHeader, fmt.Sprint(len(info)))
		body = io.MultiReader(bytes.NewReader(info), nar)
		req.ContentLength += int64(len(info))
	}
	req.Header.Set("Content-Type", "application/x-nix-nar")
	if p.NARSize >= expectFrom {
		req.Header.Set("Expect", "100-continue")
	}
	req.Body = io.NopCloser(body)
	resp, err := k.http.Do(req)
	if err != nil {
		return Uploaded{}, k.broken(ctx, http.MethodPut, op, err)
	}
	defer resp.Body.Close()
	if err := k.judge(ctx, "upload", resp, token); err != nil {
		return Uploaded{}, err
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxError))
	if err != nil {
		return Uploaded{}, k.broken(ctx, http.MethodPut, op, err)
	}
	// As Attic's client, an answer that cannot be read counts as uploaded:
	// the status says so, and the kind is for information.
	var answer struct {
		Kind     string `json:"kind"`
		FileSize int64  `json:"file_size"`
	}
	_ = json.Unmarshal(text, &answer)
	return Uploaded{Deduplicated: strings.EqualFold(answer.Kind, "Deduplicated"), FileSize: max(answer.FileSize, 0)}, nil
}
