// Package api answers Attic's clients: the server's side of the API that
// package attic speaks, for one cache. Attic's own client pushes to it.
//
// The API's errors are JSON, {"code", "error", "message"}, with Attic's names
// (server/src/error.rs).
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"gitlab.com/pantheros/pantheros/internal/attic"
	"gitlab.com/pantheros/pantheros/internal/intake"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/token"
)

// Options of an API. Intake, Visible and Subject are needed.
type Options struct {
	Cache    string // its name
	StoreDir string
	Priority int
	Public   bool            // no token is needed to read
	Key      func() string   // the cache's public key; empty: it has none
	Upstream func() []string // names of keys whose paths need not be sent

	Intake  *intake.Intake
	Visible func(ctx context.Context, p nix.StorePath) (bool, error)
	// Subject says who sent a request.
	Subject func(ctx context.Context) token.Subject
}

// API is an http.Handler for the paths below /_api/v1/.
type API struct {
	o   Options
	mux *http.ServeMux

	mu      sync.Mutex
	waiting map[nix.StorePath]nix.NARInfo     // NAR stored, references not all visible
	waiters map[nix.StorePath][]nix.StorePath // by a reference that is not visible
}

// Bounds of what a client may send.
const (
	maxInfo      = 1 << 20 // of an upload's info, as Attic's server has it
	maxQuestion  = 8 << 20 // of a list of paths
	maxHashes    = 100_000 // in it
	maxWaiting   = 200_000 // paths that wait for their references
	maxReference = 20_000
)

// lookAgain is how often Watch asks for references that nobody has sent, and
// maxLooks for how many of them at a time.
const (
	lookAgain = 3 * time.Second
	maxLooks  = 500
)

// New returns the API of a cache.
func New(o Options) *API {
	a := &API{o: o, mux: http.NewServeMux(), waiting: make(map[nix.StorePath]nix.NARInfo), waiters: make(map[nix.StorePath][]nix.StorePath)}
	a.mux.HandleFunc("GET /_api/v1/cache-config/{cache}", a.handler(token.Pull, a.config))
	a.mux.HandleFunc("GET /{cache}/attic-cache-info", a.handler(token.Pull, a.config))
	// Nobody may do these, so no right is asked for that only they would need.
	a.mux.HandleFunc("POST /_api/v1/cache-config/{cache}", a.handler(token.Push, a.create))
	a.mux.HandleFunc("PATCH /_api/v1/cache-config/{cache}", a.handler(token.Push, a.fixed))
	a.mux.HandleFunc("DELETE /_api/v1/cache-config/{cache}", a.handler(token.Push, a.fixed))
	a.mux.HandleFunc("POST /_api/v1/get-missing-paths", a.handler(0, a.missing))
	a.mux.HandleFunc("PUT /_api/v1/upload-path", a.handler(0, a.upload))
	a.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fail(w, &apiError{http.StatusNotFound, "NotFound", "The URL you requested was not found."})
	})
	return a
}

// ServeHTTP answers a request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// apiError is an answer that is a refusal.
type apiError struct {
	status  int
	kind    string
	message string
}

func (e *apiError) Error() string { return e.message }

func badRequest(format string, args ...any) error {
	return &apiError{http.StatusBadRequest, "RequestError", "General request error: " + fmt.Sprintf(format, args...)}
}

// fail answers with an error, as Attic's clients expect it.
func fail(w http.ResponseWriter, err error) {
	var e *apiError
	if !errors.As(err, &e) {
		e = &apiError{status: intake.Status(err), kind: "RequestError", message: err.Error()}
		if e.status >= 500 {
			e.kind = "InternalServerError"
		}
	}
	if e.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.status)
	_ = json.NewEncoder(w).Encode(struct {
		Code    int    `json:"code"`
		Error   string `json:"error"`
		Message string `json:"message"`
	}{e.status, e.kind, e.message})
}

// handler checks name and right of requests whose URL names the cache; a
// right of 0 leaves both to f.
func (a *API) handler(need token.Rights, f func(w http.ResponseWriter, r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if need != 0 {
			if err := a.may(r, r.PathValue("cache"), need); err != nil {
				fail(w, err)
				return
			}
		}
		answer, err := f(w, r)
		if err != nil {
			if r.Context().Err() != nil {
				panic(http.ErrAbortHandler)
			}
			fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}
}

// may refuses what the client's token does not allow. Who has no right at all
// does not learn whether there is such a cache, as with Attic.
func (a *API) may(r *http.Request, cache string, need token.Rights) error {
	who := a.o.Subject(r.Context())
	switch {
	case who.May(cache, need):
	case who.May(cache, token.Pull):
		return &apiError{http.StatusForbidden, "AccessError", "Access error: User does not have permission to complete this action."}
	default:
		return &apiError{http.StatusUnauthorized, "Unauthorized", "Unauthorized."}
	}
	if cache != a.o.Cache && r.Method != http.MethodPost {
		return &apiError{http.StatusNotFound, "NoSuchCache", "The requested cache does not exist."}
	}
	return nil
}

// config says what the cache is. Endpoints are those by which the client came.
func (a *API) config(_ http.ResponseWriter, r *http.Request) (any, error) {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	// Behind a proxy that says so, the client came by another scheme.
	if forwarded := r.Header.Get("X-Forwarded-Proto"); forwarded == "https" || forwarded == "http" {
		scheme = forwarded
	}
	base := scheme + "://" + r.Host + "/"
	upstream := a.o.Upstream()
	if upstream == nil {
		upstream = []string{}
	}
	return attic.CacheConfig{
		SubstituterEndpoint: base + a.o.Cache, APIEndpoint: base, PublicKey: a.o.Key(),
		IsPublic: &a.o.Public, StoreDir: a.o.StoreDir, Priority: &a.o.Priority,
		UpstreamKeys: &upstream, Retention: &attic.Retention{},
	}, nil
}

func (a *API) create(_ http.ResponseWriter, r *http.Request) (any, error) {
	if r.PathValue("cache") == a.o.Cache {
		return nil, &apiError{http.StatusBadRequest, "CacheAlreadyExists", "The cache already exists."}
	}
	return a.fixed(nil, r)
}

// fixed is for what the command line of the server says.
func (a *API) fixed(http.ResponseWriter, *http.Request) (any, error) {
	return nil, &apiError{http.StatusForbidden, "AccessError", "Access error: this server has the one cache that it was started with, and its settings are those of its command line"}
}

// missing says which of the asked paths the cache does not have.
func (a *API) missing(_ http.ResponseWriter, r *http.Request) (any, error) {
	var question struct {
		Cache  string   `json:"cache"`
		Hashes []string `json:"store_path_hashes"`
	}
	data, err := io.ReadAll(io.LimitReader(r.Body, maxQuestion+1))
	if err != nil {
		return nil, fmt.Errorf("read the question: %w", err)
	}
	if len(data) > maxQuestion {
		return nil, &apiError{http.StatusRequestEntityTooLarge, "RequestError", "the list of paths is too long: ask in several requests"}
	}
	if err := json.Unmarshal(data, &question); err != nil {
		return nil, badRequest("%v", err)
	}
	if len(question.Hashes) > maxHashes {
		return nil, badRequest("%d paths in one request: ask in several", len(question.Hashes))
	}
	if err := a.may(r, question.Cache, token.Push); err != nil {
		return nil, err
	}
	missing := []string{}
	seen := make(map[string]bool, len(question.Hashes))
	for _, h := range question.Hashes {
		// Any name does: a path is looked up by its hash part.
		p, err := nix.ParseStorePath(a.o.StoreDir, a.o.StoreDir+"/"+h+"-x")
		if err != nil {
			return nil, badRequest("%q is no hash part of a store path", h)
		}
		if seen[h] {
			continue
		}
		seen[h] = true
		ok, err := a.o.Visible(r.Context(), p)
		if err != nil {
			return nil, err
		}
		if !ok {
			missing = append(missing, h)
		}
	}
	return map[string][]string{"missing_paths": missing}, nil
}

// upload takes a path. It becomes visible when all that it refers to is:
// Attic's client sends in any order.
func (a *API) upload(w http.ResponseWriter, r *http.Request) (any, error) {
	info, err := readInfo(r)
	if err != nil {
		return nil, err
	}
	if err := a.may(r, info.Cache, token.Push); err != nil {
		return nil, err
	}
	p, err := info.PathInfo(a.o.StoreDir)
	if err != nil {
		return nil, badRequest("%v", err)
	}
	// A client that waits to hear whether its bytes are wanted is told at
	// once; from others they are read, since few can hear while they send.
	waits := strings.EqualFold(r.Header.Get("Expect"), "100-continue") && r.Header.Get(attic.PreambleHeader) == ""
	if waits {
		there, err := a.o.Intake.HasNAR(r.Context(), p)
		if err != nil {
			return nil, err
		}
		if there {
			w.Header().Set("Connection", "close") // its body may still come
		}
	}
	n, existed, err := a.o.Intake.PutPath(r.Context(), p, intake.Steady(w, r))
	if err != nil {
		w.Header().Set("Connection", "close")
		return nil, err
	}
	if existed && !waits {
		if _, err := io.Copy(io.Discard, intake.Steady(w, r)); err != nil {
			return nil, fmt.Errorf("read what the client sends: %w", err)
		}
	}
	if err := a.publish(r.Context(), n); err != nil {
		return nil, err
	}
	kind := "Uploaded"
	if existed {
		kind = "Deduplicated"
	}
	return struct {
		Kind             string   `json:"kind"`
		FileSize         int64    `json:"file_size,omitempty"`
		FracDeduplicated *float64 `json:"frac_deduplicated"`
	}{Kind: kind, FileSize: n.FileSize}, nil
}

// readInfo reads an upload's info, from a header or from before the NAR.
func readInfo(r *http.Request) (attic.NARInfo, error) {
	var info attic.NARInfo
	var data []byte
	if size := r.Header.Get(attic.PreambleHeader); size != "" {
		n, err := strconv.Atoi(size)
		if err != nil || n < 0 {
			return info, badRequest("%s must be a valid unsigned integer", attic.PreambleHeader)
		}
		if n > maxInfo {
			return info, badRequest("Upload info is too large")
		}
		data = make([]byte, n)
		if _, err := io.ReadFull(r.Body, data); err != nil {
			return info, badRequest("Upload info doesn't match specified size")
		}
	} else if header := r.Header.Get(attic.InfoHeader); header != "" {
		data = []byte(header)
	} else {
		return info, badRequest("%s must be set", attic.InfoHeader)
	}
	if err := json.Unmarshal(data, &info); err != nil {
		return info, badRequest("%v", err)
	}
	if len(info.References) > maxReference {
		return info, badRequest("%d references", len(info.References))
	}
	return info, nil
}

// publish makes a path visible, and then those that waited for it. One whose
// references are not all visible waits itself, in memory: if the server ends,
// the path counts as missing, and the next push finds its NAR there.
func (a *API) publish(ctx context.Context, n nix.NARInfo) error {
	// It is listed before it is tried, so that what becomes visible meanwhile
	// finds it.
	a.mu.Lock()
	if len(a.waiting) >= maxWaiting {
		a.mu.Unlock()
		return &apiError{http.StatusServiceUnavailable, "InternalServerError", "too many paths wait for what they refer to: send references first"}
	}
	a.waiting[n.Path] = n
	for _, r := range n.References {
		if r != n.Path {
			a.waiters[r] = append(a.waiters[r], n.Path)
		}
	}
	a.mu.Unlock()
	return a.publishAll(ctx, n.Path, []nix.NARInfo{n})
}

// Arrived makes visible what waited for a path that came by another protocol.
func (a *API) Arrived(ctx context.Context, p nix.StorePath) {
	_ = a.publishAll(ctx, "", a.visible(nix.NARInfo{PathInfo: nix.PathInfo{Path: p}}))
}

// Watch makes visible, until ctx ends, what waited for a path that came past this
// server: another process may write to the same cache.
func (a *API) Watch(ctx context.Context) {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, p := range a.awaited() {
			there, err := a.o.Intake.Has(ctx, p)
			if err != nil {
				break // the cache does not answer; it is asked again soon
			}
			if there {
				a.Arrived(ctx, p)
			}
		}
	}
}

// awaited are references that paths wait for and that do not wait themselves, a
// part of them if there are many: never the same part (maps have no order).
func (a *API) awaited() (ps []nix.StorePath) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for p := range a.waiters {
		if _, ok := a.waiting[p]; ok {
			continue
		}
		if ps = append(ps, p); len(ps) == maxLooks {
			break
		}
	}
	return ps
}

// publishAll makes paths visible, and what waited for them. The error is about
// own.
func (a *API) publishAll(ctx context.Context, own nix.StorePath, ready []nix.NARInfo) error {
	for len(ready) > 0 {
		next := ready[0]
		ready = ready[1:]
		err := a.o.Intake.Publish(ctx, next)
		var missing *intake.MissingError
		switch {
		case errors.As(err, &missing):
			continue // somebody will come back to it
		case err != nil:
			a.forget(next)
			if next.Path == own {
				return err
			}
			continue // its own push will find it missing
		}
		ready = append(ready, a.visible(next)...)
	}
	return nil
}

// visible forgets a path that is visible now and returns those that waited for
// it, perhaps not for it alone.
func (a *API) visible(n nix.NARInfo) []nix.NARInfo {
	a.forget(n)
	a.mu.Lock()
	defer a.mu.Unlock()
	var ready []nix.NARInfo
	for _, p := range a.waiters[n.Path] {
		if w, ok := a.waiting[p]; ok {
			ready = append(ready, w)
		}
	}
	delete(a.waiters, n.Path)
	return ready
}

// forget drops a path from those that wait.
func (a *API) forget(n nix.NARInfo) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.waiting, n.Path)
	for _, r := range n.References {
		left := a.waiters[r][:0]
		for _, p := range a.waiters[r] {
			if p != n.Path {
				left = append(left, p)
			}
		}
		if a.waiters[r] = left; len(left) == 0 {
			delete(a.waiters, r)
		}
	}
}
