package nix

import (
	"encoding/json"
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
