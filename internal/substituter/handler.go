package substituter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// Header values that do not change, so that a request does not make them.
var (
	typeNARInfo = []string{blob.ContentType(".narinfo")}
	typeNAR     = []string{blob.ContentType("nar/")}
	typeInfo    = []string{blob.ContentType("nix-cache-info")}
	typeJSON    = []string{blob.ContentType(".json")}
	typeText    = []string{blob.ContentType("public-keys")}
	noSniff     = []string{"nosniff"}
	acceptBytes = []string{"bytes"}
)

// Kind is what a request of a binary cache is for.
type Kind string

// The kinds of objects that clients ask for.
const (
	KindInfo    Kind = "info"    // nix-cache-info, public-keys
	KindNARInfo Kind = "narinfo" // <hash part>.narinfo
	KindNAR     Kind = "nar"     // nar/…
	KindRoot    Kind = "root"    // roots/<name>/newest, roots/<name>/<generation>.json
	KindOther   Kind = "other"   // .ls, log/, realisations/, build-trace-v2/, debuginfo/
	KindNone    Kind = ""        // nothing that a binary cache has
)

// Classify says what the path of a request, without its first slash, names.
// All that is not KindNone is a key of a blob store.
func Classify(key string) Kind {
	if name, ok := strings.CutSuffix(key, ".narinfo"); ok && nix.IsHashPart(name) {
		return KindNARInfo // most requests are of this kind
	}
	if blob.CheckKey(key) != nil {
		return KindNone
	}
	first, rest, below := strings.Cut(key, "/")
	switch {
	case !below:
		switch name, ext, _ := strings.Cut(key, "."); {
		case key == "nix-cache-info" || key == "public-keys":
			return KindInfo
		case ext == "ls" && nix.IsHashPart(name):
			return KindOther
		}
	case first == "nar":
		return KindNAR
	case first == "log" || first == "realisations" || first == "debuginfo":
		if rest != "" && !strings.Contains(rest, "/") {
			return KindOther
		}
	case first == "build-trace-v2":
		return KindOther
	case first == "roots" && strings.Count(rest, "/") == 1:
		return KindRoot
	}
	return KindNone
}

// ServeHTTP answers GET and HEAD. r.URL.Path is the object's key after a slash.
func (c *Cache) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		Fail(w, http.StatusMethodNotAllowed, "this cache is for reading")
		return
	}
	key := strings.TrimPrefix(r.URL.Path, "/")
	w.Header()["X-Content-Type-Options"] = noSniff
	switch Classify(key) {
	case KindNARInfo:
		c.serveNARInfo(w, r, key[:32])
	case KindNAR:
		c.serveNAR(w, r, key)
	case KindInfo:
		c.serveInfo(w, r, key)
	case KindRoot:
		c.serveRoot(w, r, key)
	case KindOther:
		c.serveOther(w, r, key)
	default:
		Fail(w, http.StatusNotFound, "a binary cache has no such object")
	}
}

// Fail answers with an error of one line.
func Fail(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h["Content-Type"] = typeText
	h["Content-Length"] = []string{strconv.Itoa(len(text) + 1)}
	h.Del("Etag")
	h.Del("Accept-Ranges")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n")
}

// fail answers with what an error means to a client. An error is never told as
// an absence: clients would remember it for an hour.
func (c *Cache) fail(w http.ResponseWriter, r *http.Request, err error) {
	var up *UpstreamError
	switch {
	case errors.Is(err, blob.ErrNotExist):
		Fail(w, http.StatusNotFound, "not found")
	case r.Context().Err() != nil:
		panic(http.ErrAbortHandler) // nobody is there to be told
	case errors.Is(err, ErrUnavailable):
		wait := time.Second
		if errors.As(err, &up) {
			wait = up.Retry
		}
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int((wait+time.Second-1)/time.Second))))
		Fail(w, http.StatusServiceUnavailable, err.Error())
	case errors.Is(err, errTimeout):
		Fail(w, http.StatusGatewayTimeout, err.Error())
	case errors.As(err, &up), errors.Is(err, binarycache.ErrDamaged):
		Fail(w, http.StatusBadGateway, err.Error())
	case errors.Is(err, context.Canceled):
		w.Header().Set("Retry-After", "1")
		Fail(w, http.StatusServiceUnavailable, "the server is going down")
	default:
		Fail(w, http.StatusInternalServerError, err.Error())
	}
}

func (c *Cache) serveNARInfo(w http.ResponseWriter, r *http.Request, hashPart string) {
	rec, err := c.lookup(r.Context(), hashPart)
	if err != nil {
		c.fail(w, r, err)
		return
	}
	small(w, r, typeNARInfo, rec.body)
}

// headerNARInfo is what serveNARInfo answers with.
var headerNARInfo = "X-Content-Type-Options: nosniff\r\nContent-Type: " + typeNARInfo[0] + "\r\n"

// Remembered is what a GET of a narinfo is answered with, if that is in memory
// and holds: lines of the header and the body, which must not be changed.
func (c *Cache) Remembered(key string) (header string, body []byte, ok bool) {
	hashPart, ok := strings.CutSuffix(key, ".narinfo")
	if !ok || !nix.IsHashPart(hashPart) {
		return "", nil, false
	}
	r, ok := c.remembered(hashPart)
	if !ok {
		return "", nil, false
	}
	return headerNARInfo, r.body, true
}

func small(w http.ResponseWriter, r *http.Request, contentType []string, body []byte) {
	h := w.Header()
	h["Content-Type"] = contentType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

// serveInfo answers what the cache is. Of several caches it is this server's
// own answer; one directory answers for itself where it can.
func (c *Cache) serveInfo(w http.ResponseWriter, r *http.Request, key string) {
	if c.plain {
		p, err := binarycache.ReadPublished(r.Context(), c.upstreams[0].Reader, c.upstreams[0].Name)
		if err != nil {
			c.fail(w, r, err)
			return
		}
		if key == "nix-cache-info" && p.IsCache {
			p.Info.WantMassQuery = true
			small(w, r, typeInfo, p.Info.Marshal())
			return
		}
	}
	if key == "nix-cache-info" {
		small(w, r, typeInfo, binarycache.Info{StoreDir: c.o.StoreDir, WantMassQuery: true, Priority: c.o.Priority}.Marshal())
		return
	}
	keys, err := c.publicKeys(r.Context())
	switch {
	case err != nil:
		c.fail(w, r, err)
	case len(keys) == 0:
		Fail(w, http.StatusNotFound, "the cache does not list its keys")
	default:
		small(w, r, typeText, binarycache.MarshalPublicKeys(keys))
	}
}

// publicKeys are those of all upstreams. Of one that cannot be asked they are
// not known, so that there is no answer.
func (c *Cache) publicKeys(ctx context.Context) ([]nix.PublicKey, error) {
	var all []nix.PublicKey
	seen := make(map[nix.PublicKey]bool)
	for _, u := range c.upstreams {
		var keys []nix.PublicKey
		err := u.call(ctx, func(ctx context.Context) (err error) {
			keys, err = u.identify(ctx)
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			if !seen[k] {
				seen[k] = true
				all = append(all, k)
			}
		}
	}
	return all, nil
}

// serveRoot answers with a root's manifest, the newest or that of a generation,
// of the first cache that has the root. Who reads a cache through a server
// cannot list it.
func (c *Cache) serveRoot(w http.ResponseWriter, r *http.Request, key string) {
	parts := strings.Split(key, "/")
	name, generation := parts[1], ""
	if parts[2] != "newest" {
		generation = strings.TrimSuffix(parts[2], ".json")
	}
	if binarycache.CheckRootName(name) != nil || generation != "" && binarycache.CheckRootName(generation) != nil {
		Fail(w, http.StatusNotFound, "not the name of a root and a generation")
		return
	}
	failure := blob.ErrNotExist
	for _, u := range c.upstreams {
		var root binarycache.Root
		err := u.call(r.Context(), func(ctx context.Context) (err error) {
			root, err = binarycache.FindRoot(ctx, u.Reader, u.Store, u.Name, c.o.StoreDir, name, generation)
			var refused *binarycache.RefusedError
			if errors.As(err, &refused) {
				return fmt.Errorf("%v: %w", err, blob.ErrNotExist)
			}
			return err
		})
		switch {
		case err == nil:
			data, err := json.MarshalIndent(root, "", "  ")
			if err != nil {
				c.fail(w, r, err)
				return
			}
			small(w, r, typeJSON, append(data, '\n'))
			return
		case !errors.Is(err, blob.ErrNotExist):
			failure = err
		}
	}
	c.fail(w, r, failure)
}

// maxOther bounds listings, logs and the like, which are passed on.
const maxOther = 1 << 30

// serveOther passes on what is neither narinfo nor NAR, from the first cache
// that has it. Nothing vouches for it, so nothing is kept.
func (c *Cache) serveOther(w http.ResponseWriter, r *http.Request, key string) {
	c.pass(w, r, key, []string{blob.ContentType(key)})
}

// pass hands an object on as it comes.
func (c *Cache) pass(w http.ResponseWriter, r *http.Request, key string, contentType []string) {
	var failure error
	for _, u := range c.upstreams {
		body, err := u.open(r.Context(), key)
		switch {
		case errors.Is(err, blob.ErrNotExist):
			continue
		case err != nil:
			c.event("upstream-failed", u.Name, key, err)
			failure = err
			continue
		}
		defer body.Close()
		w.Header()["Content-Type"] = contentType
		if file, info, ok := u.file(key); ok {
			defer file.Close()
			c.serveFile(w, r, file, info, "")
			return
		}
		w.WriteHeader(http.StatusOK)
		if r.Method == http.MethodHead {
			return
		}
		if _, err := c.copy(w, io.LimitReader(body, maxOther)); err != nil {
			panic(http.ErrAbortHandler)
		}
		return
	}
	if failure == nil {
		failure = blob.ErrNotExist
	}
	c.fail(w, r, failure)
}

// file opens an object of a cache that is a directory.
func (u *upstream) file(key string) (f *os.File, info os.FileInfo, ok bool) {
	if u.Dir == "" {
		return nil, nil, false
	}
	f, err := openFile(u.Dir + "/" + key)
	if err != nil {
		return nil, nil, false
	}
	if info, err = f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, nil, false
	}
	return f, info, true
}

// serveKept answers with a file of the mirror.
func (c *Cache) serveKept(w http.ResponseWriter, r *http.Request, f *os.File, etag string) {
	info, err := f.Stat()
	if err != nil {
		c.fail(w, r, err)
		return
	}
	c.serveFile(w, r, f, info, etag)
}

// serveFile answers with a file, or a range of it.
func (c *Cache) serveFile(w http.ResponseWriter, r *http.Request, f *os.File, info os.FileInfo, etag string) {
	if etag == "" {
		etag = fileTag(info)
	}
	h := w.Header()
	h["Etag"] = []string{etag}
	if r.Method == http.MethodGet && !conditional(r.Header) {
		// What http.ServeContent would do, which looks for the file's end first.
		size := info.Size()
		h["Accept-Ranges"] = acceptBytes
		h["Content-Length"] = []string{strconv.FormatInt(size, 10)}
		w.WriteHeader(http.StatusOK)
		if n, err := c.pace(w).ReadFrom(&io.LimitedReader{R: f, N: size}); err != nil || n < size {
			panic(http.ErrAbortHandler) // the client must not take it for the whole
		}
		return
	}
	// A zero time: the entity tag says more than a time, and for kept files
	// the time is that of their last use.
	http.ServeContent(c.pace(w), r, "", time.Time{}, f)
}

// conditional says that a request wants a part of a file, or perhaps nothing.
func conditional(h http.Header) bool {
	return len(h["Range"]) > 0 || len(h["If-None-Match"]) > 0 || len(h["If-Match"]) > 0 || len(h["If-Range"]) > 0
}

// fileTag is a file's entity tag.
func fileTag(info os.FileInfo) string {
	b := make([]byte, 0, 40)
	b = append(b, '"')
	b = strconv.AppendInt(b, info.ModTime().UnixNano(), 16)
	b = append(b, '-')
	b = strconv.AppendInt(b, info.Size(), 16)
	return string(append(b, '"'))
}
