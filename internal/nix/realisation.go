package nix

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Realisation says which path an output of a derivation turned out to be. For
// content-addressed derivations the path is not known before the build, so that
// clients which have only the derivation need it to find the path.
//
// Nix 2.4 to 2.34 name the derivation by a hash, Nix from 2.35 on by the store
// path of the resolved one, whose inputs are all known paths. Either name may
// be unknown here: it depends on which Nix wrote the store's database.
type Realisation struct {
	DrvHash string    // "sha256:" and 64 hexadecimal digits; empty: not known
	Drv     StorePath // of the resolved derivation; empty: not known
	Output  string    // "out"
	Path    StorePath
	// Dependent are the realisations that Path's references stem from, by ID.
	// Nix 2.8 and 2.26 fetch them too.
	Dependent  map[string]StorePath
	Signatures []Signature // under the name by DrvHash
	// TraceSignatures are those under the name by Drv.
	TraceSignatures []Signature
}

// ID is the name of a realisation up to Nix 2.34: the hash and the output.
func (r Realisation) ID() string { return r.DrvHash + "!" + r.Output }

// CheckRealisationID refuses what is no ID, which becomes part of an object's
// key.
func CheckRealisationID(id string) error {
	hash, output, ok := strings.Cut(id, "!")
	if _, err := ParseHash(hash); !ok || err != nil || len(hash) != len("sha256:")+64 {
		return fmt.Errorf("%q is not the ID of a derivation's output (sha256:HEX!OUTPUT)", clip(id))
	}
	return CheckOutputName(output)
}

// CheckOutputName refuses what cannot be the name of a derivation's output.
func CheckOutputName(name string) error {
	// The rules are those of a store path's name.
	if _, err := BaseStorePath(DefaultStoreDir, strings.Repeat("0", hashLen)+"-"+name); err != nil || name == "" {
		return fmt.Errorf("%q is not the name of a derivation's output", clip(name))
	}
	return nil
}

// The JSON forms. Fields are in the order of their names, and no space is
// between them: so Nix writes what it signs.
type (
	flatRealisation struct {
		Dependent  map[string]string `json:"dependentRealisations"`
		ID         string            `json:"id"`
		Path       string            `json:"outPath"`
		Signatures *[]string         `json:"signatures,omitempty"`
	}
	traceKey struct {
		Drv    string `json:"drvPath"`
		Output string `json:"outputName"`
	}
	traceValue struct {
		Path       string            `json:"outPath"`
		Signatures *[]traceSignature `json:"signatures,omitempty"`
	}
	traceSignature struct {
		KeyName string `json:"keyName"`
		Sig     string `json:"sig"`
	}
	trace struct {
		Key   traceKey   `json:"key"`
		Value traceValue `json:"value"`
	}
)

func (r Realisation) flat() flatRealisation {
	f := flatRealisation{Dependent: make(map[string]string, len(r.Dependent)), ID: r.ID(), Path: r.Path.Base()}
	for id, p := range r.Dependent {
		f.Dependent[id] = p.Base()
	}
	return f
}

// Sign returns the realisation with the key's signatures added, under each of
// its names that is known. Earlier ones of the same key name are replaced.
func (r Realisation) Sign(k SecretKey) Realisation {
	if r.DrvHash != "" {
		r.Signatures = replaceSignature(r.Signatures, k.Sign(r.fingerprint()))
	}
	if r.Drv != "" {
		r.TraceSignatures = replaceSignature(r.TraceSignatures, k.Sign(r.traceFingerprint()))
	}
	return r
}

// What is signed under the name by DrvHash, and under the one by Drv.
func (r Realisation) fingerprint() string { return compact(r.flat()) }
func (r Realisation) traceFingerprint() string {
	return compact(trace{traceKey{r.Drv.Base(), r.Output}, traceValue{Path: r.Path.Base()}})
}

// SignedBy returns the first of the keys that has signed the realisation under
// each of its names that is known.
func (r Realisation) SignedBy(keys []PublicKey) (PublicKey, bool) {
	for _, k := range keys {
		if (r.DrvHash == "" || k.verifiesAny(r.fingerprint(), r.Signatures)) && (r.Drv == "" || k.verifiesAny(r.traceFingerprint(), r.TraceSignatures)) {
			return k, true
		}
	}
	return PublicKey{}, false
}

// Marshal is the realisation as Nix 2.4 to 2.34 keep it in a binary cache, at
// realisations/<ID>.doi. DrvHash must be known.
func (r Realisation) Marshal() []byte {
	f := r.flat()
	sigs := make([]string, len(r.Signatures))
	for i, s := range r.Signatures {
		sigs[i] = s.String()
	}
	f.Signatures = &sigs
	return []byte(compact(f))
}

// MarshalTrace is the realisation as Nix from 2.35 on keeps it in a binary
// cache, at build-trace-v2/<derivation>/<output>.doi. Drv must be known.
func (r Realisation) MarshalTrace() []byte {
	v := traceValue{Path: r.Path.Base()}
	sigs := make([]traceSignature, len(r.TraceSignatures))
	for i, s := range r.TraceSignatures {
		sigs[i] = traceSignature{s.Name, base64.StdEncoding.EncodeToString(s.Data[:])}
	}
	v.Signatures = &sigs
	return []byte(compact(v))
}

// ParseRealisation reads what Marshal writes, and Nix up to 2.34. Fields that it
// does not know are an error: they may be part of what is signed.
func ParseRealisation(storeDir string, data []byte) (r Realisation, err error) {
	var f flatRealisation
	if err := strictly(data, &f); err != nil {
		return r, fmt.Errorf("it is not a realisation: %v", err)
	}
	if err := CheckRealisationID(f.ID); err != nil {
		return r, err
	}
	r.DrvHash, r.Output, _ = strings.Cut(f.ID, "!")
	if r.Path, err = BaseStorePath(storeDir, f.Path); err != nil {
		return r, err
	}
	r.Dependent = make(map[string]StorePath, len(f.Dependent))
	for id, base := range f.Dependent {
		if err := CheckRealisationID(id); err != nil {
			return r, err
		}
		if r.Dependent[id], err = BaseStorePath(storeDir, base); err != nil {
			return r, err
		}
	}
	if f.Signatures == nil {
		return r, nil
	}
	for _, text := range *f.Signatures {
		sig, err := ParseSignature(text)
		if err != nil {
			return r, err
		}
		r.Signatures = append(r.Signatures, sig)
	}
	return r, nil
}

// ParseTrace reads what MarshalTrace writes of a derivation's output, and Nix
// from 2.35 on; the object's key says which output it is.
func ParseTrace(drv StorePath, output string, data []byte) (r Realisation, err error) {
	var v traceValue
	if err := strictly(data, &v); err != nil {
		return r, fmt.Errorf("it is not a build trace: %v", err)
	}
	r.Drv, r.Output = drv, output
	if r.Path, err = BaseStorePath(drv.Dir(), v.Path); err != nil {
		return r, err
	}
	if v.Signatures == nil {
		return r, nil
	}
	for _, s := range *v.Signatures {
		sig, err := ParseSignature(s.KeyName + ":" + s.Sig)
		if err != nil {
			return r, err
		}
		r.TraceSignatures = append(r.TraceSignatures, sig)
	}
	return r, nil
}

func strictly(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more after it")
	}
	return nil
}

func compact(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // strings and maps of them: it cannot fail
	}
	return strings.TrimSuffix(b.String(), "\n")
}
