package inventory

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// problemTests have every complaint of Load at least once: the exact text, for
// a file in which nothing else is wrong.
var problemTests = []struct {
	name     string
	old, new string // a replacement in good; old "" appends
	want     string
}{
	// The file as TOML.
	{"syntax", `name = "cats"`, `name = `,
		`hosts.toml:2: not valid TOML: unexpected character U+000A at start of value`},
	{"syntax past the first line", "[hosts.ovh]", "[hosts.ovh",
		`hosts.toml:26: not valid TOML: expected ']' to close table name`},
	{"syntax at the end", "", "x",
		`hosts.toml:31: not valid TOML: expected '=' after key`},
	{"byte order mark", "[fleet]", "\ufeff[fleet]",
		`hosts.toml:1: starts with a byte order mark; save it as UTF-8 without one; Nix cannot read it otherwise`},
	{"latin 1", "Laptop", "Caf\xe9",
		`hosts.toml:22: not UTF-8 text; save it as UTF-8`},
	{"repeated by dotted keys", "", "[dotted]\na.b = 1\n[dotted.a]\nc = 1\n",
		`hosts.toml:31: unknown table "dotted"; the file can have fleet, defaults, features and hosts
hosts.toml:33: not valid TOML: table a already exists as defined by a dotted key`},
	{"number out of range", `release = "25.05"`, `release = 99999999999999999999`,
		`hosts.toml:4: fleet: release must be a string, not an integer`},
	{"toml 1.1 escape", `"cats"`, `"c\x61ts"`,
		`hosts.toml:2: the escape \x is TOML 1.1, which Nix cannot read; write \u and four hexadecimal digits`},
	{"toml 1.1 escape in a key", `name =`, `"\x6eame" =`,
		`hosts.toml:2: the escape \x is TOML 1.1, which Nix cannot read; write \u and four hexadecimal digits`},
	{"toml 1.1 table over lines", "", "[hosts]\nz = {\n users = [] }\n",
		`hosts.toml:33: an inline table over several lines or with a comma at its end is TOML 1.1, which Nix cannot read; write it on one line without a comma at its end, or as a table with a [header]`},
	{"toml 1.1 line end after a value", "", "[hosts]\nz = { users = [\n]\n}\n",
		`hosts.toml:32: an inline table over several lines or with a comma at its end is TOML 1.1, which Nix cannot read; write it on one line without a comma at its end, or as a table with a [header]`},
	{"toml 1.1 comma", "", "[hosts]\nz = { users = [], }\n",
		`hosts.toml:32: an inline table over several lines or with a comma at its end is TOML 1.1, which Nix cannot read; write it on one line without a comma at its end, or as a table with a [header]`},
	{"toml 1.1 empty table over lines", "", "[hosts]\nz = {\n}\n",
		`hosts.toml:32: an inline table over several lines is TOML 1.1, which Nix cannot read; write it on one line without a comma at its end, or as a table with a [header]`},

	// Keys and tables.
	{"unknown table", "[defaults]", "[default]",
		`hosts.toml:7: unknown table "default"; did you mean "defaults"? The file can have fleet, defaults, features and hosts
hosts.toml:21: host "yoga": the key system is missing; add it, system = "x86_64-linux" say, here or in [defaults]
hosts.toml:21: host "yoga": the key state-version is missing; add the release that the machine was installed with, here or in [defaults]`},
	{"unknown key at the top", "[fleet]", "colour = 1\n[fleet]",
		`hosts.toml:1: unknown key "colour"; the file can have fleet, defaults, features and hosts`},
	{"unknown key of the fleet", `name = "cats"`, "name = \"cats\"\nnam = \"x\"",
		`hosts.toml:3: fleet: unknown key "nam"; did you mean "name"? [fleet] can have name, description, release and nixpkgs`},
	{"unknown key of defaults", `users = ["hayden"]`, `user = ["hayden"]`,
		`hosts.toml:10: defaults: unknown key "user"; did you mean "users"? [defaults] can have system, state-version, profiles, features and users`},
	{"unknown key of a feature", `follows = ["nixpkgs"]`, `follow = ["nixpkgs"]`,
		`hosts.toml:14: feature "home-manager": unknown key "follow"; did you mean "follows"? A feature can have url, follows and modules`},
	{"unknown key of a host", `description = "Laptop"`, `colour = "red"`,
		`hosts.toml:22: host "yoga": unknown key "colour"; a host can have description, system, state-version, profiles, features and users`},
	{"unknown table of a host", "", "[hosts.ovh.services]\nx = 1\n",
		`hosts.toml:31: host "ovh": unknown table "services"; a host can have description, system, state-version, profiles, features and users`},
	{"key given twice", `users = []`, "users = []\nusers = [\"hayden\"]",
		`hosts.toml:31: host "ovh": users is given twice, first on line 30; keep one of them`},
	{"table given twice", "[hosts.yoga]", "[defaults]\nsystem = \"aarch64-linux\"\n[hosts.yoga]",
		`hosts.toml:21: defaults is given twice, first on line 7; keep one of them`},
	{"table given inline and by header", "", "[hosts]\nz = {}\n[hosts.z]\n",
		`hosts.toml:33: host "z" is declared twice, first on line 32; give one of them another name or take it out`},

	// [fleet].
	{"no fleet", good[:strings.Index(good, "[defaults]")], "",
		`hosts.toml:1: there is no table [fleet]; add a table [fleet] with the keys name, description, release and nixpkgs`},
	{"fleet is no table", good[:strings.Index(good, "[defaults]")], "fleet = 1\n",
		`hosts.toml:1: fleet must be a table, not an integer; add a table [fleet] with the keys name, description, release and nixpkgs`},
	{"keys of the fleet missing", good[len("[fleet]\n"):strings.Index(good, "[defaults]")], "",
		`hosts.toml:1: fleet: the key name is missing
hosts.toml:1: fleet: the key description is missing
hosts.toml:1: fleet: the key release is missing
hosts.toml:1: fleet: the key nixpkgs is missing`},
	{"fleet name", `"cats"`, `"two cats"`,
		`hosts.toml:2: fleet: name "two cats" cannot be used; start with a letter; then letters, digits, ".", "_" and "-", at most 63 in all`},
	{"type of fleet name", `"cats"`, `["cats"]`,
		`hosts.toml:2: fleet: name must be a string, not a list`},
	{"description over lines", `"Two cats"`, "\"\"\"Two\ncats\"\"\"",
		`hosts.toml:3: fleet: description contains the character U+000A, which does not print; write it on one line, without control characters`},
	{"description with an escape sequence", `"Two cats"`, `"\u001b[31mcats"`,
		`hosts.toml:3: fleet: description contains the character U+001B, which does not print; write it on one line, without control characters`},
	{"description that turns its direction", `"Laptop"`, `"\u202Epotpal"`,
		`hosts.toml:22: host "yoga": description contains the character U+202E, which does not print; write it on one line, without control characters`},
	{"release", `release = "25.05"`, `release = "25.5"`,
		`hosts.toml:4: fleet: release "25.5" is not a NixOS release; write two digits of the year and the month, 05 or 11: "25.05" say`},
	{"release with a channel's name", `release = "25.05"`, `release = "nixos-25.05"`,
		`hosts.toml:4: fleet: release "nixos-25.05" is not a NixOS release; write two digits of the year and the month, 05 or 11: "25.05" say`},
	{"release as a number", `release = "25.05"`, `release = 25.05`,
		`hosts.toml:4: fleet: release must be a string, not a float; put it in quotes`},

	// Addresses.
	{"url is no address", `"github:sodiboo/niri-flake"`, `"niri"`,
		`hosts.toml:18: feature "niri": url "niri" is not a flake reference; use github:<owner>/<repository>, git+https://<host>/<path>, https://<host>/<path>.tar.gz or path:<folder>`},
	{"url of an unknown kind", `"github:sodiboo/niri-flake"`, `"gopher://a/b"`,
		`hosts.toml:18: feature "niri": url "gopher://a/b" is not a flake reference; use github:<owner>/<repository>, git+https://<host>/<path>, https://<host>/<path>.tar.gz or path:<folder>`},
	{"url without a repository", `"github:sodiboo/niri-flake"`, `"github:sodiboo"`,
		`hosts.toml:18: feature "niri": url "github:sodiboo" is not a flake reference; write github:<owner>/<repository> or github:<owner>/<repository>/<branch>`},
	{"url without a host", `"github:sodiboo/niri-flake"`, `"git+https:///niri"`,
		`hosts.toml:18: feature "niri": url "git+https:///niri" is not a flake reference; use github:<owner>/<repository>, git+https://<host>/<path>, https://<host>/<path>.tar.gz or path:<folder>`},
	{"url without a path", `"github:sodiboo/niri-flake"`, `"https://example.org"`,
		`hosts.toml:18: feature "niri": url "https://example.org" is not a flake reference; use github:<owner>/<repository>, git+https://<host>/<path>, https://<host>/<path>.tar.gz or path:<folder>`},
	{"path without a folder", `"github:sodiboo/niri-flake"`, `"path:"`,
		`hosts.toml:18: feature "niri": url "path:" is not a flake reference; write path:<folder>`},
	{"url of a registry", `"github:sodiboo/niri-flake"`, `"flake:niri"`,
		`hosts.toml:18: feature "niri": url "flake:niri" depends on a registry; each machine has its own: write the address itself`},
	{"url with a password", `"github:sodiboo/niri-flake"`, `"git+https://me:secret@example.org/niri"`,
		`hosts.toml:18: feature "niri": url "git+https://me:***@example.org/niri" holds a password; it would be readable by everyone in the Nix store: use netrc-file or access-tokens of nix.conf`},
	{"url that ends the string", `"github:sodiboo/niri-flake"`, `'github:a/b"; x = "'`,
		`hosts.toml:18: feature "niri": url "github:a/b\"; x = \"" contains "\""; write other characters as %XX`},
	{"url with a placeholder", `"github:sodiboo/niri-flake"`, `"github:a/b/${rev}"`,
		`hosts.toml:18: feature "niri": url "github:a/b/${rev}" has the placeholder "${rev}"; ${release} is the only placeholder`},
	{"url with half a placeholder", `"github:sodiboo/niri-flake"`, `"github:a/b/${release"`,
		`hosts.toml:18: feature "niri": url "github:a/b/${release" has the placeholder "${release}"; ${release} is the only placeholder`},
	{"url with a backslash", `"github:sodiboo/niri-flake"`, `'github:a/b\'`,
		`hosts.toml:18: feature "niri": url "github:a/b\\" contains "\\"; write other characters as %XX`},
	{"url with a fragment", `"github:sodiboo/niri-flake"`, `'github:a/b#c'`,
		`hosts.toml:18: feature "niri": url "github:a/b#c" contains "#"; write other characters as %XX`},
	{"url over lines", `"github:sodiboo/niri-flake"`, `"github:a/b\n"`,
		`hosts.toml:18: feature "niri": url contains the character U+000A, which does not print; write it on one line, without control characters`},
	{"url with a bad escape", `"github:sodiboo/niri-flake"`, `"github:a/b%2"`,
		`hosts.toml:18: feature "niri": url "github:a/b%2" has a % that two hexadecimal digits do not follow; write %25 for the character itself`},
	{"url with an escaped line end", `"github:sodiboo/niri-flake"`, `"github:a/b%0a"`,
		`hosts.toml:18: feature "niri": url "github:a/b%0a" has an escaped control character; take it out`},
	{"url with a ref that is none", `"github:sodiboo/niri-flake"`, `"git+https://example.org/niri?ref=.."`,
		`hosts.toml:18: feature "niri": url "git+https://example.org/niri?ref=.." has a ref or rev that is none; write ?ref=<branch or tag> or ?rev=<40 hexadecimal digits>`},
	{"url with a rev that is none", `"github:sodiboo/niri-flake"`, `"github:a/b?rev=abc"`,
		`hosts.toml:18: feature "niri": url "github:a/b?rev=abc" has a ref or rev that is none; write ?ref=<branch or tag> or ?rev=<40 hexadecimal digits>`},
	{"url with two refs", `"github:sodiboo/niri-flake"`, `"github:a/b/main?ref=main"`,
		`hosts.toml:18: feature "niri": url "github:a/b/main?ref=main" is not a flake reference; write github:<owner>/<repository> or github:<owner>/<repository>/<branch>`},
	{"long url", `"github:sodiboo/niri-flake"`, `"github:a/` + strings.Repeat("b", 3000) + `"`,
		`hosts.toml:18: feature "niri": url "github:a/` + strings.Repeat("b", 71) + `"... is longer than 2048 characters`},
	{"nixpkgs", `"github:NixOS/nixpkgs/nixos-${release}"`, `"nixos-${release}"`,
		`hosts.toml:5: fleet: nixpkgs "nixos-${release}" is not a flake reference; use github:<owner>/<repository>, git+https://<host>/<path>, https://<host>/<path>.tar.gz or path:<folder>`},
	{"type of url", `"github:sodiboo/niri-flake"`, `2024-01-01`,
		`hosts.toml:18: feature "niri": url must be a string, not a date or time`},

	// Features.
	{"features are no table", good[strings.Index(good, "[features.home"):strings.Index(good, "[hosts.yoga]")], "[[features]]\n",
		`hosts.toml:12: features must be a table, not a list of tables; write each feature as a table [features.<name>]
hosts.toml:16: host "yoga": unknown feature "niri"; declare it as [features.niri] or take it out
hosts.toml:16: host "yoga": unknown feature "home-manager"; declare it as [features.home-manager] or take it out`},
	{"feature is no table", "", "[features]\ndisko = \"github:nix-community/disko\"\n",
		`hosts.toml:32: features.disko must be a table, not a string; write it as a table with the key url`},
	{"feature without url", "", "[features.disko]\n",
		`hosts.toml:31: feature "disko": the key url is missing; add the input's address, url = "github:<owner>/<repository>" say`},
	{"feature nixpkgs", "", "[features.nixpkgs]\nurl = \"github:NixOS/nixpkgs\"\n",
		`hosts.toml:31: feature "nixpkgs" is reserved; its address is the key nixpkgs of [fleet]`},
	{"feature self", "", "[features.self]\nurl = \"github:NixOS/nixpkgs\"\n",
		`hosts.toml:31: feature "self" is reserved; it names the flake itself`},
	{"feature named by a keyword", "", "[features.inherit]\nurl = \"github:a/b\"\n",
		`hosts.toml:31: feature "inherit" is a word of the Nix language; choose another name`},
	{"feature that is no identifier", "", "[features.\"a b\"]\nurl = \"github:a/b\"\n",
		`hosts.toml:31: feature "a b" cannot name a flake input; start with a letter; then letters, digits, "_" and "-", at most 63 in all`},
	{"feature that starts with a digit", "", "[features.3d]\nurl = \"github:a/b\"\n",
		`hosts.toml:31: feature "3d" cannot name a flake input; start with a letter; then letters, digits, "_" and "-", at most 63 in all`},
	{"feature declared twice", "", "[features.niri]\nurl = \"github:a/b\"\n",
		`hosts.toml:31: feature "niri" is declared twice, first on line 17; give one of them another name or take it out`},
	{"features that differ in case", "", "[features.Niri]\nurl = \"github:a/b\"\n",
		`hosts.toml:31: feature "Niri" differs only in case from [features.niri] on line 17; give one of them another name`},
	{"follows an unknown input", `["nixpkgs", "home-manager"]`, `["nixpgks", "home"]`,
		`hosts.toml:19: feature "niri": follows "nixpgks", which is no input of this flake; did you mean "nixpkgs"? An input can follow nixpkgs and declared features
hosts.toml:19: feature "niri": follows "home", which is no input of this flake; an input can follow nixpkgs and declared features`},
	{"follows itself", `["nixpkgs", "home-manager"]`, `["niri"]`,
		`hosts.toml:19: feature "niri": follows itself; take it out`},
	{"follows twice", `["nixpkgs", "home-manager"]`, `["nixpkgs", "nixpkgs"]`,
		`hosts.toml:19: feature "niri": input "nixpkgs" is listed twice; take one of them out`},
	{"type of follows", `["nixpkgs", "home-manager"]`, `"nixpkgs"`,
		`hosts.toml:19: feature "niri": follows must be a list of strings, not a string; write follows = ["nixpkgs"]`},
	{"module that is no path", `"nixosModules.home-manager"`, `"nixosModules."`,
		`hosts.toml:15: feature "home-manager": module "nixosModules." is not an attribute path; write identifiers joined by dots, "nixosModules.default" say`},
	{"module with an expression", `"nixosModules.home-manager"`, `"nixosModules.${x}"`,
		`hosts.toml:15: feature "home-manager": module "nixosModules.${x}" is not an attribute path; write identifiers joined by dots, "nixosModules.default" say`},
	{"module named by a keyword", `"nixosModules.home-manager"`, `"nixosModules.with"`,
		`hosts.toml:15: feature "home-manager": module "nixosModules.with" is not an attribute path; write identifiers joined by dots, "nixosModules.default" say`},
	{"module listed twice", `["nixosModules.home-manager"]`, `["m", "m"]`,
		`hosts.toml:15: feature "home-manager": module "m" is listed twice; take one of them out`},

	// Hosts.
	{"no hosts", good[strings.Index(good, "[hosts.yoga]"):], "",
		`hosts.toml:1: there are no hosts; add a table [hosts.<name>] for each machine`},
	{"empty hosts", good[strings.Index(good, "[hosts.yoga]"):], "[hosts]",
		`hosts.toml:21: there are no hosts; add a table [hosts.<name>] for each machine`},
	{"hosts are a list", good[strings.Index(good, "[hosts.yoga]"):], "[[hosts]]\nname = \"yoga\"\n[[hosts]]\nname = \"ovh\"\n",
		`hosts.toml:21: hosts must be a table, not a list of tables; add a table [hosts.<name>] for each machine`},
	{"host is no table", "", "[hosts]\nz = true\n",
		`hosts.toml:32: hosts.z must be a table, not a boolean; write it as a table; it may be empty if [defaults] has system and state-version`},
	{"host is a list", "", "[[hosts.z]]\n[[hosts.z]]\n",
		`hosts.toml:31: hosts.z must be a table, not a list of tables; write it as a table; it may be empty if [defaults] has system and state-version`},
	{"host declared twice", "", "[hosts.yoga]\n",
		`hosts.toml:31: host "yoga" is declared twice, first on line 21; give one of them another name or take it out`},
	{"hosts that differ in case", "", "[hosts.Yoga]\n",
		`hosts.toml:31: host "Yoga" cannot name a machine; lower-case letters, digits and inner "-", at most 63 in all, and no domain
hosts.toml:31: host "Yoga" differs only in case from [hosts.yoga] on line 21; give one of them another name`},
	{"host with a domain", "", "[hosts.\"a.example\"]\n",
		`hosts.toml:31: host "a.example" cannot name a machine; lower-case letters, digits and inner "-", at most 63 in all, and no domain`},
	{"host that leaves its folder", "", "[hosts.\"../../etc\"]\n",
		`hosts.toml:31: host "../../etc" cannot name a machine; lower-case letters, digits and inner "-", at most 63 in all, and no domain`},
	{"host without a name", "", "[hosts.\"\"]\n",
		`hosts.toml:31: host "" cannot name a machine; lower-case letters, digits and inner "-", at most 63 in all, and no domain`},
	{"host with an outer hyphen", "", "[hosts.yoga-]\n",
		`hosts.toml:31: host "yoga-" cannot name a machine; lower-case letters, digits and inner "-", at most 63 in all, and no domain`},
	{"long host", "", "[hosts." + strings.Repeat("a", 64) + "]\n",
		`hosts.toml:31: host "` + strings.Repeat("a", 64) + `" cannot name a machine; lower-case letters, digits and inner "-", at most 63 in all, and no domain`},
	{"host of digits", "", "[hosts.12]\n",
		`hosts.toml:31: host "12" cannot name a machine; a name of digits alone would be taken for an address`},
	{"host default", "", "[hosts.default]\n",
		`hosts.toml:31: host "default" is reserved; Nix takes that attribute when none is named`},
	{"host all", "", "[hosts.all]\n",
		`hosts.toml:31: host "all" is reserved; it stands for every host`},
	{"system", `"aarch64-linux"`, `"x86-64-linux"`,
		`hosts.toml:27: host "ovh": unknown system "x86-64-linux"; NixOS is built for aarch64-linux and x86_64-linux`},
	{"system in defaults", `"x86_64-linux"`, `"riscv64-linux"`,
		`hosts.toml:8: defaults: unknown system "riscv64-linux"; NixOS is built for aarch64-linux and x86_64-linux`},
	{"no system", `system = "x86_64-linux"`, ``,
		`hosts.toml:21: host "yoga": the key system is missing; add it, system = "x86_64-linux" say, here or in [defaults]`},
	{"type of system", `"aarch64-linux"`, `{}`,
		`hosts.toml:27: host "ovh": system must be a string, not a table`},
	{"state-version", `"24.11"`, `"24.10"`,
		`hosts.toml:28: host "ovh": state-version "24.10" is not a NixOS release; write two digits of the year and the month, 05 or 11: "25.05" say`},
	{"state-version as a number", `"24.11"`, `24.11`,
		`hosts.toml:28: host "ovh": state-version must be a string, not a float; put it in quotes`},
	{"state-version of the future", `"24.11"`, `"25.11"`,
		`hosts.toml:28: host "ovh": state-version "25.11" is newer than the release "25.05"; use the release that the machine was installed with, and never change it afterwards`},
	{"no state-version", `state-version = "25.05"`, ``,
		`hosts.toml:21: host "yoga": the key state-version is missing; add the release that the machine was installed with, here or in [defaults]`},

	{"type of features", "", "features = 1\n",
		`hosts.toml:31: host "ovh": features must be a list of strings, not an integer`},

	// What hosts name.
	{"missing profile", `"workstation/base"`, `"workstation/gui"`,
		`hosts.toml:23: host "yoga": profile "workstation/gui": there is no file profiles/workstation/gui.nix; write it or take the profile out`},
	{"profile with dots", `"workstation/base"`, `"../../etc/passwd"`,
		`hosts.toml:23: host "yoga": profile "../../etc/passwd" is not a profile's name; write <folder>/<name>, "workstation/base" say, for profiles/workstation/base.nix`},
	{"profile that is absolute", `"workstation/base"`, `"/etc/passwd"`,
		`hosts.toml:23: host "yoga": profile "/etc/passwd" is not a profile's name; write <folder>/<name>, "workstation/base" say, for profiles/workstation/base.nix`},
	{"profile without folder", `"workstation/base"`, `"base"`,
		`hosts.toml:23: host "yoga": profile "base" is not a profile's name; write <folder>/<name>, "workstation/base" say, for profiles/workstation/base.nix`},
	{"profile with its suffix", `"workstation/base"`, `"workstation/base.nix"`,
		`hosts.toml:23: host "yoga": profile "workstation/base.nix" is not a profile's name; write <folder>/<name>, "workstation/base" say, for profiles/workstation/base.nix`},
	{"profile listed twice", `"workstation/base"`, `"common/base"`,
		`hosts.toml:23: host "yoga": profile "common/base" is listed twice; take one of them out`},
	{"profile that is a folder", `"workstation/base"`, `"workstation/folder"`,
		`hosts.toml:23: host "yoga": profile "workstation/folder": profiles/workstation/folder.nix is not a regular file; write it or take the profile out`},
	{"profile that is a link out", `"workstation/base"`, `"workstation/link"`,
		`hosts.toml:23: host "yoga": profile "workstation/link": cannot look at profiles/workstation/link.nix: path escapes from parent`},
	{"type of profiles", `["workstation/base", "common/base"]`, `"common/base"`,
		`hosts.toml:23: host "yoga": profiles must be a list of strings, not a string; write profiles = ["common/base"]`},
	{"type of a profile", `["workstation/base", "common/base"]`, `["common/base", 1.5]`,
		`hosts.toml:23: host "yoga": profiles must hold strings only, not a float`},
	{"unknown feature", `["niri", "home-manager"]`, `["nirii"]`,
		`hosts.toml:24: host "yoga": unknown feature "nirii"; did you mean "niri"? Declare it as [features.nirii] or take it out`},
	{"unknown feature without a neighbour", `["niri", "home-manager"]`, `["opnix"]`,
		`hosts.toml:24: host "yoga": unknown feature "opnix"; declare it as [features.opnix] or take it out`},
	{"feature listed twice", `["niri", "home-manager"]`, `["niri", "niri"]`,
		`hosts.toml:24: host "yoga": feature "niri" is listed twice; take one of them out`},
	{"feature with a line end", `["niri", "home-manager"]`, `["ni\nri"]`,
		`hosts.toml:24: host "yoga": features contains the character U+000A, which does not print; write it on one line, without control characters`},
	{"user", `["hayden"]`, `["Hayden"]`,
		`hosts.toml:10: defaults: user "Hayden" cannot name an account; start with a lower-case letter or "_"; then these, digits and "-", at most 31 in all`},
	{"user root", `["hayden"]`, `["root"]`,
		`hosts.toml:10: defaults: user "root" is reserved; NixOS has a system account of that name`},
	{"user listed twice", `["hayden"]`, `["hayden", "hayden"]`,
		`hosts.toml:10: defaults: user "hayden" is listed twice; take one of them out`},
	{"user without a home", `["hayden"]`, `["hayden", "mia"]`,
		`hosts.toml:10: host "yoga": user "mia": there is no file home/mia/default.nix; the feature home-manager needs it: write it, or take the user out`},
}

func TestProblems(t *testing.T) {
	for _, test := range problemTests {
		t.Run(test.name, func(t *testing.T) {
			hosts := good + test.new
			if test.old != "" {
				if !strings.Contains(good, test.old) {
					t.Fatalf("%q is not in the file", test.old)
				}
				hosts = strings.Replace(good, test.old, test.new, 1)
			}
			enter(t, hosts)
			write(t, "profiles/workstation/folder.nix/default.nix", "{ }")
			if err := os.Symlink("/etc/hostname", "profiles/workstation/link.nix"); err != nil {
				t.Fatal(err)
			}
			_, err := Load("hosts.toml")
			if err == nil {
				t.Fatalf("accepted; want\n%s", test.want)
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if !errors.As(err, new(Problems)) {
				t.Errorf("%T is not Problems", err)
			}
		})
	}
}

// A user without a home folder is a problem only where Home Manager runs.
func TestUserWithoutHomeManager(t *testing.T) {
	enter(t, strings.Replace(good, "users = []", `users = ["mia"]`, 1))
	if _, err := Load("hosts.toml"); err != nil {
		t.Error(err)
	}
}

func TestProblemsTogether(t *testing.T) {
	enter(t, `[hosts.b]
system = "vax"
[hosts.a]
features = ["x", "x"]
state-version = "99.11"
[fleet]
release = "25.05"
`)
	_, err := Load("hosts.toml")
	var problems Problems
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	var got []string
	for _, p := range problems {
		got = append(got, fmt.Sprintf("%d:%d %s", p.Line, p.Column, p.Message))
	}
	want := []string{
		`1:8 host "b": the key state-version is missing`,
		`2:10 host "b": unknown system "vax"`,
		`3:8 host "a": the key system is missing`,
		`4:13 host "a": unknown feature "x"`,
		`4:18 host "a": feature "x" is listed twice`,
		`5:17 host "a": state-version "99.11" is newer than the release "25.05"`,
		`6:2 fleet: the key name is missing`,
		`6:2 fleet: the key description is missing`,
		`6:2 fleet: the key nixpkgs is missing`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// However much is wrong, it is found in reasonable time and printed in
// bounded length.
func TestManyProblems(t *testing.T) {
	var b strings.Builder
	b.WriteString(good)
	for i := range 20000 {
		fmt.Fprintf(&b, "[hosts.H%d]\nfeatures=[\"f%d\"]\n", i, i)
	}
	enter(t, b.String())
	_, err := Load("hosts.toml")
	var problems Problems
	if !errors.As(err, &problems) || len(problems) != 40000 {
		t.Fatalf("%d problems", len(problems))
	}
	lines := strings.Split(err.Error(), "\n")
	if last := lines[len(lines)-1]; len(lines) != 101 || last != "hosts.toml: and 39900 more problems" {
		t.Errorf("%d lines, the last %q", len(lines), last)
	}
}

func TestNearest(t *testing.T) {
	candidates := []string{"home-manager", "niri", "opnix", "a"}
	for name, want := range map[string]string{
		"nirii": "niri", "inri": "niri", "home_manager": "home-manager", "homemanager": "home-manager",
		"disko": "", "niri": "", "": "a", "b": "a", "opnxi": "opnix",
	} {
		if got := nearest(name, candidates); got != want {
			t.Errorf("nearest(%q) = %q, want %q", name, got, want)
		}
	}
}
