package remote

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// TemporaryError is an error after which the same request may succeed.
type TemporaryError struct {
	Err   error
	After time.Duration // the server asked to wait so long; 0: it did not say
}

func (t *TemporaryError) Error() string { return t.Err.Error() }

// Unwrap gives the error without the advice.
func (t *TemporaryError) Unwrap() error { return t.Err }

// Retry says how often and how fast to try again. The zero value is the
// default.
type Retry struct {
	Attempts int           // in all; 0: 8, 1: no retry
	Base     time.Duration // bound of the first wait, doubled each time; 0: 200 ms
	Longest  time.Duration // bound of every wait; 0: 20 s
}

// longestAsked is the longest wait that a server may ask for. Beyond it the
// person who waits had better know.
const longestAsked = 2 * time.Minute

// Do calls attempt until it succeeds, fails for good (with an error that is no
// *TemporaryError), or has failed as often as allowed. Between two attempts it waits
// a random time below a bound that doubles: clients that failed together do not
// come back together. A wait that the server asked for comes on top. The error
// is the last attempt's, without the TemporaryError around it; if ctx ends, it wraps
// ctx's.
func (r Retry) Do(ctx context.Context, attempt func(ctx context.Context) error) error {
	attempts := r.Attempts
	if attempts <= 0 {
		attempts = 8
	}
	for n := 1; ; n++ {
		err := attempt(ctx)
		var t *TemporaryError
		if err == nil || !errors.As(err, &t) {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w (%v)", ctx.Err(), t.Err)
		}
		if t.After > longestAsked {
			return fmt.Errorf("%w (the server asks to wait for %v)", t.Err, t.After.Round(time.Second))
		}
		if n >= attempts {
			if n == 1 {
				return t.Err
			}
			return fmt.Errorf("%w (tried %d times)", t.Err, n)
		}
		if err := r.wait(ctx, n, t.After); err != nil {
			return fmt.Errorf("%w (%v)", err, t.Err)
		}
	}
}

// wait sleeps before attempt n+1.
func (r Retry) wait(ctx context.Context, n int, after time.Duration) error {
	base, longest := r.Base, r.Longest
	if base <= 0 {
		base = 200 * time.Millisecond
	}
	if longest <= 0 {
		longest = 20 * time.Second
	}
	bound := longest
	if n < 16 {
		bound = min(longest, base<<(n-1))
	}
	timer := time.NewTimer(after + rand.N(bound+1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// RetryStatus says whether an answer's status means that the same request may
// succeed later.
func RetryStatus(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
		// Of Cloudflare, about the server behind it: 520 odd answer, 521
		// down, 522 and 524 timeouts, 523 unreachable.
		520, 521, 522, 523, 524:
		return true
	}
	return false
}

// RetryAfter reads a Retry-After header: seconds or a date. 0 if there is none
// or it makes no sense.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	if value == "" {
		return 0
	}
	if seconds, err := strconv.Atoi(value); err == nil {
		return time.Duration(min(max(seconds, 0), 1<<30)) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(0, date.Sub(now))
	}
	return 0
}
