package s3_test

import (
	"strings"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/blob/s3"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParseAddress(t *testing.T) {
	for address, want := range map[string]s3.Config{
		"s3://cache":                                        {Bucket: "cache"},
		"s3://cache/":                                       {Bucket: "cache"},
		"s3://my.cache-1/a/b+c%20d/":                        {Bucket: "my.cache-1", Prefix: "a/b+c d"},
		"s3://cache?region=eu-west-1&profile=ci":            {Bucket: "cache", Region: "eu-west-1", Profile: "ci"},
		"s3://cache?profile=default":                        {Bucket: "cache"},
		"s3://cache?endpoint=s3.example.org":                {Bucket: "cache", Endpoint: "s3.example.org"},
		"s3://cache?endpoint=[::1]:9000&scheme=http":        {Bucket: "cache", Endpoint: "[::1]:9000", HTTP: true},
		"s3://cache?endpoint=http://localhost:9000/":        {Bucket: "cache", Endpoint: "localhost:9000", HTTP: true},
		"s3://cache?endpoint=https%3A%2F%2Fa.b&scheme=http": {Bucket: "cache", Endpoint: "a.b"},
		"s3://cache?addressing-style=virtual":               {Bucket: "cache", Addressing: "virtual"},
		"s3://cache?public=true":                            {Bucket: "cache", Anonymous: true},
		"s3://cache?anonymous=1&public=false":               {Bucket: "cache", Anonymous: true},
		"s3://cache?storage-class=STANDARD_IA":              {Bucket: "cache", StorageClass: "STANDARD_IA"},
		"s3://cache?multipart-upload=true&buffer-size=5":    {Bucket: "cache"},
	} {
		got, nix, err := s3.ParseAddress(address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if len(nix) != 0 {
			t.Errorf("%s: handed on %v", address, nix)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(s3.Config{}, "PartSize", "Buffer"), cmpopts.IgnoreUnexported(s3.Config{})); diff != "" {
			t.Errorf("%s: %s", address, diff)
		}
		if got.PartSize != 8<<20 || got.Buffer != 64<<20 {
			t.Errorf("%s: parts of %d, buffer of %d", address, got.PartSize, got.Buffer)
		}
	}
	_, nix, err := s3.ParseAddress("s3://cache?compression=zstd&region=x&secret-key=/k&want-mass-query=true")
	if diff := cmp.Diff(map[string]string{"compression": "zstd", "secret-key": "/k", "want-mass-query": "true"}, nix); diff != "" || err != nil {
		t.Errorf("Nix's parameters: %v %s", err, diff)
	}
}

func TestBadAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"":                               "does not start with s3://",
		"https://cache":                  "does not start with s3://",
		"s3:cache":                       "does not start with s3://",
		"s3://":                          "no bucket's name",
		"s3:///prefix":                   "no bucket's name",
		"s3://ab":                        "no bucket's name",
		"s3://localhost:9000/cache":      "?endpoint=",
		"s3://127.0.0.1/cache":           "no bucket's name",
		"s3://a..b":                      "no bucket's name",
		"s3://id:s3cr3t-of-mine@cache":   "credentials do not belong in an address",
		"s3://cache/../etc":              "starts with a dot",
		"s3://cache/a//b":                "empty",
		"s3://cache/%zz":                 "its path",
		"s3://cache/a#b":                 "fragment",
		"s3://cache?secret-keys-file=x":  `did you mean "secret-keys"?`,
		"s3://cache?secretkey=x":         `did you mean "secret-key"?`,
		"s3://cache?endpiont=x":          `did you mean "endpoint"?`,
		"s3://cache?Region=x":            `did you mean "region"?`,
		"s3://cache?zzzzzzzzzzzzzz=x":    "known are",
		"s3://cache?region=a&region=b":   "more than once",
		"s3://cache?%zz":                 "cannot be read",
		"s3://cache?scheme=ftp":          "want https or http",
		"s3://cache?endpoint=ftp://x":    "https or http URL",
		"s3://cache?endpoint=x/y":        "without a path",
		"s3://cache?endpoint=http://":    "want HOST",
		"s3://cache?endpoint=a:b@c":      "credentials do not belong",
		"s3://cache?addressing-style=up": "want auto, path or virtual",
		"s3://cache?public=perhaps":      "want true or false",
	} {
		_, _, err := s3.ParseAddress(address)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", address, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: the message has the secret", address)
		}
	}
}

func TestConfigString(t *testing.T) {
	for address, want := range map[string]string{
		"s3://cache/a?profile=x&region=y":        "s3://cache/a",
		"s3://cache?endpoint=h:1&scheme=http":    "s3://cache?endpoint=http://h:1",
		"s3://cache?endpoint=h&secret-key=/file": "s3://cache?endpoint=h",
	} {
		c, _, err := s3.ParseAddress(address)
		if err != nil || c.String() != want {
			t.Errorf("%s: %s, %v", address, c, err)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	f.Add("s3://cache/prefix?endpoint=http://localhost:9000&region=eu&profile=p")
	f.Fuzz(func(t *testing.T, address string) {
		c, _, err := s3.ParseAddress(address)
		if err != nil {
			return
		}
		again, _, err := s3.ParseAddress(strings.ReplaceAll("s3://"+c.Bucket+"?endpoint="+c.Endpoint, " ", "%20"))
		if err != nil || again.Bucket != c.Bucket {
			t.Fatalf("%q became %q, which is refused: %v", address, c, err)
		}
	})
}
