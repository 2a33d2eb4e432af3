package main

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestFlakeScripts runs the shell scripts of the flake's modules as hosts have them:
// below a folder instead of /, with this machine's tools, and in place of what
// commands a machine (systemctl, asusctl and so on) with programs that answer as
// the case says and write down what they were asked.
func TestFlakeScripts(t *testing.T) {
	r := onStandIns(t, "nix", "eval", "--json", "FLAKE#legacyPackages.x86_64-linux.scripts")
	if r.code != 0 {
		t.Fatalf("exit code %d\n%s", r.code, r.stderr)
	}
	var scripts map[string]string
	if err := json.Unmarshal([]byte(r.stdout), &scripts); err != nil {
		t.Fatal(err)
	}
	tests := map[string]func(*testing.T, *machine){
		"asus-settings":       testASUSSettings,
		"attic-token":         testAtticToken,
		"backup-metric":       testBackupMetric,
		"certificate-check":   testCertificateCheck,
		"file-integrity":      testFileIntegrity,
		"memory-channels":     testMemoryChannels,
		"metric-generation":   testMetricGeneration,
		"nixos-changes":       testNixOSChanges,
		"panther-maintenance": testMaintenance,
		"pcache-push":         testPushHook,
		"pcache-serve":        testCommandLine,
		"pcache-warm":         testCommandLine,
		"rotate-panel":        testRotatePanel,
		"secrets-ready":       testSecretsReady,
		"wifi-passwords":      testWiFiPasswords,
	}
	if missing := slices.Sorted(maps.Keys(scripts)); !slices.Equal(missing, slices.Sorted(maps.Keys(tests))) {
		t.Errorf("scripts of the flake and cases differ: %q", missing)
	}
	allScripts(t, len(scripts)-2) // pcache-serve and -warm are command lines
	for name, run := range tests {
		t.Run(name, func(t *testing.T) { run(t, newMachine(t, scripts[name])) })
	}
}

// testCommandLine gives a unit's command line to the program that it is for, which
// says no to a flag or a value that it does not know before it says what it does.
func testCommandLine(t *testing.T, m *machine) {
	text := strings.TrimPrefix(m.text(t), "set -e\n")
	command := exec.CommandContext(t.Context(), "sh", "-c", text+" --help")
	command.Env = []string{"PATH=" + programs + ":/usr/bin:/bin", "HOME=" + m.root}
	r := finish(t, command).want(t, 0)
	// What it was given, and not what a mistyped command would print.
	contains(t, r.stdout, "Usage:\n  "+strings.Join(strings.Fields(text)[:2], " "))
	for _, flag := range regexp.MustCompile(`--[a-z-]+`).FindAllString(text, -1) {
		contains(t, r.stdout, flag)
	}
	if strings.Count(text, " --") < 2 {
		t.Errorf("%q has hardly a flag", text)
	}
}

// text is the machine's script.
func (m *machine) text(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(m.script)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// allScripts holds that tests/scripts.nix has every script of the flake.
func allScripts(t *testing.T, listed int) {
	script := regexp.MustCompile(`script = ''|writeShellScript(Bin)? "`)
	found := 0
	for _, folder := range []string{"modules", "home"} {
		err := filepath.WalkDir(filepath.Join("../../flake-src", folder), func(file string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			text, err := os.ReadFile(file)
			found += len(script.FindAll(text, -1))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// The clipboard's is one pipe of four programs of a Wayland session.
	if found != listed+1 {
		t.Errorf("%d scripts in modules/ and home/, %d in tests/scripts.nix and one that cannot run here: add the new one", found, listed)
	}
}

// machine is a root folder with a script for it.
type machine struct {
	root, bin, script string
	env               []string
}

func newMachine(t *testing.T, script string) *machine {
	t.Helper()
	m := &machine{root: t.TempDir(), bin: t.TempDir()}
	// Programs by name, files below the root.
	script = regexp.MustCompile(`/nix/store/[a-z0-9]{32}-[^/\s"']+/s?bin/`).ReplaceAllString(script, "")
	script = regexp.MustCompile(`(/var/lib|/run|/nix/var)/`).ReplaceAllString(script, m.root+"$1/")
	m.script = filepath.Join(m.bin, "script")
	// As systemd's scripts are on NixOS.
	if !strings.HasPrefix(script, "#!") {
		script = "set -e\n" + script
	}
	m.file(t, m.script, script)
	return m
}

// file writes a file, below the root where its path is not absolute.
func (m *machine) file(t *testing.T, name, text string) string {
	t.Helper()
	if !filepath.IsAbs(name) {
		name = filepath.Join(m.root, name)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func (m *machine) read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(m.root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// program answers to a name: it writes its arguments to a file of that name with
// .asked, then does what body says.
func (m *machine) program(t *testing.T, name, body string) {
	t.Helper()
	file := filepath.Join(m.bin, name)
	text := "#!/bin/sh\necho \"$*\" >>" + filepath.Join(m.root, name+".asked") + "\n" + body + "\n"
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// run runs the script and returns what it said on both outputs.
func (m *machine) run(t *testing.T, code int, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", append([]string{m.script}, args...)...)
	cmd.Env = append([]string{"PATH=" + m.bin + ":" + programs + ":/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + m.root, "LC_ALL=C"}, m.env...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("exit code %d, want %d:\n%s", got, code, out)
	}
	return string(out)
}

func testASUSSettings(t *testing.T, m *machine) {
	m.program(t, "asusctl", "")
	m.run(t, 0)
	asked := m.read(t, "asusctl.asked")
	contains(t, asked, "fan-curve --mod-profile performance --fan cpu --data 40c:20%,", "--fan gpu --data 40c:20%,",
		"fan-curve --mod-profile performance --enable-fan-curves true", " -c ff6600\n")
	m.program(t, "asusctl", "exit 1")
	m.run(t, 1) // asusd is not there yet: systemd tries again
}

func testAtticToken(t *testing.T, m *machine) {
	m.file(t, "var/lib/attic-token/.keep", "")
	m.run(t, 0)
	_, encoded, ok := strings.Cut(m.read(t, "var/lib/attic-token/environment"), "ATTIC_SERVER_TOKEN_RS256_SECRET_BASE64=")
	if !ok || strings.Contains(strings.TrimSuffix(encoded, "\n"), "\n") {
		t.Fatalf("not one variable on one line: %.40q", encoded)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "base64 -d | openssl rsa -check -noout")
	cmd.Stdin = strings.NewReader(encoded)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("no RSA key: %v\n%s", err, out)
	}
	contains(t, string(out), "RSA key ok")
}

func testBackupMetric(t *testing.T, m *machine) {
	m.file(t, "var/lib/node-exporter-text/.keep", "")
	m.run(t, 0)
	if got := m.read(t, "var/lib/node-exporter-text/backup.prom"); !regexp.MustCompile(`^pantheros_backup_last_success_seconds \d{10}\n$`).MatchString(got) {
		t.Errorf("backup.prom: %q", got)
	}
}

func testCertificateCheck(t *testing.T, m *machine) {
	certificate := m.file(t, "var/lib/opnix/secrets/sslCertificate", "")
	contains(t, m.run(t, 1), "sslCertificate is missing")
	m.file(t, certificate, "no certificate\n")
	contains(t, m.run(t, 1), "or is no certificate")
	for days, code := range map[string]int{"5": 1, "90": 0} {
		cmd := exec.CommandContext(t.Context(), "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
			"-nodes", "-keyout", filepath.Join(m.root, "key"), "-out", certificate, "-days", days, "-subj", "/CN=test")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl: %v\n%s", err, out)
		}
		out := m.run(t, code)
		if code != 0 {
			contains(t, out, "ends within 21 days")
		}
	}
}

func testFileIntegrity(t *testing.T, m *machine) {
	m.file(t, "var/lib/file-integrity/.keep", "")
	m.program(t, "nix-store", "")
	const database = "var/lib/file-integrity/aide.db"
	m.program(t, "aide", "echo first >"+filepath.Join(m.root, database)+".new")
	m.run(t, 0)
	contains(t, m.read(t, "aide.asked"), "--init")
	contains(t, m.read(t, database), "first")

	// A difference fails once, and is what is compared with from then on.
	m.program(t, "aide", "echo second >"+filepath.Join(m.root, database)+".new; echo changed: /etc/passwd; exit 4")
	contains(t, m.run(t, 1), "changed: /etc/passwd")
	contains(t, m.read(t, "aide.asked"), "--update")
	contains(t, m.read(t, database), "second")

	// A damaged store is no reason not to look at the rest.
	m.program(t, "nix-store", "exit 1")
	m.program(t, "aide", "echo third >"+filepath.Join(m.root, database)+".new")
	m.run(t, 1)
	contains(t, m.read(t, database), "third")
}

func testMemoryChannels(t *testing.T, m *machine) {
	m.program(t, "dmidecode", `printf 'Memory Device\n\tSize: 8 GB\nMemory Device\n\tSize: 8 GB\n'`)
	m.run(t, 0)
	m.program(t, "dmidecode", `printf 'Memory Device\n\tSize: 8 GB\nMemory Device\n\tSize: No Module Installed\n'`)
	contains(t, m.run(t, 1), "1 of 2 memory channels are in use")
}

func testMetricGeneration(t *testing.T, m *machine) {
	m.file(t, "var/lib/node-exporter-text/.keep", "")
	m.file(t, "nix/var/nix/profiles/system", "")
	for folder, kernel := range map[string]string{"booted-system": "linux-6.12", "current-system": "linux-6.13"} {
		if err := os.MkdirAll(filepath.Join(m.root, "run", folder), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(kernel, filepath.Join(m.root, "run", folder, "kernel")); err != nil {
			t.Fatal(err)
		}
	}
	m.run(t, 0)
	contains(t, m.read(t, "var/lib/node-exporter-text/generation.prom"), "pantheros_generation_since_seconds ", "pantheros_reboot_wanted 1\n")
	if err := os.Remove(filepath.Join(m.root, "run/booted-system/kernel")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("linux-6.13", filepath.Join(m.root, "run/booted-system/kernel")); err != nil {
		t.Fatal(err)
	}
	m.run(t, 0)
	contains(t, m.read(t, "var/lib/node-exporter-text/generation.prom"), "pantheros_reboot_wanted 0\n")
}

func testNixOSChanges(t *testing.T, m *machine) {
	for _, generation := range []string{"3", "7", "8"} {
		m.file(t, "nix/var/nix/profiles/system-"+generation+"-link", "")
	}
	if err := os.Symlink("system-8-link", filepath.Join(m.root, "nix/var/nix/profiles/system")); err != nil {
		t.Fatal(err)
	}
	m.program(t, "nix", "")
	m.run(t, 0)
	m.run(t, 0, "3")
	asked := m.read(t, "nix.asked")
	contains(t, asked, "system-7-link ", "system-3-link ", "system-8-link\n")
	contains(t, m.run(t, 1, "5"), "there is no generation 5")
}

func testMaintenance(t *testing.T, m *machine) {
	contains(t, m.run(t, 2), "usage: panther-maintenance daily|weekly|monthly")
	m.run(t, 2, "yearly")

	m.program(t, "journalctl", "echo one; echo two")
	m.program(t, "systemctl", `case "$*" in *--property\ Result*) echo success ;; esac`)
	contains(t, m.run(t, 0, "daily"), "errors in the journal since yesterday: 2")
	m.program(t, "systemctl", `case "$*" in
*--failed*) printf 'a.service loaded failed failed A\npanther-maintenance-weekly.service loaded failed failed M\nb.timer loaded failed failed B\n' ;;
*ExecMainStartTimestamp*) echo Sat ;;
*Result*) echo exit-code ;;
esac`)
	out := m.run(t, 1, "daily")
	contains(t, out, "failed units: a.service b.timer", "the last backup (Sat) has failed")
	if strings.Contains(out, "panther-maintenance-weekly") {
		t.Errorf("it counts its own failure, which would stay for ever:\n%s", out)
	}

	m.program(t, "systemd-tmpfiles", "")
	m.program(t, "aureport", "echo report")
	m.program(t, "curl", "")
	m.program(t, "df", `case "$*" in *output*) printf 'Use%% Mounted on\n 12%% /\n 84%% /home\n' ;; esac`)
	contains(t, m.run(t, 0, "weekly"), "report")
	m.program(t, "curl", "exit 7")
	m.program(t, "df", `case "$*" in *output*) printf 'Use%% Mounted on\n 85%% /\n  - /run/x\n 100%% /data disk\n' ;; esac`)
	contains(t, m.run(t, 1, "weekly"), "more than 85% full: / /data disk", "Prometheus does not answer")

	m.program(t, "nix-env", "echo generations")
	m.program(t, "systemd-analyze", "echo exposure")
	m.program(t, "nix-store", "")
	contains(t, m.run(t, 0, "monthly"), "generations", "exposure")
	m.program(t, "nix-store", "exit 1")
	contains(t, m.run(t, 1, "monthly"), "the store's database is damaged")
}

// A hook that fails would fail the build.
func testPushHook(t *testing.T, m *machine) {
	m.env = []string{"OUT_PATHS=/nix/store/00000000000000000000000000000000-a /nix/store/00000000000000000000000000000000-b"}
	contains(t, m.run(t, 0), "pcache: not pushed: /nix/store/00000000000000000000000000000000-a")
	m.program(t, "pcache", "")
	m.run(t, 0)
	contains(t, m.read(t, "pcache.asked"), "--secret-key-file "+m.root+"/var/lib/pcache/secret-key file:///srv/cache /nix/store/00000000000000000000000000000000-a /nix/store")
}

func testRotatePanel(t *testing.T, m *machine) {
	m.program(t, "niri", "")
	m.program(t, "monitor-sensor", `cat <<END
    Waiting for iio-sensor-proxy to appear
+++ iio-sensor-proxy appeared
=== Has accelerometer (orientation: normal, tilt: vertical)
    Accelerometer orientation changed: left-up
    Tilt changed: tilted-down
    Accelerometer orientation changed: bottom-up
    Accelerometer orientation changed: right-up
END`)
	m.run(t, 0)
	want := "msg output eDP-1 transform normal\nmsg output eDP-1 transform 90\nmsg output eDP-1 transform 180\nmsg output eDP-1 transform 270\n"
	if got := m.read(t, "niri.asked"); got != want {
		t.Errorf("niri was asked:\n%swant:\n%s", got, want)
	}
}

func testSecretsReady(t *testing.T, m *machine) {
	m.program(t, "chown", "")
	m.file(t, "run/secrets-env/.keep", "")
	out := m.run(t, 1)
	contains(t, out, "b2KeyId is missing: op://pantherOS/credentials/storage.b2/keyId has not been fetched",
		"tailscaleAuthKey is missing: op://pantherOS/authentication/tailscale/authKey", "systemctl restart opnix-secrets secrets-ready")
	if _, err := os.Stat(filepath.Join(m.root, "run/secrets-env/b2.env")); err == nil {
		t.Error("there is an environment file without its secrets")
	}
	for _, line := range strings.Split(out, "\n") {
		if name, _, ok := strings.Cut(line, " is missing: "); ok {
			m.file(t, "var/lib/opnix/secrets/"+name, "secret of $"+name+"\n")
		}
	}
	if out := m.run(t, 0); out != "" {
		t.Errorf("it says something, with all secrets there: %s", out)
	}
	if got, want := m.read(t, "run/secrets-env/b2.env"), "B2_ACCOUNT_ID=secret of $b2KeyId\nB2_ACCOUNT_KEY=secret of $b2AppKey\n"; got != want {
		t.Errorf("b2.env: %q, want %q", got, want)
	}
	info, err := os.Stat(filepath.Join(m.root, "run/secrets-env/b2.env"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o400 {
		t.Errorf("b2.env has the mode %o", info.Mode().Perm())
	}
}

func testWiFiPasswords(t *testing.T, m *machine) {
	const password = "a \"quoted\" $HOME `id` back\\slash 'end"
	m.env = []string{"CREDENTIALS_DIRECTORY=" + m.root}
	m.file(t, "home", password)
	m.file(t, "run/wifi-passwords/.keep", "")
	m.run(t, 0)
	// A shell reads double quotes as systemd does.
	out, err := exec.CommandContext(t.Context(), "sh", "-c", `. "$1"; printf %s "$WIFI_HOME"`, "sh",
		filepath.Join(m.root, "run/wifi-passwords/environment")).Output()
	if err != nil || string(out) != password {
		t.Errorf("read back as %q (%v), want %q", out, err, password)
	}
}
