package s3_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/blob/blobtest"
	"gitlab.com/pantheros/pantheros/internal/s3test"
)

func BenchmarkS3(b *testing.B) {
	for _, kind := range s3test.Kinds(b) {
		b.Run(string(kind), func(b *testing.B) {
			server := s3test.Start(b, kind)
			server.Environ(b)
			blobtest.Benchmark(b, func(b *testing.B) blob.Store { return open(b, server.Address(server.Bucket(b))) })
			for _, size := range []int{600, 60_000, 6_000_000, 30_000_000} {
				data := strings.Repeat("x", size)
				b.Run(fmt.Sprintf("Put%dAtOnce", size), func(b *testing.B) {
					s := open(b, server.Address(server.Bucket(b)))
					b.SetBytes(int64(size))
					b.SetParallelism(8)
					var n atomic.Int64
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							if err := s.Put(b.Context(), fmt.Sprintf("k/%d", n.Add(1)%64), strings.NewReader(data), -1); err != nil {
								b.Fatal(err)
							}
						}
					})
				})
			}
		})
	}
}
