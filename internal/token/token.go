// Package token says who may do what with which cache of a server. A request
// carries a token, as a bearer or, since that is what Nix's netrc can send, as
// the password of a login with any name. A Verifier knows what a token is
// worth: a Set of those in a file, or one of another kind, such as signed
// tokens that a server can check without a list.
package token

import (
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"
)

// Rights are what a token allows, a set.
type Rights uint16

// The rights. The names are Attic's, whose tokens have the same.
const (
	Pull      Rights = 1 << iota // read
	Push                         // add paths
	Delete                       // remove paths
	Create                       // a new cache
	Configure                    // a cache's settings
	Retention                    // how long a cache keeps paths
	Destroy                      // a whole cache
)

var names = []struct {
	right Rights
	name  string
}{
	{Pull, "pull"},
	{Push, "push"},
	{Delete, "delete"},
	{Create, "create"},
	{Configure, "configure"},
	{Retention, "retention"},
	{Destroy, "destroy"},
}

// String lists the rights, joined by commas.
func (r Rights) String() string {
	var words []string
	for _, n := range names {
		if r&n.right != 0 {
			words = append(words, n.name)
		}
	}
	return strings.Join(words, ",")
}

// ParseRights reads what String writes.
func ParseRights(text string) (Rights, error) {
	var r Rights
next:
	for word := range strings.SplitSeq(text, ",") {
		for _, n := range names {
			if n.name == strings.TrimSpace(word) {
				r |= n.right
				continue next
			}
		}
		return 0, fmt.Errorf("right %q is not known (pull, push, delete, create, configure, retention, destroy)", word)
	}
	return r, nil
}

// Grant gives rights on the caches whose names match a pattern.
type Grant struct {
	Cache  string // a name, or a pattern with * as path.Match has it
	Rights Rights
}

// CheckPattern refuses a Grant's Cache that could match nothing.
func CheckPattern(pattern string) error {
	if pattern == "" {
		return errors.New("the pattern for caches is empty")
	}
	if _, err := path.Match(pattern, "x"); err != nil || strings.ContainsAny(pattern, "/ \t") {
		return fmt.Errorf("%q is not a cache's name or a pattern with *", pattern)
	}
	return nil
}

// Subject is who asks: what a Verifier knows of a token.
type Subject struct {
	Name   string // for logs; never the token
	Grants []Grant
}

// May says whether the subject has all of the rights on a cache. A grant that
// names the cache decides alone; otherwise the first whose pattern matches.
func (s Subject) May(cache string, r Rights) bool {
	for _, g := range s.Grants {
		if g.Cache == cache {
			return g.Rights&r == r
		}
	}
	for _, g := range s.Grants {
		if ok, _ := path.Match(g.Cache, cache); ok {
			return g.Rights&r == r
		}
	}
	return false
}

// ErrUnknown is what a Verifier says of a token that it does not know.
var ErrUnknown = errors.New("the token is not known")

// ErrExpired is wrapped by what a Verifier says of a token whose time is over.
var ErrExpired = errors.New("the token has expired")

// Verifier knows tokens. Verify may be called concurrently.
type Verifier interface {
	Verify(secret string, now time.Time) (Subject, error)
}

// Gate decides on requests.
type Gate struct {
	// Verifiers are asked in order, until one knows the token.
	Verifiers []Verifier
	// Anonymous is who sends no token.
	Anonymous Subject
}

// maxToken bounds what is taken for a token. Signed ones have some hundred
// bytes.
const maxToken = 16 << 10

// Subject says who sent a request. A token that is wrong is an error, also
// where none would have been needed: whoever sends one wants to know.
func (g *Gate) Subject(r *http.Request) (Subject, error) {
	secret, ok := Secret(r)
	if !ok || len(g.Verifiers) == 0 { // who has no tokens has no wrong ones
		return g.Anonymous, nil
	}
	if len(secret) > maxToken {
		return Subject{}, ErrUnknown
	}
	now := time.Now()
	for _, v := range g.Verifiers {
		s, err := v.Verify(secret, now)
		if errors.Is(err, ErrUnknown) {
			continue
		}
		return s, err
	}
	return Subject{}, ErrUnknown
}

// Secret is the token that a request carries.
func Secret(r *http.Request) (secret string, ok bool) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return "", false
	}
	if scheme, rest, _ := strings.Cut(header, " "); strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(rest), true
	}
	if _, password, ok := r.BasicAuth(); ok {
		return password, true
	}
	return "", true // something that nobody knows
}
