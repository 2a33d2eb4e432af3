package nixstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/internal/nix"
)

// Closure returns the infos of the roots and of all that they refer to,
// references first. A root that the store does not have is a NotValidError.
func (s *Store) Closure(ctx context.Context, roots ...nix.StorePath) ([]nix.PathInfo, error) {
	infos, err := s.closure(ctx, roots)
	if err != nil {
		return nil, err
	}
	for i := range infos {
		slices.Sort(infos[i].References)
	}
	infos, err = nix.TopoSort(infos)
	if err != nil {
		return nil, fmt.Errorf("read the closure from %s: %v", s, err)
	}
	return infos, nil
}

func (s *Store) closure(ctx context.Context, roots []nix.StorePath) ([]nix.PathInfo, error) {
	db, err := s.database(ctx)
	if errors.Is(err, errNoDatabase) {
		if _, missing := os.Stat(s.stateDir + "/db"); os.IsNotExist(missing) && s.socket == "" {
			return nil, fmt.Errorf("%s does not exist: %s/db is missing", s, s.stateDir)
		}
		return s.closureFromNix(ctx, roots)
	}
	if err != nil {
		return nil, err
	}
	defer db.Close()
	return closureFromDatabase(ctx, db, s, roots)
}

// nixCommand prepares a command of Nix for this store.
func (s *Store) nixCommand(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = os.Environ()
	if s.remote != "" {
		cmd.Env = append(cmd.Env, "NIX_REMOTE="+s.remote)
	}
	// Give it the chance to end by itself, but end it.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 700 * time.Millisecond
	return cmd
}

func (s *Store) closureFromNix(ctx context.Context, roots []nix.StorePath) ([]nix.PathInfo, error) {
	if len(roots) == 0 {
		return nil, nil
	}
	args := []string{"--extra-experimental-features", "nix-command", "path-info", "--recursive", "--json"}
	for _, r := range roots {
		args = append(args, string(r))
	}
	cmd := s.nixCommand(ctx, "nix", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		for _, r := range roots {
			if strings.Contains(stderr.String(), string(r)+"' is not valid") {
				return nil, &NotValidError{Path: r, Store: s.String()}
			}
		}
		return nil, fmt.Errorf("ask nix for the closure in %s: %v: %s", s, err, lastLine(stderr.String()))
	}
	infos, err := parsePathInfo(out, s.dir)
	if err != nil {
		return nil, fmt.Errorf("read what nix path-info says of %s: %v", s, err)
	}
	have := make(map[nix.StorePath]bool, len(infos))
	for _, p := range infos {
		have[p.Path] = true
	}
	for _, r := range roots {
		if !have[r] {
			return nil, &NotValidError{Path: r, Store: s.String()}
		}
	}
	return infos, nil
}

// cliInfo is a path in any of the forms of `nix path-info --json`.
type cliInfo struct {
	Path       string          `json:"path"`
	Valid      *bool           `json:"valid"` // Nix < 2.19, only when false
	NARHash    json.RawMessage `json:"narHash"`
	NARSize    int64           `json:"narSize"`
	References []string        `json:"references"`
	Deriver    *string         `json:"deriver"`
	Signatures []string        `json:"signatures"`
	CA         json.RawMessage `json:"ca"`
}

// parsePathInfo reads `nix path-info --json` of Nix 2.8 (an array), 2.19 and
// later (an object by path, null for a missing one) and of format 2 (base
// names below "info"). Missing paths are left out.
func parsePathInfo(data []byte, storeDir string) ([]nix.PathInfo, error) {
	data = bytes.TrimSpace(data)
	var list []cliInfo
	if bytes.HasPrefix(data, []byte("[")) {
		if err := json.Unmarshal(data, &list); err != nil {
			return nil, err
		}
	} else {
		var object map[string]json.RawMessage
		if err := json.Unmarshal(data, &object); err != nil {
			return nil, err
		}
		if inner, ok := object["info"]; ok {
			object = nil
			if err := json.Unmarshal(inner, &object); err != nil {
				return nil, err
			}
		}
		for path, raw := range object {
			if string(raw) == "null" {
				continue
			}
			info := cliInfo{}
			if err := json.Unmarshal(raw, &info); err != nil {
				return nil, fmt.Errorf("%s: %v", path, err)
			}
			info.Path = path
			list = append(list, info)
		}
	}
	full := func(p string) string {
		if p != "" && !strings.HasPrefix(p, "/") {
			return storeDir + "/" + p
		}
		return p
	}
	infos := make([]nix.PathInfo, 0, len(list))
	for _, c := range list {
		if c.Valid != nil && !*c.Valid {
			continue
		}
		var hash string
		if err := json.Unmarshal(c.NARHash, &hash); err != nil {
			return nil, fmt.Errorf("%s: NAR hash %s: %v", c.Path, c.NARHash, err)
		}
		deriver, ca := "", ""
		if c.Deriver != nil {
			deriver = full(*c.Deriver)
		}
		// Structured content addresses (Nix 2.34's format 2) are for reading
		// only; what is kept is the text form.
		_ = json.Unmarshal(c.CA, &ca)
		info, err := makeInfo(full(c.Path), hash, c.NARSize, deriver, c.Signatures, ca)
		if err != nil {
			return nil, err
		}
		for _, r := range c.References {
			ref, err := nix.ParseStorePath(storeDir, full(r))
			if err != nil {
				return nil, fmt.Errorf("%s: a reference: %v", c.Path, err)
			}
			info.References = append(info.References, ref)
		}
		infos = append(infos, info)
	}
	return infos, nil
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}
