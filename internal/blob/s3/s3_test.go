package s3_test

import (
	"testing"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/blob/blobtest"
	"gitlab.com/pantheros/pantheros/internal/blob/s3"
	"gitlab.com/pantheros/pantheros/internal/s3test"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens the store of an address, changed by with.
func open(t testing.TB, address string, with ...func(*s3.Config)) *s3.Store {
	t.Helper()
	c, _, err := s3.ParseAddress(address)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range with {
		w(&c)
	}
	s, err := s3.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestConformance(t *testing.T) {
	s3test.Each(t, func(t *testing.T, server *s3test.Server) {
		server.Environ(t)
		t.Run("bucket", func(t *testing.T) {
			blobtest.Run(t, func(t *testing.T) blob.Store { return open(t, server.Address(server.Bucket(t))) })
		})
		t.Run("prefix", func(t *testing.T) {
			blobtest.Run(t, func(t *testing.T) blob.Store {
				bucket := server.Bucket(t)
				server.Put(t, bucket, "pre", "x", "", "")
				server.Put(t, bucket, "prefix2/other", "x", "", "")
				return open(t, server.Address(bucket+"/prefix/of/all"))
			})
		})
	})
}
