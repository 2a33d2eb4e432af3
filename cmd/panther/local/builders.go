package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// sshOptions keep a builder that does not answer from holding a run up: ssh
// asks nobody anything, and gives up after seconds. Of two values of an option
// ssh takes the first, so the caller's own NIX_SSHOPTS go before them.
const sshOptions = "-o BatchMode=yes -o ConnectTimeout=10"

// CheckBuilders checks a value of Nix's setting "builders" as far as that can
// be done before Nix reads it, and returns it with the path of a file of
// machines made absolute. The form is nix.conf(5)'s: machines separated by
// semicolons, each "ADDRESS [SYSTEMS [KEYFILE [JOBS …]]]", or "@FILE" with one
// machine a line.
func CheckBuilders(builders string) (string, error) {
	if strings.ContainsAny(builders, "\n\r") {
		return "", errors.New("a line break would be another setting of Nix; separate machines by semicolons")
	}
	builders = strings.TrimSpace(builders)
	machines := builders
	if file, ok := strings.CutPrefix(builders, "@"); ok {
		abs, err := filepath.Abs(file)
		if err != nil {
			return "", fmt.Errorf("finding %s: %v", file, err)
		}
		data, err := os.ReadFile(abs)
		if err != nil {
			return "", fmt.Errorf("reading the list of machines: %w", err)
		}
		machines, builders = string(data), "@"+abs
	}
	found := 0
	for line := range strings.Lines(strings.ReplaceAll(machines, ";", "\n")) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		found++
		if len(fields) > 2 && fields[2] != "-" {
			key := fields[2]
			if !filepath.IsAbs(key) { // Nix starts ssh in another folder
				return "", fmt.Errorf("the key for %s is %q; it has to be named by its absolute path", fields[0], key)
			}
			// It may be the daemon's alone to see.
			if _, err := os.Stat(key); errors.Is(err, fs.ErrNotExist) {
				return "", fmt.Errorf("the key for %s: there is no file %s", fields[0], key)
			}
		}
		if overSSH(fields[0]) {
			if _, err := exec.LookPath("ssh"); err != nil {
				return "", fmt.Errorf("%s is reached with ssh, which is not on PATH (Debian: apt-get install openssh-client)", fields[0])
			}
		}
	}
	if found == 0 {
		return "", fmt.Errorf("no machine is named in %q", builders)
	}
	return builders, nil
}

// overSSH reports whether Nix reaches a store with ssh: by its scheme, or
// because it has none and is no path either. For the host localhost it starts
// the other Nix itself (ssh.cc).
func overSSH(address string) bool {
	scheme, host, ok := strings.Cut(address, "://")
	if !ok {
		scheme, host = "ssh", address
		if strings.Contains(address, "/") {
			return false
		}
	}
	host, _, _ = strings.Cut(host, "?")
	return (scheme == "ssh" || scheme == "ssh-ng") && host != "localhost"
}
