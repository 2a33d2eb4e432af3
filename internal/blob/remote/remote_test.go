package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLimiterBounds(t *testing.T) {
	l := NewLimiter(5)
	var busy, most atomic.Int32
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			slot, err := l.Acquire(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			most.Store(max(most.Load(), busy.Add(1)))
			time.Sleep(time.Duration(rand.IntN(200)) * time.Microsecond)
			busy.Add(-1)
			slot.Done(false)
		})
	}
	wg.Wait()
	if most.Load() > 5 || l.Limit() != 5 {
		t.Errorf("%d at once, limit %d", most.Load(), l.Limit())
	}
}

func TestLimiterAdapts(t *testing.T) {
	l := NewLimiter(64)
	acquire := func(n int) []Slot {
		slots := make([]Slot, n)
		for i := range slots {
			slot, err := l.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			slots[i] = slot
		}
		return slots
	}
	// All that were under way complain: that counts once.
	for _, s := range acquire(64) {
		s.Done(true)
	}
	if l.Limit() != 32 {
		t.Errorf("limit %d after one round of complaints", l.Limit())
	}
	for want := 16; want >= 1; want /= 2 {
		acquire(1)[0].Done(true)
		if l.Limit() != want {
			t.Errorf("limit %d, want %d", l.Limit(), want)
		}
	}
	acquire(1)[0].Done(true)
	if l.Limit() != 1 {
		t.Errorf("limit %d, and nobody may ask at all", l.Limit())
	}
	// Full rounds of good answers add one each.
	for range 6 {
		before := l.Limit()
		for _, s := range acquire(before) {
			s.Done(false)
		}
		if got := l.Limit(); got < before || got > before+1 {
			t.Errorf("limit %d after a round of %d", got, before)
		}
	}
	for range 10_000 {
		acquire(1)[0].Done(false)
	}
	if l.Limit() != 64 {
		t.Errorf("limit %d in the end", l.Limit())
	}
}

// Whoever gives up waiting loses nobody's slot.
func TestLimiterForgetsWhoGivesUp(t *testing.T) {
	l := NewLimiter(2)
	rapid.Check(t, func(t *rapid.T) {
		waits := rapid.SliceOfN(rapid.IntRange(0, 300), 1, 40).Draw(t, "patience in microseconds")
		var wg sync.WaitGroup
		for _, w := range waits {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(w)*time.Microsecond)
				defer cancel()
				if slot, err := l.Acquire(ctx); err == nil {
					time.Sleep(50 * time.Microsecond)
					slot.Done(false)
				}
			})
		}
		wg.Wait()
		if l.busy != 0 || l.waiting.Len() != 0 {
			t.Fatalf("%d busy, %d waiting", l.busy, l.waiting.Len())
		}
	})
}

func TestRetry(t *testing.T) {
	broken := errors.New("broken")
	fast := Retry{Attempts: 3, Base: time.Millisecond}
	for name, tt := range map[string]struct {
		errs  []error // of the attempts
		tries int
		want  string
	}{
		"at once":      {nil, 1, ""},
		"second":       {[]error{&TemporaryError{Err: broken}}, 2, ""},
		"never":        {[]error{&TemporaryError{Err: broken}, &TemporaryError{Err: broken}, &TemporaryError{Err: broken}}, 3, "broken (tried 3 times)"},
		"final":        {[]error{broken}, 1, "broken"},
		"then final":   {[]error{&TemporaryError{Err: errors.New("x")}, broken}, 2, "broken"},
		"wrapped":      {[]error{fmt.Errorf("ask: %w", &TemporaryError{Err: broken})}, 2, ""},
		"wait an hour": {[]error{&TemporaryError{Err: broken, After: time.Hour}}, 1, "asks to wait for 1h0m0s"},
	} {
		n := 0
		err := fast.Do(t.Context(), func(context.Context) error {
			n++
			if n <= len(tt.errs) {
				return tt.errs[n-1]
			}
			return nil
		})
		if n != tt.tries || (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || !errors.Is(err, broken)) {
			t.Errorf("%s: %d tries, %v", name, n, err)
		}
		var t2 *TemporaryError
		if errors.As(err, &t2) {
			t.Errorf("%s: the advice came out", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	started := time.Now()
	err := Retry{Base: time.Hour, Longest: time.Hour}.Do(ctx, func(context.Context) error { return &TemporaryError{Err: broken} })
	if !errors.Is(err, context.Canceled) || time.Since(started) > time.Second {
		t.Errorf("%v after %v", err, time.Since(started))
	}
}

// Waits grow, are random, and never exceed their bound.
func TestRetryWaits(t *testing.T) {
	r := Retry{Base: 2 * time.Millisecond, Longest: 8 * time.Millisecond}
	for n := 1; n < 70; n += 7 {
		started := time.Now()
		if err := r.wait(t.Context(), n, 5*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(started); took < 5*time.Millisecond || took > 500*time.Millisecond {
			t.Errorf("wait %d took %v", n, took)
		}
	}
}

func TestRetryAfterHeader(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-3": 0, "soon": 0, "99999999999999999999": 0,
		"Fri, 02 Jan 2026 03:04:35 GMT": 30 * time.Second, "Fri, 02 Jan 2026 03:04:00 GMT": 0,
	} {
		if got := RetryAfter(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

// pieces yields an object in pieces that break off.
type pieces struct {
	data string
	size int
}

func (p pieces) open(_ context.Context, offset int64) (io.ReadCloser, error) {
	rest := p.data[offset:]
	return io.NopCloser(io.MultiReader(strings.NewReader(rest[:min(p.size, len(rest))]), brokenReader{})), nil
}

type brokenReader struct{}

var errBroken = errors.New("connection reset")

func (brokenReader) Read([]byte) (int, error) { return 0, errBroken }

func TestBody(t *testing.T) {
	data := strings.Repeat("0123456789", 200_000)
	fast := Retry{Attempts: 3, Base: time.Millisecond}
	for size, whole := range map[int]bool{len(data): true, 300_000: true, progress: true, 100_000: false, 0: false} {
		p := pieces{data, size}
		first, _ := p.open(t.Context(), 0)
		got, err := io.ReadAll(NewBody(t.Context(), first, int64(len(data)), fast, p.open))
		if whole && (err != nil || string(got) != data) || !whole && (!errors.Is(err, errBroken) || !strings.HasPrefix(data, string(got))) {
			t.Errorf("in pieces of %d: %d bytes, %v", size, len(got), err)
		}
	}
	for name, tt := range map[string]struct {
		text string
		size int64
		want error
	}{
		"right":        {"12345", 5, nil},
		"not known":    {"12345", -1, nil},
		"too short":    {"1234", 5, io.ErrUnexpectedEOF},
		"empty":        {"", 0, nil},
		"missing":      {"", 1, io.ErrUnexpectedEOF},
		"longer, lied": {"123456", 5, errors.New("more than")},
	} {
		_, err := io.ReadAll(NewBody(t.Context(), io.NopCloser(strings.NewReader(tt.text)), tt.size, fast, nil))
		if (err == nil) != (tt.want == nil) || tt.want != nil && !errors.Is(err, tt.want) && !strings.Contains(err.Error(), tt.want.Error()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	p := pieces{data, 300_000}
	first, _ := p.open(ctx, 0)
	b := NewBody(ctx, first, int64(len(data)), fast, p.open)
	if _, err := io.ReadFull(b, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.Copy(io.Discard, b); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// When an answer comes before the body has been sent, the body's memory must
// not be used before the transport lets go of it.
func TestBodyIsReleased(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable) // without reading
	}))
	defer server.Close()
	transport := NewTransport(TransportOptions{})
	defer transport.Close()
	for i := range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		body := &watchedBody{left: 4 << 20}
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, server.URL, body)
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = 4 << 20
		if i%2 == 1 {
			time.AfterFunc(time.Millisecond, cancel)
		}
		resp, err := transport.RoundTrip(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		body.released.Store(true)
		cancel()
		time.Sleep(time.Millisecond)
		if body.misused.Load() {
			t.Fatal("the body was read after it was released")
		}
	}
}

type watchedBody struct {
	left              int
	released, misused atomic.Bool
}

func (b *watchedBody) Read(p []byte) (int, error) {
	if b.released.Load() {
		b.misused.Store(true)
	}
	if b.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), b.left)
	b.left -= n
	return n, nil
}

func (b *watchedBody) Close() error { return nil }

// A slow link that moves is no stall; one that does not is, in both directions.
func TestStall(t *testing.T) {
	const stall = 200 * time.Millisecond
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch r.URL.Path {
		case "/trickle":
			for range 10 {
				time.Sleep(stall / 4)
				_, _ = io.WriteString(w, "x")
				_ = http.NewResponseController(w).Flush()
			}
		case "/slow":
			select {
			case <-time.After(3 * stall):
			case <-r.Context().Done():
			}
		}
	}))
	defer server.Close()
	transport := NewTransport(TransportOptions{Stall: stall})
	defer transport.Close()
	do := func(ctx context.Context, path string, body io.Reader, length int64) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, server.URL+path, body)
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = length
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	if err := do(t.Context(), "/trickle", nil, 0); err != nil {
		t.Errorf("an answer that trickles: %v", err)
	}
	if err := do(t.Context(), "/", &trickle{pause: stall / 4, n: 10}, 10); err != nil {
		t.Errorf("a body that trickles: %v", err)
	}
	if err := do(t.Context(), "/slow", nil, 0); !errors.Is(err, ErrStalled) {
		t.Errorf("an answer that does not come: %v", err)
	}
	if err := do(WithPatience(t.Context(), 10*stall), "/slow", nil, 0); err != nil {
		t.Errorf("an answer that was waited for: %v", err)
	}
}

type trickle struct {
	pause time.Duration
	n     int
}

func (r *trickle) Read(p []byte) (int, error) {
	if r.n == 0 {
		return 0, io.EOF
	}
	time.Sleep(r.pause)
	r.n--
	p[0] = 'x'
	return 1, nil
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"region", "region", 0}, {"endpiont", "endpoint", 2}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("%s, %s: %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("a\x1b[31mb\r\nc\u202e")
	f.Fuzz(func(t *testing.T, text string) {
		got := Printable(text)
		if len(got) > 310 || !utf8.ValidString(got) || strings.ContainsAny(got, "\n\r\x1b\x00\u202e\u2028") {
			t.Fatalf("%q", got)
		}
	})
}

func TestLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "localhost:9000": true, "127.0.0.1:1": true, "127.8.8.8": true, "[::1]:9000": true, "::1": true,
		"example.org": false, "10.0.0.1:1": false, "localhost.example.org": false, "": false,
	} {
		if got := Loopback(host); got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
}
