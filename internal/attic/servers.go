package attic

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gitlab.com/pantheros/pantheros/internal/blob/remote"

	"github.com/pelletier/go-toml/v2"
)

// Servers are the servers of a person's Attic configuration. A nil Servers has
// none.
type Servers struct {
	file    string
	byName  map[string]Server
	primary string // default-server
}

// Server is where a server is and what authorizes requests to it.
type Server struct {
	Endpoint  string
	Token     string // secret
	TokenFile string
	from      string // for messages
}

func (s Server) token() *remote.Token {
	switch {
	case s.Token != "":
		return remote.NewToken("the token in "+s.from, func(context.Context) (string, error) { return s.Token, nil })
	case s.TokenFile != "":
		return remote.FileToken(s.TokenFile)
	default:
		return nil
	}
}

// ReadServers reads Attic's own configuration, config.toml in
// $XDG_CONFIG_HOME/attic or ~/.config/attic (client/src/config.rs). It is read
// and never written; that there is none is no error.
func ReadServers(getenv func(string) string) (*Servers, error) {
	dir := getenv("XDG_CONFIG_HOME")
	if dir == "" {
		home := getenv("HOME")
		if home == "" {
			return nil, nil
		}
		dir = filepath.Join(home, ".config")
	}
	file := filepath.Join(dir, "attic/config.toml")
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Attic's configuration: %w", err)
	}
	return parseServers(file, data)
}

func parseServers(file string, data []byte) (*Servers, error) {
	var config struct {
		Default string `toml:"default-server"`
		Servers map[string]struct {
			Endpoint  string `toml:"endpoint"`
			Token     string `toml:"token"`
			TokenFile string `toml:"token-file"`
		} `toml:"servers"`
	}
	// Not strict: the file is Attic's, and newer versions may know more.
	if err := toml.Unmarshal(data, &config); err != nil {
		var decode *toml.DecodeError
		if errors.As(err, &decode) {
			// Its text may show the line, and the line may hold a token.
			row, _ := decode.Position()
			return nil, fmt.Errorf("%s:%d: it is not valid TOML", file, row)
		}
		return nil, fmt.Errorf("%s: it is not valid TOML", file)
	}
	s := &Servers{file: file, byName: make(map[string]Server), primary: config.Default}
	for name, c := range config.Servers {
		s.byName[name] = Server{Endpoint: strings.TrimRight(c.Endpoint, "/"), Token: c.Token, TokenFile: c.TokenFile, from: file}
	}
	return s, nil
}

// lookup finds a server by name; the empty name is the default server, or the
// only one.
func (s *Servers) lookup(name string) (Server, error) {
	if s == nil || len(s.byName) == 0 {
		return Server{}, errors.New("the configuration of Attic (~/.config/attic/config.toml) names no server: give the address, attic+https://HOST/CACHE")
	}
	if name == "" {
		name = s.primary
	}
	if name == "" && len(s.byName) == 1 {
		for only := range s.byName {
			name = only
		}
	}
	if name == "" {
		return Server{}, fmt.Errorf("%s names no default server: say which, attic:SERVER:CACHE (%s)", s.file, strings.Join(s.names(), ", "))
	}
	found, ok := s.byName[name]
	if !ok {
		return Server{}, fmt.Errorf("%s names no server %q (it names %s)", s.file, name, strings.Join(s.names(), ", "))
	}
	return found, nil
}

// at finds the server of an endpoint.
func (s *Servers) at(endpoint string) (Server, bool) {
	if s == nil {
		return Server{}, false
	}
	for _, name := range s.names() {
		if s.byName[name].Endpoint == endpoint {
			return s.byName[name], true
		}
	}
	return Server{}, false
}

func (s *Servers) names() []string {
	names := make([]string, 0, len(s.byName))
	for name := range s.byName {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
