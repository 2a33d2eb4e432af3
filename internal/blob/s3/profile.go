package s3

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// profile is one profile of Amazon's two files, ~/.aws/config and
// ~/.aws/credentials (docs.aws.amazon.com/sdkref/latest/guide/file-format.html).
// What is in the second overrides the first.
type profile map[string]string

func awsFile(getenv func(string) string, variable, name string) string {
	if file := getenv(variable); file != "" {
		return file
	}
	home := getenv("HOME")
	if home == "" {
		return ""
	}
	return filepath.Join(home, ".aws", name)
}

// readProfile returns the profile of a name and whether there is one.
func readProfile(getenv func(string) string, name string) (profile, bool, error) {
	p, found := profile{}, false
	for _, file := range []struct {
		path     string
		sections []string
	}{
		{awsFile(getenv, "AWS_CONFIG_FILE", "config"), []string{"profile " + name}},
		{awsFile(getenv, "AWS_SHARED_CREDENTIALS_FILE", "credentials"), []string{name}},
	} {
		if file.path == "" {
			continue
		}
		if name == "default" {
			file.sections = append(file.sections, "default")
		}
		sections, err := readINI(file.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, false, err
		}
		for _, section := range file.sections {
			if values, ok := sections[section]; ok {
				found = true
				for key, value := range values {
					p[key] = value
				}
			}
		}
	}
	return p, found, nil
}

// readINI reads sections of "key = value" lines. Indented lines are nested
// settings, of which none is wanted here. A message about a line does not
// quote it: it may hold a secret.
func readINI(path string) (map[string]map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sections := make(map[string]map[string]string)
	var current map[string]string
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		text := strings.TrimSpace(line)
		switch {
		case text == "" || text[0] == '#' || text[0] == ';':
		case text[0] == '[':
			name, _, ok := strings.Cut(text[1:], "]")
			if !ok {
				return nil, fmt.Errorf("%s:%d: the section's name has no closing bracket", path, n)
			}
			name = strings.Join(strings.Fields(name), " ")
			if sections[name] == nil {
				sections[name] = make(map[string]string)
			}
			current = sections[name]
		case line[0] == ' ' || line[0] == '\t':
		default:
			key, value, ok := strings.Cut(text, "=")
			if !ok || current == nil {
				return nil, fmt.Errorf("%s:%d: want [SECTION] or KEY = VALUE", path, n)
			}
			for _, comment := range []string{" #", " ;", "\t#", "\t;"} {
				value, _, _ = strings.Cut(value, comment)
			}
			current[strings.ToLower(strings.TrimSpace(key))] = strings.TrimSpace(value)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %v", path, err)
	}
	return sections, nil
}
