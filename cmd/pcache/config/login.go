package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"gitlab.com/pantheros/pantheros/internal/nixconf"
)

// Login is a cache on a server together with the token for it.
type Login struct {
	Name      string
	Address   string
	Token     string // secret
	PublicKey string // of the cache; may be empty
	Default   bool   // make it the cache that is meant where none is named
}

// AddLogin keeps a login: the token in a file of its own that only this user
// can read, the cache in the configuration. What a person wrote there stays as
// it is: a table is added, and a cache that is there under that name with the
// same address only gets the new token. It returns the name of the
// configuration's file.
func AddLogin(getenv func(string) string, l Login) (string, error) {
	if !IsName(l.Name) {
		return "", fmt.Errorf("%q is no name for a cache: want letters, digits, dots, dashes and underscores, at most 64", l.Name)
	}
	path, _ := Path(getenv)
	if path == "" {
		return "", errors.New("there is no place for a configuration: set HOME or PCACHE_CONFIG")
	}
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the configuration: %w", err)
	}
	file, err := Parse(path, old, getenv("HOME"))
	if err != nil {
		return "", err
	}
	tokenFile := filepath.Join(filepath.Dir(path), "tokens", l.Name)
	known, there := file.Caches[l.Name]
	if there && known.Address != l.Address {
		return "", fmt.Errorf("%s has another cache under the name %s (%s): take another name, or edit it", path, l.Name, known.Address)
	}
	if there && known.TokenFile != "" {
		tokenFile = known.TokenFile
	}
	if there && known.TokenFile == "" {
		return "", fmt.Errorf("%s has the cache %s without a token-file: add token-file = %q to it", path, l.Name, tokenFile)
	}
	if err := os.MkdirAll(filepath.Dir(tokenFile), 0o700); err != nil {
		return "", fmt.Errorf("keep the token: %w", err)
	}
	if err := nixconf.Write(tokenFile, l.Token+"\n", 0o600, true); err != nil {
		return "", fmt.Errorf("keep the token: %w", err)
	}
	text := string(old)
	if !there {
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		if text != "" {
			text += "\n"
		}
		text += fmt.Sprintf("[cache.%s]\naddress = %s\ntoken-file = %s\n", quoteKey(l.Name), strconv.Quote(l.Address), strconv.Quote("tokens/"+l.Name))
		if l.PublicKey != "" {
			text += fmt.Sprintf("public-keys = [%s]\n", strconv.Quote(l.PublicKey))
		}
	}
	switch {
	case !l.Default || file.Default == l.Name:
	case file.Default != "":
		return "", fmt.Errorf("the token is kept, but %s has the default %s: edit it", path, file.Default)
	default:
		text = fmt.Sprintf("default = %s\n\n", strconv.Quote(l.Name)) + text
	}
	if text == string(old) {
		return path, nil
	}
	if _, err := Parse(path, []byte(text), getenv("HOME")); err != nil {
		return "", fmt.Errorf("add the cache: %w", err)
	}
	if err := nixconf.Write(path, text, 0o600, false); err != nil {
		return "", fmt.Errorf("write the configuration, to which this is to be added: %q: %w", strings.TrimPrefix(text, string(old)), err)
	}
	return path, nil
}

func quoteKey(name string) string {
	if strings.Contains(name, ".") {
		return strconv.Quote(name)
	}
	return name
}
