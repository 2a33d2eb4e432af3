// Package nixconf edits Nix's configuration and netrc files: it adds lines of
// its own and takes them away again, and leaves all others as they are.
//
// The formats are those of nix.conf(5) and of curl's netrc.
package nixconf

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Include adds a line to a nix.conf that includes another file, which may be
// absent. It changes nothing if the line is there.
func Include(conf, file string) string {
	if Includes(conf, file) {
		return conf
	}
	if conf != "" && !strings.HasSuffix(conf, "\n") {
		conf += "\n"
	}
	return conf + includeLine(file) + "\n"
}

// Includes says whether a nix.conf includes a file by such a line.
func Includes(conf, file string) bool {
	for line := range strings.Lines(conf) {
		if strings.TrimSpace(line) == includeLine(file) {
			return true
		}
	}
	return false
}

// Exclude takes the lines away that Include adds.
func Exclude(conf, file string) string {
	var b strings.Builder
	for line := range strings.Lines(conf) {
		if strings.TrimSpace(line) != includeLine(file) {
			b.WriteString(line)
		}
	}
	return b.String()
}

func includeLine(file string) string { return "!include " + file }

// Setting is the last value that a nix.conf itself, without what it includes,
// gives a setting.
func Setting(conf, name string) (value string, ok bool) {
	for line := range strings.Lines(conf) {
		line, _, _ = strings.Cut(line, "#")
		key, v, assigned := strings.Cut(line, "=")
		if assigned && strings.TrimSpace(key) == name {
			value, ok = strings.Join(strings.Fields(v), " "), true
		}
	}
	return value, ok
}

// Login is an entry of a netrc file.
type Login struct{ Machine, Login, Password string }

// line is the entry in one line, as it is written. Only such entries are
// recognized again.
func (l Login) line() string {
	return "machine " + l.Machine + " login " + l.Login + " password " + l.Password
}

// CheckLogin refuses what a netrc file cannot hold in one line.
func CheckLogin(l Login) error {
	for _, word := range []string{l.Machine, l.Login, l.Password} {
		if word == "" || strings.ContainsAny(word, " \t\r\n\"\\#\x00") {
			return errors.New("a netrc file cannot hold it: it is empty, or has white space, quotes, # or backslashes")
		}
	}
	return nil
}

// ErrOtherLogin is wrapped when a netrc file has another login for a machine.
var ErrOtherLogin = errors.New("it has another login for that machine")

// AddLogin adds an entry to a netrc file, or replaces that of the same machine
// and login. Another's for the machine would be used instead, or be lost: it
// is an error.
func AddLogin(netrc string, l Login) (string, error) {
	without := RemoveLogin(netrc, l.Machine, l.Login)
	words := strings.Fields(without)
	for i := 0; i+1 < len(words); i++ {
		if words[i] == "machine" && words[i+1] == l.Machine {
			return netrc, fmt.Errorf("%w: %s", ErrOtherLogin, l.Machine)
		}
	}
	// In front: what follows a "default" entry is never looked at.
	return l.line() + "\n" + without, nil
}

// RemoveLogin takes the entry away that AddLogin adds.
func RemoveLogin(netrc, machine, login string) string {
	var b strings.Builder
	for line := range strings.Lines(netrc) {
		w := strings.Fields(line)
		if len(w) == 6 && w[0] == "machine" && w[1] == machine && w[2] == "login" && w[3] == login && w[4] == "password" {
			continue
		}
		b.WriteString(line)
	}
	return b.String()
}

// Read is a file's text; one that is absent has none.
func Read(file string) (string, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(data), err
}

// Write replaces a file at once, with the mode if it is new or if narrow, and
// otherwise with its own. It changes nothing if the file has that text. An
// empty text removes the file. Links are followed.
func Write(file, text string, mode os.FileMode, narrow bool) error {
	if target, err := filepath.EvalSymlinks(file); err == nil {
		file = target
	}
	info, err := os.Stat(file)
	there := err == nil
	if text == "" {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if there {
		if old, err := os.ReadFile(file); err == nil && string(old) == text && (!narrow || info.Mode().Perm() == mode) {
			return nil
		}
		if !narrow {
			mode = info.Mode().Perm()
		}
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	tmp := file + "." + rand.Text()[:8]
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(tmp, file)
	}
	if err != nil {
		os.Remove(tmp)
	}
	return err
}
