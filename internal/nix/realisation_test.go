package nix

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestRealisationForms(t *testing.T) {
	key, err := GenerateKey("example.org-1")
	if err != nil {
		t.Fatal(err)
	}
	hash := "sha256:" + strings.Repeat("0f", 32)
	r := Realisation{
		DrvHash: hash, Drv: "/nix/store/q3lv9bi7r4di3kxdjhy7kvwgvpmanfza-foo.drv", Output: "out",
		Path:      "/nix/store/g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-foo",
		Dependent: map[string]StorePath{hash + "!dev": "/nix/store/g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-dep"},
	}
	// As Nix 2.26 wrote it, but for the paths.
	unsigned := `{"dependentRealisations":{"` + hash + `!dev":"g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-dep"},"id":"` + hash + `!out","outPath":"g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-foo","signatures":[]}`
	if got := string(r.Marshal()); got != unsigned {
		t.Errorf("got  %s\nwant %s", got, unsigned)
	}
	if got, want := string(r.MarshalTrace()), `{"outPath":"g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-foo","signatures":[]}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// Twice by one key is one signature, over what the manual says is signed.
	r = r.Sign(key).Sign(key)
	if len(r.Signatures) != 1 || len(r.TraceSignatures) != 1 {
		t.Fatalf("signatures: %v, %v", r.Signatures, r.TraceSignatures)
	}
	if text := strings.Replace(unsigned, `,"signatures":[]`, "", 1); !key.Public().Verify(text, r.Signatures[0]) {
		t.Errorf("the signature is not of %s", text)
	}
	text := `{"key":{"drvPath":"q3lv9bi7r4di3kxdjhy7kvwgvpmanfza-foo.drv","outputName":"out"},"value":{"outPath":"g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-foo"}}`
	if !key.Public().Verify(text, r.TraceSignatures[0]) {
		t.Errorf("the signature is not of %s", text)
	}
	var v struct {
		Signatures []struct{ KeyName, Sig string }
	}
	if err := json.Unmarshal(r.MarshalTrace(), &v); err != nil || len(v.Signatures) != 1 || v.Signatures[0].KeyName != "example.org-1" {
		t.Errorf("%s: %v", r.MarshalTrace(), err)
	}
}

func TestRealisationsAreReadAgain(t *testing.T) {
	key, err := GenerateKey("example.org-1")
	if err != nil {
		t.Fatal(err)
	}
	other, err := GenerateKey("example.org-1")
	if err != nil {
		t.Fatal(err)
	}
	hash := "sha256:" + strings.Repeat("0f", 32)
	r := Realisation{
		DrvHash: hash, Output: "out", Path: "/nix/store/g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-foo",
		Dependent: map[string]StorePath{hash + "!dev": "/nix/store/g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-dep"},
	}.Sign(key)
	got, err := ParseRealisation(DefaultStoreDir, r.Marshal())
	if err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("%+v, %v; want %+v", got, err, r)
	}
	v := Realisation{Drv: "/nix/store/q3lv9bi7r4di3kxdjhy7kvwgvpmanfza-foo.drv", Output: "out", Path: r.Path}.Sign(key)
	gotTrace, err := ParseTrace(v.Drv, "out", v.MarshalTrace())
	if err != nil || !reflect.DeepEqual(gotTrace, v) {
		t.Errorf("%+v, %v; want %+v", gotTrace, err, v)
	}
	for _, r := range []Realisation{got, gotTrace} {
		if k, ok := r.SignedBy([]PublicKey{other.Public(), key.Public()}); !ok || k != key.Public() {
			t.Errorf("%+v: signed by %v, %v", r, k, ok)
		}
		r.Path = "/nix/store/g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-bar"
		if _, ok := r.SignedBy([]PublicKey{key.Public()}); ok {
			t.Errorf("%+v: the signature is of another path", r)
		}
	}
	good := string(r.Marshal())
	for _, bad := range []string{
		"", "{}", "[]", good + "x", strings.Replace(good, "out\"", "out\",\"more\":1", 1),
		strings.Replace(good, "0f", "0g", 1), strings.Replace(good, "-foo", "/foo", 1), strings.Replace(good, "-dep", "", 1),
		strings.Replace(good, "example.org-1:", "", 1),
	} {
		if r, err := ParseRealisation(DefaultStoreDir, []byte(bad)); err == nil {
			t.Errorf("%s was read as %+v", bad, r)
		}
	}
	if r, err := ParseTrace(v.Drv, "out", []byte(`{"outPath":"../x"}`)); err == nil {
		t.Errorf("read as %+v", r)
	}
}

func FuzzRealisation(f *testing.F) {
	f.Add([]byte(`{"dependentRealisations":{},"id":"sha256:` + strings.Repeat("0f", 32) + `!out","outPath":"g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-foo","signatures":[]}`))
	f.Add([]byte(`{"outPath":"g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-foo","signatures":[{"keyName":"k","sig":""}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := ParseRealisation(DefaultStoreDir, data); err == nil {
			again, err := ParseRealisation(DefaultStoreDir, r.Marshal())
			if err != nil || !reflect.DeepEqual(again, r) {
				t.Errorf("%+v became %+v, %v", r, again, err)
			}
		}
		drv := StorePath("/nix/store/q3lv9bi7r4di3kxdjhy7kvwgvpmanfza-foo.drv")
		if r, err := ParseTrace(drv, "out", data); err == nil {
			again, err := ParseTrace(drv, "out", r.MarshalTrace())
			if err != nil || !reflect.DeepEqual(again, r) {
				t.Errorf("%+v became %+v, %v", r, again, err)
			}
		}
	})
}

func TestRealisationNames(t *testing.T) {
	good := "sha256:" + strings.Repeat("0f", 32)
	for id, ok := range map[string]bool{
		good + "!out": true, good + "!bin-1.0": true,
		good: false, good + "!": false, good + "!a/b": false, good + "!..": false, good[:70] + "!out": false,
		"sha256:" + strings.Repeat("0", 52) + "!out": false, "!out": false, "": false,
	} {
		if err := CheckRealisationID(id); (err == nil) != ok {
			t.Errorf("%q: %v", id, err)
		}
	}
}
