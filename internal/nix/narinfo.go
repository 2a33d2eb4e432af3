package nix

import (
	"bytes"
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// MaxNARInfoSize bounds the narinfos that ParseNARInfo accepts. A path with
// 10,000 references needs less than half of it.
const MaxNARInfoSize = 1 << 20

// NARInfo is a binary cache's record of a store path: its info and where and
// how its NAR is stored.
type NARInfo struct {
	PathInfo
	URL         string // of the NAR, relative to the cache or absolute
	Compression string // "none", "zstd", "xz", ...
	FileHash    Hash   // of the compressed NAR; zero: not stated
	FileSize    int64  // bytes of the compressed NAR; 0: not stated
}

// ParseNARInfo reads a narinfo of a cache whose store directory is storeDir.
// It wants what Nix wants (StorePath, URL, NarHash, NarSize) and is stricter
// where Nix is careless: no field twice but Sig, no control characters.
// Unknown fields are ignored.
func ParseNARInfo(storeDir string, data []byte) (NARInfo, error) {
	var n NARInfo
	if len(data) > MaxNARInfoSize {
		return n, fmt.Errorf("narinfo is larger than %d bytes", MaxNARInfoSize)
	}
	// Nix reads a missing Compression as bzip2.
	n.Compression = "bzip2"
	seen := make(map[string]bool, 12)
	for number := 1; len(data) > 0; number++ {
		var line []byte
		line, data, _ = bytes.Cut(data, []byte{'\n'})
		if len(line) == 0 {
			continue
		}
		key, value, ok := strings.Cut(string(line), ":")
		if !ok {
			return n, fmt.Errorf("narinfo line %d: no colon in %q", number, clip(string(line)))
		}
		value = strings.TrimPrefix(value, " ")
		if i := strings.IndexFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }); i >= 0 {
			return n, fmt.Errorf("narinfo line %d: control character in %s", number, clip(key))
		}
		if seen[key] && key != "Sig" {
			return n, fmt.Errorf("narinfo line %d: %s appears twice", number, clip(key))
		}
		seen[key] = true
		if err := n.setField(storeDir, key, value); err != nil {
			return n, fmt.Errorf("narinfo line %d: %s: %v", number, clip(key), err)
		}
	}
	for _, key := range []string{"StorePath", "URL", "NarHash", "NarSize"} {
		if !seen[key] {
			return n, fmt.Errorf("narinfo has no %s", key)
		}
	}
	sortPaths(n.References)
	return n, nil
}

func (n *NARInfo) setField(storeDir, key, value string) (err error) {
	switch key {
	case "StorePath":
		n.Path, err = ParseStorePath(storeDir, value)
	case "URL":
		if value == "" {
			return fmt.Errorf("it is empty")
		}
		n.URL = value
	case "Compression":
		if value != "" {
			n.Compression = value
		}
	case "FileHash":
		n.FileHash, err = ParseHash(value)
	case "FileSize":
		n.FileSize, err = parseSize(value)
	case "NarHash":
		n.NARHash, err = ParseHash(value)
	case "NarSize":
		n.NARSize, err = parseSize(value)
		if err == nil && n.NARSize == 0 {
			return fmt.Errorf("it is 0, and no NAR is empty")
		}
	case "References":
		for _, base := range strings.Fields(value) {
			ref, err := BaseStorePath(storeDir, base)
			if err != nil {
				return err
			}
			n.References = append(n.References, ref)
		}
	case "Deriver":
		if value != "" && value != "unknown-deriver" {
			n.Deriver, err = BaseStorePath(storeDir, value)
		}
	case "Sig":
		// One that cannot be read proves nothing and harms nobody: Nix, too,
		// goes on to the next.
		if sig, err := ParseSignature(value); err == nil {
			n.Signatures = append(n.Signatures, sig)
		}
	case "CA":
		n.CA = value
	}
	return err
}

func parseSize(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%q is not a size in bytes", clip(s))
	}
	return int64(n), nil
}

// Marshal writes the narinfo as Nix does, fields in Nix's order. The space
// after "References:" stays when there are none: Nix's parser relies on it.
func (n NARInfo) Marshal() []byte {
	var b bytes.Buffer
	field := func(key, value string) { b.WriteString(key + ": " + value + "\n") }
	field("StorePath", string(n.Path))
	field("URL", n.URL)
	field("Compression", n.Compression)
	if !n.FileHash.IsZero() {
		field("FileHash", n.FileHash.String())
	}
	if n.FileSize > 0 {
		field("FileSize", strconv.FormatInt(n.FileSize, 10))
	}
	field("NarHash", n.NARHash.String())
	field("NarSize", strconv.FormatInt(n.NARSize, 10))
	refs := make([]string, len(n.References))
	for i, r := range n.References {
		refs[i] = r.Base()
	}
	sort.Strings(refs)
	field("References", strings.Join(refs, " "))
	if n.Deriver != "" {
		field("Deriver", n.Deriver.Base())
	}
	for _, s := range n.Signatures {
		field("Sig", s.String())
	}
	if n.CA != "" {
		field("CA", n.CA)
	}
	return b.Bytes()
}

func sortPaths(ps []StorePath) {
	sort.Slice(ps, func(i, j int) bool { return ps[i] < ps[j] })
}
