package remote

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// maxToken is how long a token may be; those of identity providers have some
// kilobytes.
const maxToken = 64 << 10

// Token is a bearer token, which its source may replace while it is in use: a
// file that is rewritten, a command that fetches another. It may be used
// concurrently. A nil Token is none.
type Token struct {
	name   string // of the source, for messages
	source func(ctx context.Context) (string, error)

	mu      sync.Mutex
	current string
}

// NewToken returns a token that source yields; name says in messages where it
// comes from, and is no secret. Nothing is asked of source before the token is
// needed.
func NewToken(name string, source func(ctx context.Context) (string, error)) *Token {
	return &Token{name: name, source: source}
}

// FileToken is a token that a file holds, on one line.
func FileToken(file string) *Token {
	return NewToken("the token in "+file, func(context.Context) (string, error) {
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("open the token: %w", err)
		}
		defer f.Close()
		data, err := io.ReadAll(io.LimitReader(f, maxToken+1))
		if err != nil {
			return "", fmt.Errorf("read the token: %w", err)
		}
		return string(data), nil
	})
}

// String says where the token comes from, and not what it is.
func (t *Token) String() string {
	if t == nil {
		return "no token"
	}
	return t.name
}

// Get returns the token.
func (t *Token) Get(ctx context.Context) (string, error) {
	if t == nil {
		return "", nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current == "" {
		text, err := t.ask(ctx)
		if err != nil {
			return "", err
		}
		t.current = text
	}
	return t.current, nil
}

// A file that is written in place is empty for a moment, and what fetches
// tokens may fail once: a push of hours is worth another look.
const (
	renewTries = 3
	renewPause = 100 * time.Millisecond
)

// Renew asks the source again after a server has refused a token, and says
// whether there is another one now.
func (t *Token) Renew(ctx context.Context, refused string) bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current != refused {
		return true // somebody else has seen to it
	}
	text, err := t.ask(ctx)
	for tries := 1; err != nil && tries < renewTries; tries++ {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(renewPause):
		}
		text, err = t.ask(ctx)
	}
	if err != nil || text == refused {
		return false
	}
	t.current = text
	return true
}

func (t *Token) ask(ctx context.Context) (string, error) {
	text, err := t.source(ctx)
	if err != nil {
		return "", err
	}
	size := len(text)
	if text = strings.TrimSpace(text); text == "" || size > maxToken || strings.ContainsAny(text, "\r\n\x00") {
		return "", fmt.Errorf("%s has %d bytes, want one line", t.name, size)
	}
	return text, nil
}
