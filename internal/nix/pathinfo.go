package nix

import (
	"fmt"
	"sort"
	"strings"
)

// PathInfo is what Nix knows of a store object besides its contents.
type PathInfo struct {
	Path       StorePath
	NARHash    Hash
	NARSize    int64       // bytes, never 0
	References []StorePath // sorted; may hold Path itself
	Deriver    StorePath   // empty: unknown
	Signatures []Signature
	CA         string // content address, empty: input-addressed
}

// Fingerprint is the text that a signature of the path signs. It covers the
// path, its NAR and its references, and neither deriver nor content address.
func (p PathInfo) Fingerprint() string {
	refs := make([]string, len(p.References))
	for i, r := range p.References {
		refs[i] = string(r)
	}
	sort.Strings(refs)
	return fmt.Sprintf("1;%s;%s;%d;%s", p.Path, p.NARHash, p.NARSize, strings.Join(refs, ","))
}

// SignedBy returns the first of the keys with which a signature of the path
// verifies. A signature that merely carries a key's name proves nothing.
func (p PathInfo) SignedBy(keys []PublicKey) (PublicKey, bool) {
	if len(keys) == 0 || len(p.Signatures) == 0 {
		return PublicKey{}, false
	}
	fingerprint := p.Fingerprint()
	for _, k := range keys {
		if k.verifiesAny(fingerprint, p.Signatures) {
			return k, true
		}
	}
	return PublicKey{}, false
}

// Sign returns the path's info with the key's signature added. An earlier
// signature under the same name is replaced: it is of another content or key.
func (p PathInfo) Sign(k SecretKey) PathInfo {
	p.Signatures = replaceSignature(p.Signatures, k.Sign(p.Fingerprint()))
	return p
}

// TopoSort orders infos references first: a path comes after every path of
// the slice that it refers to, and otherwise by path. References to
// paths outside the slice and to itself do not matter. Nix's stores hold no
// cycles; input that has one is an error.
func TopoSort(infos []PathInfo) ([]PathInfo, error) {
	infos = append([]PathInfo(nil), infos...)
	sort.Slice(infos, func(i, j int) bool { return infos[i].Path < infos[j].Path })
	index := make(map[StorePath]int, len(infos))
	for i, p := range infos {
		index[p.Path] = i
	}
	const (
		unseen = iota
		open
		done
	)
	state := make([]byte, len(infos))
	out := make([]PathInfo, 0, len(infos))
	// An explicit stack: closures are deep enough to make recursion costly.
	type frame struct{ node, next int }
	var stack []frame
	for start := range infos {
		if state[start] != unseen {
			continue
		}
		state[start] = open
		stack = append(stack[:0], frame{node: start})
		for len(stack) > 0 {
			f := &stack[len(stack)-1]
			refs := infos[f.node].References
			if f.next == len(refs) {
				state[f.node] = done
				out = append(out, infos[f.node])
				stack = stack[:len(stack)-1]
				continue
			}
			ref, ok := index[refs[f.next]]
			f.next++
			if !ok || ref == f.node {
				continue
			}
			switch state[ref] {
			case unseen:
				state[ref] = open
				stack = append(stack, frame{node: ref})
			case open:
				return nil, fmt.Errorf("references form a cycle through %s", infos[ref].Path)
			}
		}
	}
	return out, nil
}
