package pipeline

import (
	"context"
	"encoding/json"
	"path"
	"path/filepath"
	"regexp"
	"slices"
)

// sourceNames turns the names that Nix gives to the flake's files into those
// that their author knows: Nix evaluates a copy in the store and its messages
// tell of that one.
type sourceNames struct {
	copied *regexp.Regexp // nil if the copy is not known
	folder string
}

// Replace returns s with the flake's files called by their own names.
func (n sourceNames) Replace(s string) string {
	if n.copied == nil {
		return s
	}
	return n.copied.ReplaceAllLiteralString(s, n.folder)
}

// sourceNames asks Nix, once a run, where it copied the flake to. Without an
// answer names stay as they are.
func (r *run) sourceNames(ctx context.Context) sourceNames {
	r.sourceOnce.Do(func() {
		argv := slices.Concat([]string{"nix", "flake", "metadata", "--json"}, r.inputs, []string{flakeRef(r.FlakeDir)})
		out, err := r.Shell.Run(ctx, Command{Step: "inputs", Argv: argv})
		var flake struct {
			Path string `json:"path"`
		}
		if err != nil || out.ExitCode != 0 || json.Unmarshal(out.Stdout, &flake) != nil || !storePath.MatchString(flake.Path) {
			return
		}
		// In a chroot store the messages of some versions have its root in front.
		r.source = sourceNames{
			copied: regexp.MustCompile(`/[^\s"'«()]*/` + regexp.QuoteMeta(path.Base(flake.Path)) + `/`),
			folder: filepath.Base(r.FlakeDir) + "/",
		}
	})
	return r.source
}
