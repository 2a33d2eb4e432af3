//go:build real

// The files that real hosts would have, rendered from their derivations and given
// to the programs that read them: `make test-real`, see docs/flake-tests.md.

package flake_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// rendered is a host's files as the derivations of its toplevel would write
// them: nothing is built.
type rendered struct {
	host  string
	dir   string            // the files, by derivation name
	paths map[string]string // derivation name to output path
	units struct{ System, User []string }
}

// drv is what is asked of a derivation.
type drv struct {
	Name    string
	Env     map[string]json.RawMessage
	Outputs map[string]struct{ Path string }
	// StructuredAttrs is where newer versions of Nix show what older ones have in
	// env as __json.
	StructuredAttrs map[string]json.RawMessage
}

// text is a variable of the derivation, "" if it has none of that name.
func (d drv) text(name string) string {
	var s string
	attrs := d.StructuredAttrs
	if raw, ok := d.Env["__json"]; ok && attrs == nil {
		var encoded string
		if json.Unmarshal(raw, &encoded) == nil {
			_ = json.Unmarshal([]byte(encoded), &attrs)
		}
	}
	for _, from := range []map[string]json.RawMessage{attrs, d.Env} {
		if raw, ok := from[name]; ok && json.Unmarshal(raw, &s) == nil {
			return s
		}
	}
	return ""
}

// render evaluates a host and writes its text files to a folder.
func render(t *testing.T, r *real, host string) *rendered {
	t.Helper()
	bin := nixBin(t)
	files := &rendered{host: host, dir: t.TempDir(), paths: map[string]string{}}
	var facts struct {
		Toplevel string
		Units    struct{ System, User []string }
	}
	r.eval(t, bin, "legacyPackages.x86_64-linux.rendered."+host, &facts)
	files.units = facts.Units
	stdout, _, _ := r.run(t, bin, "nix", "derivation", "show", "--recursive", facts.Toplevel)
	var derivations map[string]drv
	if err := json.Unmarshal([]byte(stdout), &derivations); err != nil {
		t.Fatal(err)
	}
	for _, d := range derivations {
		text := d.text("text")
		if text == "" {
			if command := d.text("buildCommand"); d.Name == "sshd.conf-final" {
				// cat SETTINGS - >$out <<EOL ... EOL
				_, text, _ = strings.Cut(command, "<<EOL\n")
				text, _, _ = strings.Cut(text, "\nEOL")
			}
		}
		if text == "" {
			continue
		}
		files.paths[d.Name] = d.Outputs["out"].Path
		if err := os.WriteFile(filepath.Join(files.dir, d.Name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files.accounts(t)
	if len(files.paths) < 300 {
		t.Fatalf("%s: %d text files among %d derivations: too few to be a system", host, len(files.paths), len(derivations))
	}
	return files
}

// accounts writes the host's users and groups as passwd and group, beside those
// that the checkers ask for.
func (f *rendered) accounts(t *testing.T) {
	t.Helper()
	var accounts struct {
		Users, Groups []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(f.read(t, "users-groups.json")), &accounts); err != nil {
		t.Fatal(err)
	}
	passwd := "root:x:0:0::/root:/bin/sh\nsshd:x:100:65534::/:/bin/sh\n_aide:x:101:65534::/:/bin/sh\n"
	group := "root:x:0:\nnogroup:x:65534:\n"
	for i, user := range accounts.Users {
		passwd += fmt.Sprintf("%s:x:%d:65534::/:/bin/sh\n", user.Name, 1000+i)
	}
	for i, g := range accounts.Groups {
		group += fmt.Sprintf("%s:x:%d:\n", g.Name, 1000+i)
	}
	f.write(t, "passwd", passwd)
	f.write(t, "group", group)
}

func (f *rendered) has(name string) bool {
	_, ok := f.paths[name]
	return ok
}

func (f *rendered) read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(f.dir, name))
	if err != nil {
		t.Fatalf("%s renders no %s: %v", f.host, name, err)
	}
	return string(data)
}

func (f *rendered) write(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join(f.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// checker runs a program of tools/checkers with the files as /rendered, in
// namespaces of its own, so that it sees and changes nothing of the machine.
func (f *rendered) checker(t *testing.T, args ...string) (string, error) {
	t.Helper()
	root := os.Getenv("PANTHEROS_CHECKERS")
	if root == "" {
		t.Fatal("PANTHEROS_CHECKERS is not set: run `make test-real`")
	}
	const enter = `mount --rbind /dev "$1/dev" && mount -t proc proc "$1/proc" && mount --bind "$2" "$1/rendered" &&
mount --bind "$2/passwd" "$1/etc/passwd" && mount --bind "$2/group" "$1/etc/group" &&
root=$1 && shift 2 && exec chroot "$root" "$@"`
	cmd := exec.CommandContext(t.Context(), "unshare", append([]string{"--mount", "--net", "--pid", "--fork",
		"sh", "-c", enter, "sh", root, f.dir}, args...)...)
	// systemd's programs write to the journal where standard error is no terminal.
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin", "LC_ALL=C.UTF-8", "SYSTEMD_LOG_TARGET=console", "SYSTEMD_LOG_COLOR=0"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// must fails the test where the program does not like what it reads.
func (f *rendered) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := f.checker(t, args...)
	if err != nil {
		t.Errorf("%s: %s: %v\n%s", f.host, strings.Join(args, " "), err, out)
	}
	return out
}

// TestRealFiles renders each host and gives every file to a program that reads it:
// scripts to bash and ShellCheck, units to systemd, rules to nftables and so on.
func TestRealFiles(t *testing.T) {
	r := openReal(t)
	entries, err := os.ReadDir(filepath.Join(r.dir, "hosts"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Run(e.Name(), func(t *testing.T) {
			f := render(t, r, e.Name())
			t.Run("scripts", f.scripts)
			t.Run("units", f.unitFiles)
			t.Run("firewall", f.firewall)
			t.Run("ssh", f.ssh)
			t.Run("sysctls", f.sysctls)
			t.Run("others", f.others)
		})
	}
}

var shell = regexp.MustCompile(`^#! ?/nix/store/[^\n]*/bin/(bash|sh)\b`)

// scripts: every shell script of the system parses, and ShellCheck has nothing to
// say of those that are the flake's.
func (f *rendered) scripts(t *testing.T) {
	ours := []string{"backup-metric", "nixos-changes", "panther-maintenance", "pcache-push", "pick-from-clipboard"}
	for _, unit := range slices.Concat(f.units.System, f.units.User) {
		if name, ok := strings.CutSuffix(unit, ".service"); ok {
			ours = append(ours, "unit-script-"+name+"-start")
		}
	}
	parsed, checked := 0, 0
	for _, name := range slices.Sorted(maps.Keys(f.paths)) {
		text := f.read(t, name)
		if !shell.MatchString(text) {
			continue
		}
		if out, err := exec.CommandContext(t.Context(), "bash", "-n", filepath.Join(f.dir, name)).CombinedOutput(); err != nil {
			t.Errorf("%s does not parse: %v\n%s", name, err, out)
		}
		parsed++
		// What nixpkgs itself starts such a unit with is not ours.
		if !slices.Contains(ours, name) || slices.Contains(theirs, name) {
			continue
		}
		f.must(t, "shellcheck", "--shell=bash", "--severity=style", "--exclude="+strings.Join(allowed, ","), "/rendered/"+name)
		checked++
	}
	if checked < 4 {
		t.Errorf("%d scripts of ours found, more were expected", checked)
	}
	t.Logf("%d shell scripts parse, %d of them ours and checked", parsed, checked)
}

// Units of nixpkgs' and the inputs' own to which the flake adds settings.
var theirs = []string{"unit-script-alertmanager-start", "unit-script-opnix-secrets-start", "unit-script-restic-backups-system-start"}

var allowed = []string{
	"SC2043", // a loop over what is one thing on this host
	"SC2317", // functions that are called by name: "$1"
	"SC2329", // the same, of the functions
	"SC2016", // expressions in single quotes are meant
}

// unitFiles: systemd takes every setting of our units. The programs that they start
// are not built, so there is an empty one in each place.
func (f *rendered) unitFiles(t *testing.T) {
	start := regexp.MustCompile(`(?m)^Exec(?:Start|Stop|Reload|Condition)[A-Za-z]*=[-@:+!]*(/nix/store/[^\s]+)`)
	for scope, units := range map[string][]string{"system": f.units.System, "user": f.units.User} {
		dir := "root/etc/systemd/" + scope + "/"
		var verify []string
		for name := range f.paths {
			unit, ok := strings.CutPrefix(name, "unit-")
			if !ok || !slices.Contains([]string{".service", ".socket", ".timer", ".target", ".mount", ".path", ".slice"}, path.Ext(unit)) {
				continue
			}
			text := f.read(t, name)
			f.write(t, dir+unit, text)
			for _, program := range start.FindAllStringSubmatch(text, -1) {
				file := filepath.Join(f.dir, "root", program[1])
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte("#!/bin/sh\n"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if slices.Contains(units, unit) && complete(unit, text) {
				verify = append(verify, unit)
			}
		}
		if len(verify) == 0 {
			t.Logf("%s: no units of ours", scope)
			continue
		}
		slices.Sort(verify)
		args := append([]string{"systemd-analyze", "verify", "--man=no", "--generators=no", "--recursive-errors=no", "--root=/rendered/root"}, verify...)
		if scope == "user" {
			args = slices.Insert(args, 1, "--user")
		}
		// Its exit code is 1 for what packages would bring as well.
		out, _ := f.checker(t, args...)
		for line := range strings.Lines(out) {
			// Units that ours refer to and that packages bring are not rendered.
			for _, unit := range verify {
				if strings.HasPrefix(line, unit+":") || strings.Contains(line, "/"+unit+":") {
					t.Errorf("%s", strings.TrimSpace(line))
				}
			}
		}
		t.Logf("%s: %d units of ours verified: %s", scope, len(verify), strings.Join(verify, " "))
	}
}

// complete reports whether a unit stands by itself. Others add settings to one that
// a package brings, which is not there to be verified.
func complete(unit, text string) bool {
	switch path.Ext(unit) {
	case ".service":
		return strings.Contains(text, "\nExecStart=")
	case ".socket":
		return strings.Contains(text, "\nListen")
	case ".timer":
		return strings.Contains(text, "\nOn")
	}
	return true
}

// firewall: nftables takes the whole ruleset, in a network of its own.
func (f *rendered) firewall(t *testing.T) {
	rules := regexp.MustCompile(`(?m)^include .*$`).ReplaceAllString(f.read(t, "nftables-rules"), "")
	f.write(t, "nftables.nft", rules)
	out := f.must(t, "bash", "-c", "nft -c -f /rendered/nftables.nft && nft -f /rendered/nftables.nft && nft list ruleset")
	for _, table := range []string{"nixos-fw", "panther-egress", "panther-policy"} {
		if !strings.Contains(out, "table inet "+table) {
			t.Errorf("no table %s in the ruleset that was loaded:\n%s", table, out)
		}
	}
	if !strings.Contains(out, "hook input priority filter; policy drop") {
		t.Errorf("what comes in is not dropped by default:\n%s", out)
	}
}

// ssh: sshd takes its configuration, and says what is in force.
func (f *rendered) ssh(t *testing.T) {
	if !f.has("sshd.conf-final") {
		if f.has("sshd.conf-settings") {
			t.Fatal("sshd.conf-final was not understood: nixpkgs makes it in another way now")
		}
		t.Log("no SSH server on this host")
		return
	}
	key := filepath.Join(f.dir, "hostkey")
	if out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	config := f.read(t, "sshd.conf-settings") + "\n" +
		regexp.MustCompile(`(?m)^HostKey .*$`).ReplaceAllString(f.read(t, "sshd.conf-final"), "HostKey /rendered/hostkey")
	f.write(t, "sshd_config", config)
	f.must(t, "/usr/sbin/sshd", "-t", "-f", "/rendered/sshd_config")
	out := f.must(t, "/usr/sbin/sshd", "-T", "-f", "/rendered/sshd_config")
	for _, want := range []string{"permitrootlogin no", "passwordauthentication no", "kbdinteractiveauthentication no", "allowgroups wheel", "x11forwarding no"} {
		if !strings.Contains(strings.ToLower(out), want+"\n") {
			t.Errorf("sshd does not say %q:\n%s", want, out)
		}
	}
}

// sysctls: each is known to a kernel.
func (f *rendered) sysctls(t *testing.T) {
	// These this machine's kernel may be built without.
	optional := []string{"kernel.kexec_load_disabled", "kernel.yama.ptrace_scope", "kernel.unprivileged_bpf_disabled", "dev.tty.ldisc_autoload"}
	known := 0
	for line := range strings.Lines(f.read(t, "etc-sysctl.d-60-nixos.conf")) {
		name, _, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || slices.Contains(optional, name) {
			continue
		}
		if _, err := os.Stat("/proc/sys/" + strings.ReplaceAll(name, ".", "/")); err != nil {
			t.Errorf("no kernel setting %s: %v", name, err)
			continue
		}
		known++
	}
	t.Logf("%d settings known", known)
}

// others: what else has a program that checks it.
func (f *rendered) others(t *testing.T) {
	for name, args := range map[string][]string{
		"sudoers-in":       {"bash", "-c", "install -m 0440 /rendered/sudoers-in /tmp/sudoers && visudo -c -f /tmp/sudoers"},
		"logrotate.conf":   {"logrotate", "--debug", "/rendered/logrotate.conf"},
		"aide.conf":        {"aide", "--config", "/rendered/aide.conf", "--config-check"},
		"prometheus.rules": {"promtool", "check", "rules", "/rendered/prometheus.rules"},
		"alertmanager.yml": {"amtool", "check-config", "/rendered/alertmanager.yml"},
		"extra-udev-rules": {"bash", "-c", "cp /rendered/extra-udev-rules /tmp/50-extra.rules && udevadm verify --no-style /tmp/50-extra.rules"},
		"nixos-tmpfiles.d": {"bash", "-c", "cp /rendered/nixos-tmpfiles.d /tmp/nixos.conf && systemd-tmpfiles --dry-run --create /tmp/nixos.conf"},
		"foot.ini":         {"foot", "--check-config", "--config", "/rendered/foot.ini"},
	} {
		if !f.has(name) {
			t.Logf("no %s on this host", name)
			continue
		}
		f.must(t, args...)
	}
	for name := range f.paths {
		if text := f.read(t, name); strings.HasSuffix(name, ".json") && !json.Valid([]byte(text)) {
			t.Errorf("%s is no JSON", name)
		}
	}
	// auditctl wants the kernel's audit system, which is not had in a container.
	rules := 0
	for line := range strings.Lines(f.read(t, "audit.rules")) {
		rule := strings.TrimSpace(line)
		if !strings.HasPrefix(rule, "-w ") && !strings.HasPrefix(rule, "-a ") {
			continue
		}
		rules++
		if !auditRule.MatchString(rule) {
			t.Errorf("auditctl would not take %q", rule)
		}
	}
	if rules < 10 {
		t.Errorf("%d audit rules", rules)
	}
}

var auditRule = regexp.MustCompile(`^(-w /\S+ -p [rwxa]+ -k \w+|-a always,exit( -F arch=b(32|64))?( -S [a-z0-9_,]+)?( -C \w+!?=\w+)?( -F \w+(!?=|>=|<=)\S+)* -k \w+)$`)
