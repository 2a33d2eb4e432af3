package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/attic"
	"gitlab.com/pantheros/pantheros/internal/attic/api"
	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/blob/dir"
	"gitlab.com/pantheros/pantheros/internal/intake"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nix/nar"
	"gitlab.com/pantheros/pantheros/internal/token"
)

func newPath(t *testing.T, name string, refs ...nix.StorePath) (nix.PathInfo, []byte) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(name), 0o644); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := nar.Dump(&b, file); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(name))
	p, err := nix.BaseStorePath(nix.DefaultStoreDir, nix.EncodeBase32(sum[:20])+"-"+name)
	if err != nil {
		t.Fatal(err)
	}
	return nix.PathInfo{Path: p, NARHash: sha256.Sum256(b.Bytes()), NARSize: int64(b.Len()), References: refs}, b.Bytes()
}

// A chain of paths comes in the wrong order, and the last thing that they wait
// for is written straight into the cache, by somebody else: all become visible
// soon, without anybody sending or asking for anything.
func TestReferencesThatComeByAnotherWay(t *testing.T) {
	root := t.TempDir()
	store, err := dir.New(root)
	if err != nil {
		t.Fatal(err)
	}
	key, err := nix.GenerateKey("api-1")
	if err != nil {
		t.Fatal(err)
	}
	visible := func(ctx context.Context, p nix.StorePath) (bool, error) {
		_, err := store.Stat(ctx, p.HashPart()+".narinfo")
		if errors.Is(err, blob.ErrNotExist) {
			return false, nil
		}
		return err == nil, err
	}
	in, err := intake.New(intake.Options{Name: "main", Store: store, Sign: []nix.SecretKey{key}, Visible: visible})
	if err != nil {
		t.Fatal(err)
	}
	everything := token.Subject{Grants: []token.Grant{{Cache: "*", Rights: token.Pull | token.Push}}}
	server := api.New(api.Options{
		Cache: "main", StoreDir: nix.DefaultStoreDir, Intake: in, Visible: visible,
		Key: func() string { return "" }, Upstream: func() []string { return nil },
		Subject: func(context.Context) token.Subject { return everything },
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		server.Watch(ctx)
	}()
	defer func() {
		cancel()
		<-ended
	}()

	base, baseNAR := newPath(t, "base")
	middle, middleNAR := newPath(t, "middle", base.Path)
	top, topNAR := newPath(t, "top", middle.Path, base.Path)
	upload := func(p nix.PathInfo, data []byte) {
		info, err := json.Marshal(attic.NewNARInfo("main", p))
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/_api/v1/upload-path", bytes.NewReader(data))
		r.Header.Set(attic.InfoHeader, string(info))
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "Uploaded") {
			t.Fatalf("upload of %s: %d %s", p.Path, w.Code, w.Body)
		}
	}
	upload(top, topNAR)
	upload(middle, middleNAR)
	for _, p := range []nix.PathInfo{top, middle} {
		if ok, err := visible(t.Context(), p.Path); err != nil || ok {
			t.Fatalf("%s is visible before what it refers to: %v", p.Path, err)
		}
	}

	other, err := dir.New(root)
	if err != nil {
		t.Fatal(err)
	}
	sink, err := binarycache.OpenSink(t.Context(), other, binarycache.SinkOptions{Name: "main", Keys: []nix.SecretKey{key}})
	if err != nil {
		t.Fatal(err)
	}
	n, err := sink.PutNAR(t.Context(), base, bytes.NewReader(baseNAR))
	if err == nil {
		err = sink.Publish(t.Context(), []nix.NARInfo{n})
	}
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		ok, err := visible(t.Context(), top.Path)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("what waited for it is not visible")
		}
	}
	if ok, err := visible(t.Context(), middle.Path); err != nil || !ok {
		t.Errorf("the path above is visible and this is not: %v", err)
	}
}
