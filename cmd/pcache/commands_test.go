package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// commands are all that do something, by what a user types.
func commands(t *testing.T) map[string]*cobra.Command {
	t.Helper()
	root := newRoot()
	all := map[string]*cobra.Command{}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Runnable() && !c.Hidden && c != root {
			all[strings.TrimPrefix(c.CommandPath(), "pcache ")] = c
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	return all
}

// What a command prints with --json is compared with a schema in a script.
func TestJSONHasSchemas(t *testing.T) {
	checked := map[string][]string{} // schemas by command
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("scripts: %v, %v", scripts, err)
	}
	for _, file := range scripts {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		last := ""
		for line := range strings.Lines(string(data)) {
			words := strings.Fields(line)
			if name, ok := strings.CutPrefix(strings.TrimSpace(line), "schema "); ok && last != "" {
				checked[last] = append(checked[last], name)
				continue
			}
			i := slices.Index(words, "pcache")
			if i < 0 || words[0] != "pcache" && words[0] != "exec" && words[0] != "exits" && words[0] != "!" {
				continue
			}
			last = ""
			if slices.Contains(words, "--json") {
				c, _, err := newRoot().Find(words[i+1:])
				if err != nil {
					t.Fatalf("%s: %s: %v", file, line, err)
				}
				last = strings.TrimPrefix(c.CommandPath(), "pcache ")
			}
		}
	}
	documented, err := os.ReadFile("../../docs/pcache.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range commands(t) {
		if c.Flags().Lookup("json") == nil {
			continue
		}
		if len(checked[name]) == 0 {
			t.Errorf("pcache %s --json: no script compares it with a schema", name)
		}
		for _, s := range checked[name] {
			if !strings.Contains(string(documented), "schema/"+s+".json") {
				t.Errorf("docs/pcache.md does not name docs/schema/%s.json, of pcache %s", s, name)
			}
		}
	}
}

// Every command explains itself, with examples that are command lines of it.
func TestHelp(t *testing.T) {
	for name, c := range commands(t) {
		if c.Short == "" || c.Long == "" && len(c.Commands()) == 0 {
			t.Errorf("pcache %s: no description", name)
		}
		if !strings.Contains(c.Example, "pcache "+strings.Fields(name)[0]) {
			t.Errorf("pcache %s: no example", name)
		}
		for line := range strings.Lines(c.Long) {
			if utf8.RuneCountInString(strings.TrimRight(line, "\n")) > 80 {
				t.Errorf("pcache %s: longer than a terminal is wide: %s", name, line)
			}
		}
		// Flags of examples exist.
		for line := range strings.Lines(strings.ReplaceAll(c.Example, "\\\n", " ")) {
			_, args, ok := strings.Cut(line, "pcache ")
			if !ok {
				continue
			}
			args, _, _ = strings.Cut(args, " -- ")
			sub, rest, err := newRoot().Find(strings.Fields(args))
			if err != nil {
				t.Errorf("pcache %s: example %q: %v", name, line, err)
				continue
			}
			for _, word := range rest {
				flag, ok := strings.CutPrefix(word, "--")
				if flag, _, _ = strings.Cut(flag, "="); ok && sub.Flag(flag) == nil && flag != "version" {
					t.Errorf("pcache %s: its example has a flag that it has not: %s", name, word)
				}
			}
		}
	}
}

// Every command has a manual page, which is the same whenever it is made.
func TestMan(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "315532800")
	pages := func() map[string]string {
		dir := filepath.Join(t.TempDir(), "share/man1")
		var stderr strings.Builder
		if code := run(t.Context(), []string{"man", dir}, strings.NewReader(""), &stderr, &stderr); code != 0 {
			t.Fatalf("exit code %d: %s", code, stderr.String())
		}
		files, err := filepath.Glob(dir + "/*.1")
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]string{}
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			all[filepath.Base(f)] = string(data)
		}
		return all
	}
	got := pages()
	for name, c := range commands(t) {
		file := "pcache-" + strings.ReplaceAll(name, " ", "-") + ".1"
		page := got[file]
		if page == "" || !strings.Contains(page, "DESCRIPTION") {
			t.Errorf("%s: %.60q", file, page)
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && !strings.Contains(page, f.Name) && !strings.Contains(page, strings.ReplaceAll(f.Name, "-", `\-`)) {
				t.Errorf("%s does not name --%s", file, f.Name)
			}
			// "[a] (b)" is a link to who makes the pages.
			if strings.Contains(f.Usage, "] (") || strings.Contains(f.Usage, "](") {
				t.Errorf("pcache %s --%s: %q reads as a link", name, f.Name, f.Usage)
			}
		})
	}
	if again := pages(); !maps.Equal(got, again) {
		t.Error("the pages differ from one time to the next")
	}
}
