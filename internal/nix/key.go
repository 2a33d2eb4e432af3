package nix

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// A key or signature is written name:base64, in one line. Secret keys hold
// Ed25519's 64 bytes (seed and public key), public keys 32, signatures 64.

// SecretKey signs store paths. It has no String method, and its formatting
// shows the name alone, so that it cannot slip into a log line.
type SecretKey struct {
	Name string
	key  ed25519.PrivateKey
}

// PublicKey verifies signatures of one name.
type PublicKey struct {
	Name string
	key  [ed25519.PublicKeySize]byte
}

// Signature is a named signature of a path's fingerprint.
type Signature struct {
	Name string
	Data [ed25519.SignatureSize]byte
}

// GenerateKey makes a new key. The name is how clients tell keys apart; Nix's
// custom is <host or project>-<number>.
func GenerateKey(name string) (SecretKey, error) {
	if err := checkKeyName(name); err != nil {
		return SecretKey{}, err
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return SecretKey{}, fmt.Errorf("generate a signing key: %v", err)
	}
	return SecretKey{Name: name, key: key}, nil
}

// ParseSecretKey reads a key as `nix key generate-secret` prints it. Errors
// never quote the key.
func ParseSecretKey(text string) (SecretKey, error) {
	name, raw, err := splitNamed(text, ed25519.PrivateKeySize)
	if err != nil {
		return SecretKey{}, fmt.Errorf("not a secret key of Nix's format (name:base64): %v", err)
	}
	key := ed25519.PrivateKey(raw)
	// A wrong second half would make signatures that nobody can verify.
	if string(ed25519.NewKeyFromSeed(key.Seed())) != string(key) {
		return SecretKey{}, fmt.Errorf("secret key %s is damaged: its two halves do not belong together", name)
	}
	return SecretKey{Name: name, key: key}, nil
}

// Marshal is the key in Nix's format, without a newline. It is a secret.
func (k SecretKey) Marshal() string {
	return k.Name + ":" + base64.StdEncoding.EncodeToString(k.key)
}

// Format keeps the secret out of every kind of formatted output.
func (k SecretKey) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "secret key %s", k.Name) }

// Public is the key that verifies what k signs.
func (k SecretKey) Public() PublicKey {
	p := PublicKey{Name: k.Name}
	copy(p.key[:], k.key.Public().(ed25519.PublicKey))
	return p
}

// Sign signs a fingerprint.
func (k SecretKey) Sign(fingerprint string) Signature {
	s := Signature{Name: k.Name}
	copy(s.Data[:], ed25519.Sign(k.key, []byte(fingerprint)))
	return s
}

// ParsePublicKey reads a key as nix.conf's trusted-public-keys has it.
func ParsePublicKey(text string) (PublicKey, error) {
	name, raw, err := splitNamed(text, ed25519.PublicKeySize)
	if err != nil {
		return PublicKey{}, fmt.Errorf("%q is not a public key of Nix's format (name:base64): %v", clip(text), err)
	}
	p := PublicKey{Name: name}
	copy(p.key[:], raw)
	return p, nil
}

// String is the key as trusted-public-keys wants it.
func (k PublicKey) String() string {
	return k.Name + ":" + base64.StdEncoding.EncodeToString(k.key[:])
}

// Verify says whether s is k's signature of the fingerprint.
func (k PublicKey) Verify(fingerprint string, s Signature) bool {
	return s.Name == k.Name && ed25519.Verify(k.key[:], []byte(fingerprint), s.Data[:])
}

// verifiesAny says whether one of the signatures is k's of the fingerprint.
func (k PublicKey) verifiesAny(fingerprint string, sigs []Signature) bool {
	return slices.ContainsFunc(sigs, func(s Signature) bool { return k.Verify(fingerprint, s) })
}

// replaceSignature returns sigs with s added, and without those of its name.
func replaceSignature(sigs []Signature, s Signature) []Signature {
	out := make([]Signature, 0, len(sigs)+1)
	for _, old := range sigs {
		if old.Name != s.Name {
			out = append(out, old)
		}
	}
	return append(out, s)
}

// ParseSignature reads a signature as narinfos and Nix's database have it.
func ParseSignature(text string) (Signature, error) {
	name, raw, err := splitNamed(text, ed25519.SignatureSize)
	if err != nil {
		return Signature{}, fmt.Errorf("%q is not a signature (name:base64): %v", clip(text), err)
	}
	s := Signature{Name: name}
	copy(s.Data[:], raw)
	return s, nil
}

// String is the signature as narinfos have it.
func (s Signature) String() string {
	return s.Name + ":" + base64.StdEncoding.EncodeToString(s.Data[:])
}

func splitNamed(text string, size int) (string, []byte, error) {
	name, encoded, ok := strings.Cut(strings.TrimSpace(text), ":")
	if !ok {
		return "", nil, fmt.Errorf("no colon in it")
	}
	if err := checkKeyName(name); err != nil {
		return "", nil, err
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", nil, fmt.Errorf("what follows the colon is not base64")
	}
	if len(raw) != size {
		return "", nil, fmt.Errorf("it has %d bytes after the colon, want %d", len(raw), size)
	}
	return name, raw, nil
}

func checkKeyName(name string) error {
	if name == "" {
		return fmt.Errorf("the name before the colon is empty")
	}
	for _, r := range name {
		if r <= ' ' || r == ':' || r == 0x7f {
			return fmt.Errorf("key name %q has a space, colon or control character", clip(name))
		}
	}
	return nil
}
