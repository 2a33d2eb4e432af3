package main

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nixtest"
	"gitlab.com/pantheros/pantheros/internal/s3test"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// Killed in the middle of a large NAR, a push leaves parts that the next push
// does not send again. A stock client reads what came of it.
func TestKilledUploadGoesOn(t *testing.T) {
	env := nixtest.New(t)
	file := filepath.Join(t.TempDir(), "large")
	data := make([]byte, 160<<20)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(data) // does not compress: as many bytes go up
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	const killAt = 130 << 20
	path := env.AddTree(t, file)
	secret, err := nix.GenerateKey("resume-1")
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(secret.Marshal()), 0o600); err != nil {
		t.Fatal(err)
	}
	s3test.Each(t, func(t *testing.T, server *s3test.Server) {
		home := os.Getenv("HOME")
		server.Environ(t)
		t.Setenv("HOME", home)
		bucket := server.Bucket(t)
		server.Allow(t, bucket, "s3:GetObject")
		proxy := s3test.NewProxy(t, server.Addr)
		proxy.Throttle(40 << 20)
		push := func() *exec.Cmd {
			cmd := exec.Command("pcache", "push", "--json", "--secret-key-file", key, "s3://"+bucket+"?scheme=http&endpoint="+proxy.Addr, path)
			cmd.Stderr = os.Stderr
			return cmd
		}
		killed := push()
		if err := killed.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Minute); proxy.Sent() < killAt; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("only %d bytes went up in a minute", proxy.Sent())
			}
		}
		if err := killed.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := killed.Wait(); err == nil {
			t.Fatal("the push ended before it was killed")
		}
		first := proxy.Sent()
		if n := server.Uploads(t, bucket); n != 1 {
			t.Fatalf("%d uploads were left, want 1", n)
		}
		out, err := push().Output()
		if err != nil {
			t.Fatal(err)
		}
		second := proxy.Sent() - first
		t.Logf("%d MiB to send: %d MiB went up before the kill, %d MiB after it", len(data)>>20, first>>20, second>>20)
		// Parts that were on their way are lost: as many bytes as an upload
		// may have in memory.
		const underWay, slack = 64 << 20, 4 << 20
		if second > int64(len(data))-killAt+underWay+slack {
			t.Errorf("the second push sent %d of %d bytes", second, len(data))
		}
		var p report.Push
		if err := json.Unmarshal(out, &p); err != nil {
			t.Fatal(err)
		}
		if p.Sent.Paths != 1 || p.Sent.FileBytes < int64(len(data)) {
			t.Errorf("the report says %+v", p.Sent)
		}
		if n := server.Uploads(t, bucket); n != 0 {
			t.Errorf("%d uploads are left", n)
		}
		other := nixtest.Another(t)
		other.Run(t, "nix", "copy", "--from", "http://"+server.Addr+"/"+bucket, path, "--option", "trusted-public-keys", secret.Public().String())
		other.Run(t, "nix-store", "--verify", "--check-contents")
	})
}
