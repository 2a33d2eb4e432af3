package binarycache

import (
	"errors"
	"strings"

	"gitlab.com/pantheros/pantheros/internal/nix"
)

// Where realisations are. Keys are Nix's: up to 2.34 by a hash of the
// derivation, from 2.35 on by the store path of the resolved derivation (manual,
// "Binary cache").
const (
	realisationPrefix = "realisations/"
	tracePrefix       = "build-trace-v2/"
	realisationSuffix = ".doi"
)

func realisationKey(r nix.Realisation) string { return realisationPrefix + r.ID() + realisationSuffix }
func traceKey(r nix.Realisation) string {
	return tracePrefix + r.Drv.Base() + "/" + r.Output + realisationSuffix
}

// signable is what is in an object that carries signatures.
type signable interface {
	path() nix.StorePath
	signatures() []nix.Signature
	signedBy(keys []nix.PublicKey) bool
	sign(k nix.SecretKey) signable
	with(sigs []nix.Signature) signable
	marshal() []byte
}

// hasSignatures says whether objects of a key carry signatures.
func hasSignatures(key string) bool {
	hash, narInfo := strings.CutSuffix(key, ".narinfo")
	if narInfo {
		return !strings.Contains(hash, "/")
	}
	return strings.HasSuffix(key, realisationSuffix) && (strings.HasPrefix(key, realisationPrefix) || strings.HasPrefix(key, tracePrefix))
}

// parseSignable reads the object of a key; what is of another key is an error.
func parseSignable(storeDir, key string, data []byte) (signable, error) {
	name := strings.TrimSuffix(key, realisationSuffix)
	if name == key {
		info, err := nix.ParseNARInfo(storeDir, data)
		if err == nil && narInfoKey(info.Path) != key {
			err = errors.New("it is the narinfo of another path")
		}
		return signableInfo{info}, err
	}
	if id, ok := strings.CutPrefix(name, realisationPrefix); ok {
		r, err := nix.ParseRealisation(storeDir, data)
		if err == nil && r.ID() != id {
			err = errors.New("it is the realisation of another output")
		}
		return signableRealisation{r}, err
	}
	base, output, _ := strings.Cut(strings.TrimPrefix(name, tracePrefix), "/")
	drv, err := nix.BaseStorePath(storeDir, base)
	if err == nil {
		err = nix.CheckOutputName(output)
	}
	if err != nil {
		return nil, err
	}
	r, err := nix.ParseTrace(drv, output, data)
	return signableTrace{r}, err
}

type signableInfo struct{ nix.NARInfo }

func (s signableInfo) path() nix.StorePath                { return s.Path }
func (s signableInfo) signatures() []nix.Signature        { return s.Signatures }
func (s signableInfo) signedBy(keys []nix.PublicKey) bool { _, ok := s.SignedBy(keys); return ok }
func (s signableInfo) sign(k nix.SecretKey) signable      { s.PathInfo = s.Sign(k); return s }
func (s signableInfo) with(sigs []nix.Signature) signable { s.Signatures = sigs; return s }
func (s signableInfo) marshal() []byte                    { return s.Marshal() }

type signableRealisation struct{ nix.Realisation }

func (s signableRealisation) path() nix.StorePath         { return s.Path }
func (s signableRealisation) signatures() []nix.Signature { return s.Signatures }
func (s signableRealisation) signedBy(keys []nix.PublicKey) bool {
	_, ok := s.SignedBy(keys)
	return ok
}
func (s signableRealisation) sign(k nix.SecretKey) signable {
	return signableRealisation{s.Sign(k)}
}
func (s signableRealisation) with(sigs []nix.Signature) signable { s.Signatures = sigs; return s }
func (s signableRealisation) marshal() []byte                    { return s.Marshal() }

type signableTrace struct{ nix.Realisation }

func (s signableTrace) path() nix.StorePath                { return s.Path }
func (s signableTrace) signatures() []nix.Signature        { return s.TraceSignatures }
func (s signableTrace) signedBy(keys []nix.PublicKey) bool { _, ok := s.SignedBy(keys); return ok }
func (s signableTrace) sign(k nix.SecretKey) signable      { return signableTrace{s.Sign(k)} }
func (s signableTrace) with(sigs []nix.Signature) signable { s.TraceSignatures = sigs; return s }
func (s signableTrace) marshal() []byte                    { return s.MarshalTrace() }
