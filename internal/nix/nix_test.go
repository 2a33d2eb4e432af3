package nix

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const hello = "7rjqb838snvvxcmpvck1smfxhkwzqal5-hello-2.12.1"

func TestBase32RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "raw")
		text := EncodeBase32(raw)
		back, err := DecodeBase32(text)
		if err != nil || !bytes.Equal(back, raw) {
			t.Fatalf("%x -> %q -> %x, %v", raw, text, back, err)
		}
	})
}

// The values are what nix-hash --to-base32 prints.
func TestBase32AsNixHasIt(t *testing.T) {
	empty := sha256.Sum256(nil)
	if got, want := Hash(empty).Base32(), "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73"; got != want {
		t.Errorf("sha256 of nothing: got %s, want %s", got, want)
	}
	if _, err := DecodeBase32("zz"); err == nil {
		t.Error("excess bits were taken")
	}
	if _, err := DecodeBase32("0e"); err == nil {
		t.Error("a letter outside the alphabet was taken")
	}
}

func TestParseStorePath(t *testing.T) {
	hash := hello[:32]
	tests := []struct {
		in   string
		want string // error, empty for none
	}{
		{"/nix/store/" + hello, ""},
		{"/nix/store/" + hash + "-..x", ""},
		{"/nix/store/" + hash + "-.x", ""},
		{"/nix/store/" + hash + "-a+b?c=d._-E", ""},
		{"/nix/store/" + hash + "-" + strings.Repeat("n", 211), ""},
		{"/nix/store/" + hash + "-" + strings.Repeat("n", 212), "longer than 211"},
		{"/nix/store/" + hash + "-.", "starts with"},
		{"/nix/store/" + hash + "-..", "starts with"},
		{"/nix/store/" + hash + "-..-x", "starts with"},
		{"/nix/store/" + hash + "-", "not a store path"},
		{"/nix/store/" + hash, "not a store path"},
		{"/nix/store/" + hello + "/bin", "bad character"},
		{"/nix/store/" + hash + "-a b", "bad character"},
		{"/nix/store/" + hash + "-a\nb", "bad character"},
		{"/nix/store/e" + hash[1:] + "-x", "bad character 'e' in its hash"},
		{"/nix/store/../../etc/passwd", "not a store path"},
		{"/gnu/store/" + hello, "not in the store"},
		{"", "not in the store"},
	}
	for _, tt := range tests {
		p, err := ParseStorePath("/nix/store", tt.in)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%q: %v", tt.in, err)
		case tt.want == "" && string(p) != tt.in:
			t.Errorf("%q became %q", tt.in, p)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%q: got %v, want an error with %q", tt.in, err, tt.want)
		}
	}
	p := StorePath("/nix/store/" + hello)
	if p.HashPart() != hash || p.Name() != "hello-2.12.1" || p.Dir() != "/nix/store" || p.Base() != hello {
		t.Errorf("parts of %s: %q %q %q %q", p, p.HashPart(), p.Name(), p.Dir(), p.Base())
	}
}

func TestParseHash(t *testing.T) {
	want := Hash(sha256.Sum256([]byte("x")))
	for _, form := range []string{
		want.String(),
		"sha256:" + want.Hex(),
		"sha256-LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=",
	} {
		h, err := ParseHash(form)
		if err != nil {
			t.Errorf("%s: %v", form, err)
		} else if h != want {
			t.Errorf("%s: got %s", form, h)
		}
	}
	for _, bad := range []string{"", "sha256:", "sha512:" + want.Hex(), "sha256:" + want.Hex()[2:], "sha256:" + strings.Repeat("g", 64), "sha256-AAAA", "md5:" + want.Hex(), want.Hex()} {
		if _, err := ParseHash(bad); err == nil {
			t.Errorf("%q was taken for a hash", bad)
		}
	}
}

func testInfo(t testing.TB) NARInfo {
	t.Helper()
	key, err := GenerateKey("test-1")
	if err != nil {
		t.Fatal(err)
	}
	n := NARInfo{
		PathInfo: PathInfo{
			Path: "/nix/store/" + hello, NARHash: sha256.Sum256([]byte("nar")), NARSize: 226560,
			References: []StorePath{"/nix/store/" + hello, "/nix/store/xg75pc4yyfd5n2fimhb98ps910q5lm5n-glibc-2.40"},
			Deriver:    "/nix/store/" + hello + ".drv",
		},
		URL: "nar/x.nar.zst", Compression: "zstd", FileHash: sha256.Sum256([]byte("file")), FileSize: 5000,
	}
	n.PathInfo = n.Sign(key)
	return n
}

func TestNARInfoRoundTrip(t *testing.T) {
	n := testInfo(t)
	for _, change := range []func(*NARInfo){
		func(*NARInfo) {},
		func(n *NARInfo) { n.References = nil },
		func(n *NARInfo) { n.Deriver = "" },
		func(n *NARInfo) { n.FileHash, n.FileSize = Hash{}, 0 },
		func(n *NARInfo) { n.CA = "fixed:r:sha256:" + n.NARHash.Base32() },
		func(n *NARInfo) { n.Signatures = nil },
	} {
		n := n
		change(&n)
		data := n.Marshal()
		back, err := ParseNARInfo("/nix/store", data)
		if err != nil {
			t.Fatalf("%v:\n%s", err, data)
		}
		if diff := cmp.Diff(n, back); diff != "" {
			t.Errorf("%s\n%s", diff, data)
		}
		if !bytes.Contains(data, []byte("References: ")) {
			t.Errorf("an empty list of references lost its space:\n%q", data)
		}
	}
}

func TestParseNARInfoRefuses(t *testing.T) {
	good := string(testInfo(t).Marshal())
	replace := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("no %q in\n%s", old, good)
		}
		return strings.Replace(good, old, new, 1)
	}
	for name, text := range map[string]string{
		"empty":              "",
		"no NarHash":         replace("NarHash: ", "NarHush: "),
		"no colon":           good + "garbage\n",
		"twice":              good + "URL: other\n",
		"control character":  replace("nar/x.nar.zst", "nar/\x01x"),
		"size 0":             replace("NarSize: 226560", "NarSize: 0"),
		"negative size":      replace("NarSize: 226560", "NarSize: -1"),
		"huge size":          replace("NarSize: 226560", "NarSize: 99999999999999999999"),
		"empty URL":          replace("URL: nar/x.nar.zst", "URL: "),
		"other store":        replace("StorePath: /nix/store", "StorePath: /gnu/store"),
		"path as reference":  replace("References: ", "References: /nix/store/"),
		"traversal in paths": replace("StorePath: /nix/store/"+hello, "StorePath: /nix/store/../../etc"),
		"too large":          good + strings.Repeat("X: y\n", MaxNARInfoSize/5),
	} {
		if _, err := ParseNARInfo("/nix/store", []byte(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	n, err := ParseNARInfo("/nix/store", []byte(replace("Compression: zstd\n", "Future: field\n")))
	if err != nil || n.Compression != "bzip2" {
		t.Errorf("without Compression: %q, %v; Nix takes it as bzip2", n.Compression, err)
	}
}

func FuzzParseNARInfo(f *testing.F) {
	f.Add(testInfo(f).Marshal())
	f.Add([]byte("StorePath: x\nURL: y\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := ParseNARInfo("/nix/store", data)
		if err != nil {
			return
		}
		again, err := ParseNARInfo("/nix/store", n.Marshal())
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%q", err, n.Marshal())
		}
		if !bytes.Equal(again.Marshal(), n.Marshal()) {
			t.Fatalf("not stable:\n%q\n%q", n.Marshal(), again.Marshal())
		}
	})
}

func TestSignatures(t *testing.T) {
	key, err := GenerateKey("a-1")
	if err != nil {
		t.Fatal(err)
	}
	other, _ := GenerateKey("a-1") // same name, other key
	n := testInfo(t)
	signed := n.Sign(key)
	if _, ok := signed.SignedBy([]PublicKey{other.Public(), key.Public()}); !ok {
		t.Error("a good signature does not verify")
	}
	if _, ok := signed.SignedBy([]PublicKey{other.Public()}); ok {
		t.Error("a signature verifies by its key's name alone")
	}
	if len(signed.Signatures) != len(n.Signatures)+1 {
		t.Errorf("signing keeps other signatures: have %d", len(signed.Signatures))
	}
	if again := signed.Sign(key); len(again.Signatures) != len(signed.Signatures) {
		t.Errorf("signing again adds a second signature of the same name")
	}
	for what, change := range map[string]func(*PathInfo){
		"path":       func(p *PathInfo) { p.Path = "/nix/store/" + hello + "x" },
		"hash":       func(p *PathInfo) { p.NARHash[0]++ },
		"size":       func(p *PathInfo) { p.NARSize++ },
		"references": func(p *PathInfo) { p.References = p.References[:1] },
	} {
		changed := signed
		change(&changed)
		if _, ok := changed.SignedBy([]PublicKey{key.Public()}); ok {
			t.Errorf("a signature verifies with another %s", what)
		}
	}
}

func TestSecretKeys(t *testing.T) {
	key, err := GenerateKey("fleet-1")
	if err != nil {
		t.Fatal(err)
	}
	text := key.Marshal()
	back, err := ParseSecretKey(text + "\n")
	if err != nil || back.Marshal() != text {
		t.Fatalf("round trip: %v", err)
	}
	secret := strings.TrimPrefix(text, "fleet-1:")
	for _, shown := range []string{fmt.Sprint(key), fmt.Sprintf("%+v", key), fmt.Sprintf("%#v", key), fmt.Sprintf("%s", key), fmt.Sprintf("%x", key)} {
		if shown != "secret key fleet-1" {
			t.Errorf("formatting shows more than the name: %q", shown)
		}
	}
	for name, bad := range map[string]string{
		"empty": "", "no colon": secret, "no name": ":" + secret, "public key": key.Public().String(),
		"not base64": "fleet-1:!!!", "halves mixed": "fleet-1:" + secret[:10] + "AAAA" + secret[14:], "space in name": "a b:" + secret,
	} {
		_, err := ParseSecretKey(bad)
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if len(secret) > 0 && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
	}
}

func TestTopoSort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 30).Draw(t, "n")
		path := func(i int) StorePath {
			return StorePath(fmt.Sprintf("/nix/store/%s-p%d", EncodeBase32(bytes.Repeat([]byte{byte(i * 7)}, 20)), i))
		}
		infos := make([]PathInfo, n)
		for i := range infos {
			infos[i].Path = path(i)
			infos[i].References = append(infos[i].References, path(i), "/nix/store/"+hello) // itself, and outside
			for j := range i {
				if rapid.Bool().Draw(t, "refers") {
					infos[i].References = append(infos[i].References, path(j))
				}
			}
		}
		perm := rapid.Permutation(infos).Draw(t, "order")
		sorted, err := TopoSort(perm)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[StorePath]bool{}
		for _, p := range sorted {
			for _, r := range p.References {
				inSet := slices.ContainsFunc(infos, func(q PathInfo) bool { return q.Path == r })
				if inSet && r != p.Path && !seen[r] {
					t.Fatalf("%s comes before %s, which it refers to", p.Path, r)
				}
			}
			seen[p.Path] = true
		}
		if len(seen) != n {
			t.Fatalf("%d of %d paths", len(seen), n)
		}
		again, _ := TopoSort(infos)
		if diff := cmp.Diff(sorted, again); diff != "" {
			t.Fatalf("the order depends on the input's: %s", diff)
		}
	})
	a, b := StorePath("/nix/store/"+hello), StorePath("/nix/store/"+hello+"x")
	if _, err := TopoSort([]PathInfo{{Path: a, References: []StorePath{b}}, {Path: b, References: []StorePath{a}}}); err == nil {
		t.Error("a cycle was sorted")
	}
}
