package substituter

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/mirror"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// A NAR's URL is, for clients,
//
//	nar/<hash part>-<hash of the file, or else of the NAR>.nar[.<ext>]
//
// and its key in the mirror is the same without the hash part and the dash. By
// the hash part a server finds the path again that it has long forgotten:
// clients remember narinfos for a month.

func narName(n nix.NARInfo) string {
	h := n.FileHash
	if h.IsZero() {
		h = n.NARHash
	}
	return h.Base32() + ".nar" + extension(n.Compression)
}

func clientURL(n nix.NARInfo) string { return "nar/" + n.Path.HashPart() + "-" + narName(n) }

// extension is what Nix adds to the names of NARs.
func extension(compression string) string {
	switch compression {
	case "none", "":
		return ""
	case "zstd":
		return ".zst"
	case "bzip2":
		return ".bz2"
	case "gzip":
		return ".gz"
	}
	var b strings.Builder
	for i := range min(len(compression), 16) {
		if c := compression[i]; c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			b.WriteByte(c)
		}
	}
	return "." + b.String()
}

// splitClientURL takes apart what clientURL made.
func splitClientURL(key string) (hashPart, name string, ok bool) {
	rest, ok := strings.CutPrefix(key, "nar/")
	if !ok || len(rest) < 34 || rest[32] != '-' || !nix.IsHashPart(rest[:32]) {
		return "", "", false
	}
	return rest[:32], rest[33:], !strings.Contains(rest, "/")
}

func (c *Cache) serveNAR(w http.ResponseWriter, r *http.Request, key string) {
	w.Header()["Content-Type"] = typeNAR
	if c.plain {
		c.serveDirNAR(w, r, key)
		return
	}
	hashPart, name, ok := splitClientURL(key)
	if !ok {
		c.serveForeignNAR(w, r, key)
		return
	}
	var failure error
	// An upstream that turns out not to have what it says is passed over.
	for range len(c.upstreams) + 1 {
		rec, err := c.lookup(r.Context(), hashPart)
		if err != nil {
			if failure == nil || !errors.Is(err, blob.ErrNotExist) {
				failure = err
			}
			break
		}
		n, err := rec.narInfo(c.o.StoreDir)
		if err != nil {
			failure = err
			break
		}
		// The client may have the narinfo of another time, or cache, but then
		// it must at least be able to read what it gets.
		if _, ext, _ := strings.Cut(name, "."); ext != "nar"+extension(n.Compression) {
			failure = fmt.Errorf("%s is compressed in another way by now: %w", hashPart, blob.ErrNotExist)
			break
		}
		started, err := c.serveRecord(w, r, rec, n)
		if err == nil {
			return
		}
		if started || r.Context().Err() != nil {
			// The client must not take what it got for the whole.
			panic(http.ErrAbortHandler)
		}
		failure = err
		if !c.isBadRecord(rec, hashPart) {
			break
		}
	}
	c.fail(w, r, narFailure(failure))
}

// narFailure is what a failure means to who asks for a NAR. A narinfo has said
// that there is one, so its lack is no absence to be remembered.
func narFailure(err error) error {
	var up *UpstreamError
	if errors.Is(err, blob.ErrNotExist) && errors.As(err, &up) {
		return &UpstreamError{Upstream: up.Upstream, Err: errors.New("it has lost the NAR that its narinfo names")}
	}
	return err
}

// isBadRecord says that the source of a record has proved bad, so that another
// may be tried.
func (c *Cache) isBadRecord(rec *record, hashPart string) bool {
	return rec.from == fromMirror || c.isBad(c.upstreams[rec.from], hashPart)
}

// serveDirNAR serves a file of the one directory, under the name it has there.
func (c *Cache) serveDirNAR(w http.ResponseWriter, r *http.Request, key string) {
	f, info, ok := c.upstreams[0].file(key)
	if !ok {
		c.fail(w, r, blob.ErrNotExist)
		return
	}
	defer f.Close()
	c.serveFile(w, r, f, info, "")
}

// serveForeignNAR answers for a NAR under a name that is not of this server's
// making: a client's memory of another server at this address. What is here is
// given; of the rest nothing is known to check it by, so it is passed on and
// not kept. The client checks it as ever.
func (c *Cache) serveForeignNAR(w http.ResponseWriter, r *http.Request, key string) {
	if c.o.Mirror != nil {
		if f, err := c.o.Mirror.OpenNAR(key); err == nil {
			defer f.Close()
			c.serveKept(w, r, f, "")
			return
		}
	}
	c.pass(w, r, key, typeNAR)
}

// serveRecord serves a path's NAR from where it is, or brings it. started says
// whether an answer has begun.
func (c *Cache) serveRecord(w http.ResponseWriter, r *http.Request, rec *record, n nix.NARInfo) (started bool, err error) {
	etag := `"` + narName(n) + `"`
	if rec.from != fromMirror && c.upstreams[rec.from].Dir != "" {
		u := c.upstreams[rec.from]
		f, info, ok := u.file(rec.source)
		if !ok {
			c.setBad(u, n.Path.HashPart())
			err := &UpstreamError{Upstream: u.Name, Err: blob.ErrNotExist}
			c.event("damaged", u.Name, rec.source, err)
			return false, err
		}
		defer f.Close()
		c.serveFile(w, r, f, info, etag)
		return true, nil
	}
	if c.o.Mirror != nil {
		key := "nar/" + narName(n)
		if rec.from == fromMirror {
			key = rec.source
		}
		if f, err := c.o.Mirror.OpenNAR(key); err == nil {
			defer f.Close()
			known, err := c.knows(key, rec, n)
			if err != nil {
				return false, err
			}
			if known {
				c.metrics.hits.Inc()
				c.serveKept(w, r, f, etag)
				return true, nil
			}
		}
	}
	if rec.from == fromMirror {
		// It was evicted since it was looked up.
		c.records.remove(n.Path.HashPart())
		return false, fmt.Errorf("%s was evicted: %w", n.Path, blob.ErrNotExist)
	}
	c.metrics.misses.Inc()
	return c.bring(w, r, rec, n, etag)
}

// knows says whether a kept file is a record's NAR, and has it stand for that
// path as well. A narinfo that names the file of another NAR is wrong.
func (c *Cache) knows(key string, rec *record, n nix.NARInfo) (bool, error) {
	if rec.from == fromMirror {
		return true, nil
	}
	u := c.upstreams[rec.from]
	err := c.o.Mirror.AddTwin(key, n)
	switch {
	case errors.Is(err, mirror.ErrOther):
		err = &UpstreamError{Upstream: u.Name, Err: fmt.Errorf("its file is that of another NAR: %w", binarycache.ErrDamaged)}
		c.failed(u, n, key, err)
		return false, err
	case errors.Is(err, mirror.ErrOrphan):
		return false, nil
	case err != nil:
		c.event("not-kept", u.Name, key, err)
	default:
		c.records.remove(n.Path.HashPart())
	}
	return true, nil
}

// bring serves a NAR from its upstream, and keeps it if there is room.
func (c *Cache) bring(w http.ResponseWriter, r *http.Request, rec *record, n nix.NARInfo, etag string) (started bool, err error) {
	u := c.upstreams[rec.from]
	if r.Method == http.MethodHead {
		size := n.FileSize
		if size <= 0 {
			info, err := u.Reader.Stat(r.Context(), rec.source)
			if err != nil {
				return false, &UpstreamError{Upstream: u.Name, Err: err}
			}
			size = info.Size
		}
		w.Header()["Content-Length"] = []string{strconv.FormatInt(size, 10)}
		w.Header()["Accept-Ranges"] = acceptBytes
		w.Header()["Etag"] = []string{etag}
		w.WriteHeader(http.StatusOK)
		return true, nil
	}
	a := &answer{c: c, w: w, r: r, size: n.FileSize, etag: etag}
	if !a.parseRange() {
		return true, nil
	}
	if c.o.Mirror != nil && binarycache.Readable(n.Compression) {
		f, err := c.board(u, rec.source, "nar/"+narName(n), n)
		if err == nil {
			err = a.fromFlight(f)
			f.leave()
			if err == nil {
				return true, nil
			}
		}
		if !errors.Is(err, mirror.ErrNoRoom) {
			return a.started, err
		}
		c.metrics.unkept.Inc()
	}
	return a.direct(u, rec.source, n)
}

// answer is a NAR on its way to a client, from what is not a file yet.
type answer struct {
	c       *Cache
	w       http.ResponseWriter
	r       *http.Request
	size    int64 // of the whole; 0: not known
	etag    string
	first   int64 // of the range
	last    int64 // of the range, inclusive; -1: to the end
	partial bool
	started bool
	offset  int64 // of the next byte to send
}

// parseRange looks at the request's range. One range of a NAR of known size is
// answered as such; anything else with the whole, as is allowed. It is false
// if the request has been refused.
func (a *answer) parseRange() bool {
	a.last = -1
	spec, ok := strings.CutPrefix(a.r.Header.Get("Range"), "bytes=")
	if !ok || a.size <= 0 || strings.Contains(spec, ",") {
		return true
	}
	if v := a.r.Header.Get("If-Range"); v != "" && v != a.etag {
		return true
	}
	from, to, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok {
		return true
	}
	first, err1 := strconv.ParseInt(from, 10, 64)
	last, err2 := strconv.ParseInt(to, 10, 64)
	switch {
	case from == "" && err2 == nil && last > 0: // the last so many bytes
		first, last = max(0, a.size-last), a.size-1
	case err1 != nil || first < 0 || to != "" && (err2 != nil || last < first):
		return true
	case to == "" || last >= a.size:
		last = a.size - 1
	}
	if first >= a.size {
		a.w.Header()["Content-Range"] = []string{fmt.Sprintf("bytes */%d", a.size)}
		Fail(a.w, http.StatusRequestedRangeNotSatisfiable, "the NAR has fewer bytes")
		return false
	}
	a.first, a.last, a.partial = first, last, true
	a.offset = first
	return true
}

// start sends the header, once.
func (a *answer) start() {
	if a.started {
		return
	}
	a.started = true
	h := a.w.Header()
	h["Etag"] = []string{a.etag}
	if a.size > 0 {
		h["Accept-Ranges"] = acceptBytes
		length := a.size
		if a.partial {
			length = a.last - a.first + 1
			h["Content-Range"] = []string{fmt.Sprintf("bytes %d-%d/%d", a.first, a.last, a.size)}
		}
		h["Content-Length"] = []string{strconv.FormatInt(length, 10)}
	}
	if a.partial {
		a.w.WriteHeader(http.StatusPartialContent)
	} else {
		a.w.WriteHeader(http.StatusOK)
	}
}

// end is one past the last byte to send, of those before limit.
func (a *answer) end(limit int64) int64 {
	if a.last >= 0 {
		return min(limit, a.last+1)
	}
	return limit
}

// fromFlight sends a NAR's file as it grows.
func (a *answer) fromFlight(f *flight) error {
	file, err := os.Open(f.in.Name())
	if err != nil {
		// Kept, or failed, since it was boarded.
		if file, err = a.c.o.Mirror.OpenNAR(f.key); err != nil {
			_, _, ferr := f.wait(a.r.Context(), 0)
			if ferr == nil {
				ferr = err
			}
			return ferr
		}
	}
	defer file.Close()
	w := a.c.pace(a.w)
	for {
		limit, all, err := f.wait(a.r.Context(), a.offset)
		if err != nil {
			return err
		}
		a.start()
		if end := a.end(limit); end > a.offset {
			if _, err := file.Seek(a.offset, io.SeekStart); err != nil {
				return err
			}
			n, err := io.CopyN(w, file, end-a.offset)
			a.offset += n
			if err != nil {
				return err
			}
		}
		if all || a.last >= 0 && a.offset > a.last {
			return nil
		}
		if err := http.NewResponseController(a.w).Flush(); err != nil {
			return err
		}
	}
}

// direct sends a NAR from its upstream without keeping it: there is no room,
// or its compression cannot be read here. It goes on where an answer from a
// flight ended. The end is held back until the file is checked.
func (a *answer) direct(u *upstream, source string, n nix.NARInfo) (started bool, err error) {
	body, err := u.open(a.r.Context(), source)
	if err != nil {
		if errors.Is(err, blob.ErrNotExist) {
			err = &UpstreamError{Upstream: u.Name, Err: err}
			a.c.failed(u, n, source, err)
		}
		return a.started, err
	}
	defer body.Close()
	if err := a.passChecked(body, n); err != nil {
		if errors.Is(err, binarycache.ErrDamaged) {
			a.c.failed(u, n, source, err)
		}
		return a.started, err
	}
	return true, nil
}
