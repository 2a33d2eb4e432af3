package nixstore

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const helloPath = "/nix/store/7rjqb838snvvxcmpvck1smfxhkwzqal5-hello-2.12.1"

// The forms of `nix path-info --json` that Nix 2.8, 2.26 and 2.34 print.
func TestParsePathInfoForms(t *testing.T) {
	const hash = "sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73"
	forms := map[string]string{
		"2.8": `[{"deriver":"/nix/store/dx2bkr5nvmz4pcjhpgv5zd31cfk0xsww-hello-2.12.1.drv","narHash":"` + hash + `","narSize":226560,
			"path":"` + helloPath + `","references":["` + helloPath + `"],"registrationTime":1,"valid":true},
			{"path":"/nix/store/xg75pc4yyfd5n2fimhb98ps910q5lm5n-gone","valid":false}]`,
		"2.26": `{"` + helloPath + `":{"ca":null,"deriver":"/nix/store/dx2bkr5nvmz4pcjhpgv5zd31cfk0xsww-hello-2.12.1.drv",
			"narHash":"sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=","narSize":226560,"references":["` + helloPath + `"],"registrationTime":1,"signatures":[],"ultimate":false},
			"/nix/store/xg75pc4yyfd5n2fimhb98ps910q5lm5n-gone":null}`,
		"2.34, format 2": `{"version":2,"storeDir":"/nix/store","info":{"7rjqb838snvvxcmpvck1smfxhkwzqal5-hello-2.12.1":{"ca":null,
			"deriver":"dx2bkr5nvmz4pcjhpgv5zd31cfk0xsww-hello-2.12.1.drv","narHash":"sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
			"narSize":226560,"references":["7rjqb838snvvxcmpvck1smfxhkwzqal5-hello-2.12.1"],"signatures":[]}}}`,
	}
	want, err := parsePathInfo([]byte(forms["2.8"]), "/nix/store")
	if err != nil || len(want) != 1 || want[0].Deriver == "" || len(want[0].References) != 1 {
		t.Fatalf("2.8: %+v, %v", want, err)
	}
	for name, text := range forms {
		got, err := parsePathInfo([]byte(text), "/nix/store")
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s differs from 2.8: %s", name, diff)
		}
	}
}

func FuzzParsePathInfo(f *testing.F) {
	f.Add([]byte(`[{"path":"` + helloPath + `","narHash":"sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73","narSize":1,"references":[]}]`))
	f.Add([]byte(`{"info":{"a":null}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		infos, err := parsePathInfo(data, "/nix/store")
		if err != nil {
			return
		}
		for _, p := range infos {
			if p.NARSize <= 0 || p.Path.HashPart() == "" {
				t.Fatalf("accepted %+v", p)
			}
		}
	})
}
