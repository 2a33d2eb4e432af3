package token

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
)

// entry is a line of a file of tokens:
//
//	NAME RIGHTS CACHES SHA256 [EXPIRES]
//
// RIGHTS are joined by commas, CACHES is a name or pattern, or several joined
// by commas; SHA256 is the token's, in hexadecimal digits, so that who reads
// the file cannot use it; EXPIRES is a time as RFC 3339 has it. "#" starts a
// comment.
type entry struct {
	subject Subject
	sum     [sha256.Size]byte
	expires time.Time // zero: never
}

// Set is the tokens of a file. It notices when the file changes.
type Set struct {
	file string

	mu      sync.Mutex
	checked time.Time
	was     version
	entries []entry
	err     error // of the last reading
}

type version struct {
	size     int64
	modified time.Time
}

// recheck is how long a file of tokens is taken as it was.
const recheck = 2 * time.Second

var _ Verifier = (*Set)(nil)

// OpenSet reads a file of tokens.
func OpenSet(file string) (*Set, error) {
	s := &Set{file: file}
	s.refresh(time.Now())
	return s, s.err
}

// Verify finds the token. While the file cannot be read, or is wrong, the
// tokens of its last good state hold.
func (s *Set) Verify(secret string, now time.Time) (Subject, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.checked) > recheck {
		s.refresh(now)
	}
	sum := sha256.Sum256([]byte(secret))
	for _, e := range s.entries {
		if subtle.ConstantTimeCompare(sum[:], e.sum[:]) == 1 {
			if !e.expires.IsZero() && !now.Before(e.expires) {
				return Subject{}, fmt.Errorf("%w: %s, at %s", ErrExpired, e.subject.Name, e.expires.Format(time.RFC3339))
			}
			return e.subject, nil
		}
	}
	return Subject{}, ErrUnknown
}

// Err is what is wrong with the file at present: its last good state holds.
func (s *Set) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *Set) refresh(now time.Time) {
	s.checked = now
	info, err := os.Stat(s.file)
	if err != nil {
		s.err = fmt.Errorf("file of tokens: %v", err)
		return
	}
	v := version{info.Size(), info.ModTime()}
	if v == s.was {
		return
	}
	if mode := info.Mode(); mode.IsRegular() && mode.Perm()&0o022 != 0 {
		s.err = fmt.Errorf("file of tokens %s has mode %04o: others could add tokens to it; chmod 600 it", s.file, mode.Perm())
		return
	}
	f, err := os.Open(s.file)
	if err != nil {
		s.err = fmt.Errorf("file of tokens: %v", err)
		return
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	var entries []entry
	if err == nil {
		entries, err = parse(data)
	}
	if err != nil {
		s.err = fmt.Errorf("file of tokens %s: %v", s.file, err)
		return
	}
	s.was, s.entries, s.err = v, entries, nil
}

const maxFile = 4 << 20

var tokenName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9@._-]{0,63}$`)

// CheckName refuses names that a file of tokens or a log could not hold.
func CheckName(name string) error {
	if !tokenName.MatchString(name) {
		return fmt.Errorf("name %q: want letters, digits, @, dots, dashes and underscores, at most 64", name)
	}
	return nil
}

func parse(data []byte) ([]entry, error) {
	var entries []entry
	lines := bufio.NewScanner(bytes.NewReader(data))
	for number := 1; lines.Scan(); number++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		e, err := parseEntry(fields)
		if err != nil {
			// Without its text: it may hold a token where a hash should be.
			return nil, fmt.Errorf("line %d: %v", number, err)
		}
		entries = append(entries, e)
	}
	return entries, lines.Err()
}

func parseEntry(fields []string) (e entry, err error) {
	if len(fields) != 4 && len(fields) != 5 {
		return e, fmt.Errorf("it has %d fields, want NAME RIGHTS CACHES SHA256 [EXPIRES]", len(fields))
	}
	if err := CheckName(fields[0]); err != nil {
		return e, err
	}
	e.subject.Name = fields[0]
	rights, err := ParseRights(fields[1])
	if err != nil {
		return e, err
	}
	for pattern := range strings.SplitSeq(fields[2], ",") {
		if err := CheckPattern(pattern); err != nil {
			return e, err
		}
		e.subject.Grants = append(e.subject.Grants, Grant{Cache: pattern, Rights: rights})
	}
	if n, err := hex.Decode(e.sum[:], []byte(limit(fields[3]))); err != nil || n != len(e.sum) || len(fields[3]) != 2*len(e.sum) {
		return e, errors.New("the fourth field is not a SHA-256 of a token in hexadecimal digits (pcache token makes the line)")
	}
	if len(fields) == 5 {
		if e.expires, err = time.Parse(time.RFC3339, fields[4]); err != nil {
			return e, fmt.Errorf("%q is not a time such as 2027-01-31T00:00:00Z", fields[4])
		}
	}
	return e, nil
}

func limit(s string) string { return s[:min(len(s), 2*sha256.Size)] }

// New makes a token and the line for a file of tokens that gives it rights. A
// zero time is never.
func New(name string, caches []string, r Rights, expires time.Time) (secret, line string, err error) {
	secret = "pc_" + rand.Text() + rand.Text()
	sum := sha256.Sum256([]byte(secret))
	fields := []string{name, r.String(), strings.Join(caches, ","), hex.EncodeToString(sum[:])}
	if !expires.IsZero() {
		fields = append(fields, expires.UTC().Format(time.RFC3339))
	}
	if _, err := parseEntry(fields); err != nil {
		return "", "", err
	}
	return secret, strings.Join(fields, " "), nil
}
