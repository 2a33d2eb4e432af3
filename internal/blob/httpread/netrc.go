package httpread

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// login is what a netrc file has for a host.
type login struct{ user, password string }

// netrcFiles are where logins are looked for: the file of $NETRC, the one that
// Nix uses (its setting netrc-file, otherwise netrc in its configuration
// folder), and curl's, ~/.netrc.
func netrcFiles(getenv func(string) string) []string {
	var files []string
	if file := getenv("NETRC"); file != "" {
		files = append(files, file)
	}
	files = append(files, nixNetrc(getenv))
	if home := getenv("HOME"); home != "" {
		files = append(files, filepath.Join(home, ".netrc"))
	}
	return files
}

// nixNetrc is Nix's setting netrc-file: of $NIX_CONFIG, the person's nix.conf,
// the system's, in this order. Files that those include are not read.
func nixNetrc(getenv func(string) string) string {
	confDir := getenv("NIX_CONF_DIR")
	if confDir == "" {
		confDir = "/etc/nix"
	}
	if file := netrcSetting(strings.NewReader(getenv("NIX_CONFIG"))); file != "" {
		return file
	}
	var configs []string
	if files := getenv("NIX_USER_CONF_FILES"); files != "" {
		configs = filepath.SplitList(files)
	} else {
		dir := getenv("XDG_CONFIG_HOME")
		if dir == "" && getenv("HOME") != "" {
			dir = filepath.Join(getenv("HOME"), ".config")
		}
		if dir != "" {
			configs = append(configs, filepath.Join(dir, "nix/nix.conf"))
		}
	}
	for _, config := range append(configs, filepath.Join(confDir, "nix.conf")) {
		f, err := os.Open(config)
		if err != nil {
			continue
		}
		file := netrcSetting(io.LimitReader(f, fileLimit))
		f.Close()
		if file != "" {
			return file
		}
	}
	return filepath.Join(confDir, "netrc")
}

func netrcSetting(r io.Reader) (file string) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if name, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(name) == "netrc-file" {
			file = strings.TrimSpace(value)
		}
	}
	return file
}

// fileLimit bounds what is read of a file.
const fileLimit = 1 << 20

// findLogin looks for a host in the files, in order. A file that is not there
// has nothing to say; one that cannot be read is noted, in case the server
// refuses.
func findLogin(files []string, host string) (l login, found bool, note string, err error) {
	for _, file := range files {
		f, err := os.Open(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			note = err.Error()
			continue
		}
		l, found, err = parseNetrc(io.LimitReader(f, fileLimit), host)
		f.Close()
		if err != nil {
			return login{}, false, "", fmt.Errorf("%s: %w", file, err)
		}
		if found {
			return l, true, note, nil
		}
	}
	return login{}, false, note, nil
}

// parseNetrc finds a host's entry, or that for all ("default")
// (gnu.org/software/inetutils/manual/html_node/The-_002enetrc-file.html; curl
// also takes quoted words, and # for comments). A message does not quote the
// file: it has passwords in it.
func parseNetrc(r io.Reader, host string) (login, bool, error) {
	lines := bufio.NewScanner(r)
	var (
		entry    *login // being read; nil: of no interest
		found    *login
		fallback *login
		macro    bool // until an empty line
		pending  string
	)
	for n := 1; lines.Scan(); n++ {
		if macro {
			macro = strings.TrimSpace(lines.Text()) != ""
			continue
		}
		words, err := netrcWords(lines.Text())
		if err != nil {
			return login{}, false, fmt.Errorf("line %d: %v", n, err)
		}
		for _, word := range words {
			switch pending {
			case "machine":
				entry = nil
				if found == nil && strings.EqualFold(word, host) {
					entry = new(login)
					found = entry
				}
				pending = ""
				continue
			case "login", "password", "account":
				if entry != nil && pending == "login" {
					entry.user = word
				} else if entry != nil && pending == "password" {
					entry.password = word
				}
				pending = ""
				continue
			case "macdef":
				macro, pending = true, ""
				continue
			}
			switch word {
			case "machine", "login", "password", "account", "macdef":
				pending = word
			case "default":
				entry = nil
				if fallback == nil {
					entry = new(login)
					fallback = entry
				}
			default:
				return login{}, false, fmt.Errorf("line %d: want machine, default, login, password, account or macdef", n)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return login{}, false, err
	}
	if pending != "" {
		return login{}, false, fmt.Errorf("it ends after %q", pending)
	}
	if found == nil {
		found = fallback
	}
	if found == nil {
		return login{}, false, nil
	}
	return *found, true, nil
}

// netrcWords splits a line.
func netrcWords(line string) ([]string, error) {
	var words []string
	for {
		line = strings.TrimLeft(line, " \t\r")
		if line == "" || line[0] == '#' {
			return words, nil
		}
		if line[0] != '"' {
			end := strings.IndexAny(line, " \t\r")
			if end < 0 {
				end = len(line)
			}
			words, line = append(words, line[:end]), line[end:]
			continue
		}
		var word strings.Builder
		i := 1
		for ; i < len(line) && line[i] != '"'; i++ {
			if line[i] == '\\' && i+1 < len(line) {
				i++
				switch line[i] {
				case 'n':
					word.WriteByte('\n')
					continue
				case 'r':
					word.WriteByte('\r')
					continue
				case 't':
					word.WriteByte('\t')
					continue
				}
			}
			word.WriteByte(line[i])
		}
		if i >= len(line) {
			return nil, errors.New("a quote is not closed")
		}
		words, line = append(words, word.String()), line[i+1:]
	}
}
