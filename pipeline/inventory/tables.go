package inventory

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

func (v *validator) fleet(e *entry) Fleet {
	var f Fleet
	const hint = "add a table [fleet] with the keys name, description, release and nixpkgs"
	if e == nil {
		v.report(position{1, 1}, hint, "there is no table [fleet]")
		return f
	}
	if !v.isTable(e, "fleet", hint) {
		return f
	}
	const prefix = "fleet: "
	keys := v.keys(prefix, "[fleet]", e.table, "name", "description", "release", "nixpkgs")
	for _, key := range []string{"name", "description", "release", "nixpkgs"} {
		if keys[key] == nil {
			v.report(e.pos, "", "%sthe key %s is missing", prefix, key)
		}
	}
	if name, ok := v.text(prefix, keys["name"]); ok {
		f.Name = name
		if !fleetName.MatchString(name) {
			v.report(keys["name"].value.pos, "start with a letter; then letters, digits, \".\", \"_\" and \"-\", at most 63 in all",
				"%sname %s cannot be used", prefix, quote(name))
		}
	}
	f.Description, _ = v.text(prefix, keys["description"])
	// The release comes before every address, for ${release}.
	f.Release = v.version(prefix, keys["release"])
	v.release = f.Release
	f.Nixpkgs = v.address(prefix, keys["nixpkgs"])
	return f
}

func (v *validator) featureList(e *entry) []Feature {
	v.features = make(map[string]bool)
	if e == nil || !v.isTable(e, "features", "write each feature as a table [features.<name>]") {
		return nil
	}
	entries := v.named(e.table, "feature", "[features.%s]", func(name string) (problem, hint string) {
		switch {
		case reservedFeatures[name] != "":
			return "is reserved", reservedFeatures[name]
		case slices.Contains(keywords, name):
			return "is a word of the Nix language", "choose another name"
		case !featureName.MatchString(name):
			return "cannot name a flake input", "start with a letter; then letters, digits, \"_\" and \"-\", at most 63 in all"
		}
		return "", ""
	})
	for _, e := range entries {
		v.features[e.key] = true
	}
	var features []Feature
	for _, e := range entries {
		if f, ok := v.feature(e); ok {
			features = append(features, f)
		}
	}
	slices.SortFunc(features, func(a, b Feature) int { return cmp.Compare(a.Name, b.Name) })
	return features
}

func (v *validator) feature(e *entry) (Feature, bool) {
	prefix := fmt.Sprintf("feature %s: ", quote(e.key))
	if !v.isTable(e, "features."+e.key, "write it as a table with the key url") {
		return Feature{}, false
	}
	keys := v.keys(prefix, "a feature", e.table, "url", "follows", "modules")
	if keys["url"] == nil {
		v.report(e.pos, `add the input's address, url = "github:<owner>/<repository>" say`, "%sthe key url is missing", prefix)
	}
	f := Feature{Name: e.key, Line: e.pos.line, URL: v.address(prefix, keys["url"])}
	for _, item := range v.strings(prefix, keys["follows"], "input") {
		f.Follows = append(f.Follows, item.str)
		switch {
		case item.str == e.key:
			v.report(item.pos, "take it out", "%sfollows itself", prefix)
		case item.str != "nixpkgs" && !v.features[item.str]:
			v.report(item.pos, v.hint(item.str, append(v.featureNames(), "nixpkgs"), "an input can follow nixpkgs and declared features"),
				"%sfollows %s, which is no input of this flake", prefix, quote(item.str))
		}
	}
	for _, item := range v.strings(prefix, keys["modules"], "module") {
		f.Modules = append(f.Modules, item.str)
		if !isAttrPath(item.str) {
			v.report(item.pos, `write identifiers joined by dots, "nixosModules.default" say`,
				"%smodule %s is not an attribute path", prefix, quote(item.str))
		}
	}
	return f, true
}

// settings are the keys that [defaults] and a host share. A list that is nil
// was not given.
type settings struct {
	system, stateVersion      string
	profiles, features, users []value
	// Whether the keys were given, rightly or not.
	hasSystem, hasStateVersion bool
}

var settingKeys = []string{"system", "state-version", "profiles", "features", "users"}

func (v *validator) defaults(e *entry) settings {
	if e == nil || !v.isTable(e, "defaults", "write it as a table [defaults]") {
		return settings{}
	}
	const prefix = "defaults: "
	return v.settings(prefix, v.keys(prefix, "[defaults]", e.table, settingKeys...))
}

func (v *validator) settings(prefix string, keys map[string]*entry) settings {
	s := settings{hasSystem: keys["system"] != nil, hasStateVersion: keys["state-version"] != nil}
	if system, ok := v.text(prefix, keys["system"]); ok {
		s.system = system
		if !slices.Contains(Systems, system) {
			v.report(keys["system"].value.pos, "NixOS is built for "+list(Systems),
				"%sunknown system %s", prefix, quote(system))
		}
	}
	s.stateVersion = v.version(prefix, keys["state-version"])
	if v.release != "" && s.stateVersion > v.release {
		v.report(keys["state-version"].value.pos, "use the release that the machine was installed with, and never change it afterwards",
			"%sstate-version %q is newer than the release %q", prefix, s.stateVersion, v.release)
	}
	s.profiles = v.strings(prefix, keys["profiles"], "profile")
	for _, item := range s.profiles {
		v.profile(prefix, item)
	}
	s.features = v.strings(prefix, keys["features"], "feature")
	for _, item := range s.features {
		if !v.features[item.str] {
			v.report(item.pos, v.hint(item.str, v.featureNames(), fmt.Sprintf("declare it as [features.%s] or take it out", clip(item.str))),
				"%sunknown feature %s", prefix, quote(item.str))
		}
	}
	s.users = v.strings(prefix, keys["users"], "user")
	for _, item := range s.users {
		switch {
		case reservedUsers[item.str] != "":
			v.report(item.pos, reservedUsers[item.str], "%suser %s is reserved", prefix, quote(item.str))
		case !userName.MatchString(item.str):
			v.report(item.pos, "start with a lower-case letter or \"_\"; then these, digits and \"-\", at most 31 in all",
				"%suser %s cannot name an account", prefix, quote(item.str))
		}
	}
	return s
}

func (v *validator) profile(prefix string, item value) {
	if !profileName.MatchString(item.str) {
		v.report(item.pos, `write <folder>/<name>, "workstation/base" say, for profiles/workstation/base.nix`,
			"%sprofile %s is not a profile's name", prefix, quote(item.str))
		return
	}
	v.requireFile(item.pos, "profiles/"+item.str+".nix", fmt.Sprintf("%sprofile %s: ", prefix, quote(item.str)),
		"write it or take the profile out")
}

func (v *validator) hostList(e *entry, defaults settings) []Host {
	v.homes = make(map[position]bool)
	const hint = "add a table [hosts.<name>] for each machine"
	switch {
	case e == nil:
		v.report(position{1, 1}, hint, "there are no hosts")
		return nil
	case !v.isTable(e, "hosts", hint):
		return nil
	case len(e.table.entries) == 0:
		v.report(e.pos, hint, "there are no hosts")
		return nil
	}
	entries := v.named(e.table, "host", "[hosts.%s]", func(name string) (problem, hint string) {
		switch {
		case reservedHosts[name] != "":
			return "is reserved", reservedHosts[name]
		case digits.MatchString(name):
			return "cannot name a machine", "a name of digits alone would be taken for an address"
		case !hostName.MatchString(name):
			return "cannot name a machine", "lower-case letters, digits and inner \"-\", at most 63 in all, and no domain"
		}
		return "", ""
	})
	var hosts []Host
	for _, e := range entries {
		if h, ok := v.host(e, defaults); ok {
			hosts = append(hosts, h)
		}
	}
	slices.SortFunc(hosts, func(a, b Host) int { return cmp.Compare(a.Name, b.Name) })
	return hosts
}

func (v *validator) host(e *entry, defaults settings) (Host, bool) {
	prefix := fmt.Sprintf("host %s: ", quote(e.key))
	if !v.isTable(e, "hosts."+e.key, "write it as a table; it may be empty if [defaults] has system and state-version") {
		return Host{}, false
	}
	keys := v.keys(prefix, "a host", e.table, append([]string{"description"}, settingKeys...)...)
	own := v.settings(prefix, keys)
	if !own.hasSystem && !defaults.hasSystem {
		v.report(e.pos, `add it, system = "x86_64-linux" say, here or in [defaults]`, "%sthe key system is missing", prefix)
	}
	if !own.hasStateVersion && !defaults.hasStateVersion {
		v.report(e.pos, "add the release that the machine was installed with, here or in [defaults]", "%sthe key state-version is missing", prefix)
	}
	pick := func(key string, own, fallback []value) []value {
		if keys[key] != nil {
			return own
		}
		return fallback
	}
	features := pick("features", own.features, defaults.features)
	users := pick("users", own.users, defaults.users)
	if slices.ContainsFunc(features, func(f value) bool { return f.str == "home-manager" }) {
		for _, user := range users {
			v.home(prefix, user)
		}
	}
	h := Host{
		Name:         e.key,
		Description:  e.key,
		Line:         e.pos.line,
		System:       cmp.Or(own.system, defaults.system),
		StateVersion: cmp.Or(own.stateVersion, defaults.stateVersion),
		Profiles:     texts(pick("profiles", own.profiles, defaults.profiles)),
		Features:     texts(features),
		Users:        texts(users),
	}
	if keys["description"] != nil {
		h.Description, _ = v.text(prefix, keys["description"])
	}
	return h, true
}

// home looks for a user's Home Manager configuration. A user from [defaults]
// is looked for once, for the first host that needs it.
func (v *validator) home(prefix string, user value) {
	if v.homes[user.pos] || !userName.MatchString(user.str) || reservedUsers[user.str] != "" {
		return
	}
	v.homes[user.pos] = true
	v.requireFile(user.pos, "home/"+user.str+"/default.nix", fmt.Sprintf("%suser %s: ", prefix, quote(user.str)),
		"the feature home-manager needs it: write it, or take the user out")
}

// named returns the entries of [hosts] or [features] after reporting names
// that are repeated, differ only in case, or cannot be used.
func (v *validator) named(t *table, noun, header string, check func(name string) (problem, hint string)) []*entry {
	first := make(map[string]*entry)
	for _, e := range t.entries {
		if problem, hint := check(e.key); problem != "" {
			v.report(e.pos, hint, "%s %s %s", noun, quote(e.key), problem)
		}
		fold := strings.ToLower(e.key)
		switch have := first[fold]; {
		case have == nil:
			first[fold] = e
		case have.key == e.key:
			v.report(e.pos, "give one of them another name or take it out",
				"%s %s is declared twice, first on line %d", noun, quote(e.key), have.pos.line)
		default:
			v.report(e.pos, "give one of them another name",
				"%s %s differs only in case from "+header+" on line %d", noun, quote(e.key), clip(have.key), have.pos.line)
		}
	}
	return t.entries
}

func (v *validator) featureNames() []string {
	names := make([]string, 0, len(v.features))
	for name := range v.features {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
