package nix

import "fmt"

// alphabet is Nix's base-32: digits and lower case letters without e, o, t, u.
const alphabet = "0123456789abcdfghijklmnpqrsvwxyz"

var alphabetIndex = func() (t [256]int8) {
	for i := range t {
		t[i] = -1
	}
	for i := range len(alphabet) {
		t[alphabet[i]] = int8(i)
	}
	return t
}()

// EncodeBase32 returns src in Nix's base-32, which is least significant
// digit last over the little-endian number that src spells.
func EncodeBase32(src []byte) string {
	n := (len(src)*8 + 4) / 5
	out := make([]byte, n)
	for i := range n {
		bit := (n - 1 - i) * 5
		b, shift := bit/8, bit%8
		v := src[b] >> shift
		if b+1 < len(src) {
			v |= src[b+1] << (8 - shift)
		}
		out[i] = alphabet[v&31]
	}
	return string(out)
}

// DecodeBase32 is the inverse of EncodeBase32. It refuses characters outside
// the alphabet and digits that carry bits beyond the last byte.
func DecodeBase32(s string) ([]byte, error) {
	out := make([]byte, len(s)*5/8)
	for i := range len(s) {
		v := alphabetIndex[s[i]]
		if v < 0 {
			return nil, fmt.Errorf("%q is not Nix base-32: bad character %q", clip(s), s[i])
		}
		bit := (len(s) - 1 - i) * 5
		b, shift := bit/8, bit%8
		wide := uint16(v) << shift
		if b < len(out) {
			out[b] |= byte(wide)
		} else if byte(wide) != 0 {
			return nil, fmt.Errorf("%q is not Nix base-32: excess bits", clip(s))
		}
		if hi := byte(wide >> 8); hi != 0 {
			if b+1 >= len(out) {
				return nil, fmt.Errorf("%q is not Nix base-32: excess bits", clip(s))
			}
			out[b+1] |= hi
		}
	}
	return out, nil
}

// clip shortens text from outside for an error message.
func clip(s string) string {
	const limit = 80
	if len(s) > limit {
		return s[:limit] + "..."
	}
	return s
}
