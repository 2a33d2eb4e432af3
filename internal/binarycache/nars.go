package binarycache

import (
	"context"
	"io"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// NARs stores NARs in a cache for whoever publishes their paths by other
// means. It may be used concurrently.
type NARs struct{ sink *Sink }

// NewNARs stores NARs in store, compressed at level. name is the cache's, for
// messages.
func NewNARs(store blob.Store, level Level, name string) *NARs {
	return &NARs{&Sink{store: store, holder: &holder{store: store}, o: SinkOptions{Name: name, Level: level}, places: newPlaces(), pilot: newPilot(uplink(store))}}
}

// Find returns where the NAR of p is, if it is there.
func (n *NARs) Find(ctx context.Context, p nix.PathInfo) (info nix.NARInfo, there bool, err error) {
	info = n.sink.narInfo(p)
	there, err = n.sink.adopt(ctx, &info)
	return info, there, err
}

// Put stores a NAR under its hash, unless it is there: then nar is not read.
// nar must end in an error if its bytes have not the hash of p.
func (n *NARs) Put(ctx context.Context, p nix.PathInfo, nar io.Reader) (nix.NARInfo, error) {
	return n.sink.put(ctx, p, nar)
}
