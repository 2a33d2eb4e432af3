package badnet_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/badnet"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo answers with what it is sent.
func echo(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		_, _ = w.Write(data)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func listen(t *testing.T, target string, o badnet.Options) *badnet.Proxy {
	t.Helper()
	p, err := badnet.Listen(target, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func post(t *testing.T, addr string, data []byte) ([]byte, time.Duration, error) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	started := time.Now()
	resp, err := client.Post("http://"+addr, "text/plain", bytes.NewReader(data))
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return got, time.Since(started), err
}

func noise(n int) []byte {
	data := make([]byte, n)
	r := rand.NewChaCha8([32]byte{})
	_, _ = r.Read(data)
	return data
}

func TestPassesAllOn(t *testing.T) {
	data := noise(20 << 20)
	for name, o := range map[string]badnet.Options{"as it is": {}, "slow": {RTT: 20 * time.Millisecond}} {
		var sent atomic.Int64
		o.Sent = func(p []byte) { sent.Add(int64(len(p))) }
		p := listen(t, echo(t), o)
		got, _, err := post(t, p.Addr, data)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes came back, %v", name, len(got), err)
		}
		if n := sent.Load(); n < int64(len(data)) {
			t.Errorf("%s: Sent saw %d bytes", name, n)
		}
	}
}

func TestRTT(t *testing.T) {
	p := listen(t, echo(t), badnet.Options{RTT: 100 * time.Millisecond})
	// One to connect, one for the request.
	if _, took, err := post(t, p.Addr, []byte("x")); err != nil || took < 200*time.Millisecond {
		t.Errorf("a request took %v, %v", took, err)
	}
}

func TestBandwidth(t *testing.T) {
	p := listen(t, echo(t), badnet.Options{Bandwidth: 4 << 20})
	got, took, err := post(t, p.Addr, noise(2<<20))
	// Half a second there and half a second back.
	if err != nil || len(got) != 2<<20 || took < 900*time.Millisecond {
		t.Errorf("%d bytes in %v, %v", len(got), took, err)
	}
}

func TestResets(t *testing.T) {
	p := listen(t, echo(t), badnet.Options{MeanReset: 64 << 10, Seed: 1})
	failed := 0
	for range 20 {
		if got, _, err := post(t, p.Addr, noise(128<<10)); err != nil || len(got) != 128<<10 {
			failed++
		}
	}
	if failed == 0 || p.Resets() == 0 {
		t.Errorf("%d of 20 requests failed, %d resets", failed, p.Resets())
	}
}

func TestCloseEndsWhatIsOpen(t *testing.T) {
	p := listen(t, echo(t), badnet.Options{RTT: time.Millisecond})
	c, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a connection is still open")
	}
}
