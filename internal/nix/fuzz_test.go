package nix

import (
	"strings"
	"testing"
)

func FuzzParseStorePath(f *testing.F) {
	f.Add("/nix/store/7rjqb838snvvxcmpvck1smfxhkwzqal5-hello-2.12.1")
	f.Add("/nix/store/7rjqb838snvvxcmpvck1smfxhkwzqal5-..-x")
	f.Add("/nix/store/7rjqb838snvvxcmpvck1smfxhkwzqal5-a/../b")
	f.Add("/nix/store/7rjqb838snvvxcmpvck1smfxhkwzqal5-")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseStorePath(DefaultStoreDir, text)
		if err != nil {
			return
		}
		// Such a name is made into file names and object names.
		base := strings.TrimPrefix(text, DefaultStoreDir+"/")
		if string(p) != text || p.Base() != base || len(p.HashPart()) != hashLen || strings.ContainsAny(base, "/\\\x00\n ") || strings.HasPrefix(base, ".") {
			t.Fatalf("%q was accepted as %q", text, p)
		}
	})
}

func FuzzParseHash(f *testing.F) {
	f.Add("sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73")
	f.Add("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
	f.Add("sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")
	f.Add("sha256:zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := ParseHash(text)
		if err != nil {
			return
		}
		again, err := ParseHash(h.String())
		if err != nil || again != h {
			t.Fatalf("%q is %s, which reads as %s, %v", text, h, again, err)
		}
	})
}

func FuzzKeys(f *testing.F) {
	secret, err := GenerateKey("cache-1")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(secret.Marshal())
	f.Add(secret.Public().String())
	f.Add(secret.Sign("1;").String())
	f.Add("cache-1:AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		if k, err := ParseSecretKey(text); err == nil {
			if again, err := ParseSecretKey(k.Marshal()); err != nil || again.Public() != k.Public() {
				t.Fatalf("%q does not read as itself: %v", text, err)
			}
			if !k.Public().Verify("1;", k.Sign("1;")) {
				t.Fatalf("%q makes signatures that do not hold", text)
			}
		}
		if k, err := ParsePublicKey(text); err == nil {
			if again, err := ParsePublicKey(k.String()); err != nil || again != k {
				t.Fatalf("%q does not read as itself: %v", text, err)
			}
		}
		if s, err := ParseSignature(text); err == nil {
			if again, err := ParseSignature(s.String()); err != nil || again != s {
				t.Fatalf("%q does not read as itself: %v", text, err)
			}
		}
	})
}
