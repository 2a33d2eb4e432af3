package binarycache

import (
	"bytes"
	"context"
	"fmt"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// Settings are what can be chosen for a cache in its nix-cache-info. What is
// nil is left as it is, or to the default.
type Settings struct {
	Priority      *int  // default DefaultPriority
	WantMassQuery *bool // default true
}

func newInfo(storeDir string) Info {
	return Info{StoreDir: storeDir, WantMassQuery: true, Priority: DefaultPriority}
}

func (s Settings) apply(i Info) Info {
	if s.Priority != nil {
		i.Priority = *s.Priority
	}
	if s.WantMassQuery != nil {
		i.WantMassQuery = *s.WantMassQuery
	}
	return i
}

func (i Info) settings() string {
	return fmt.Sprintf("priority %d and mass query %t", i.Priority, i.WantMassQuery)
}

// Create makes a cache: it writes nix-cache-info, and the list of keys if there
// are any. One that is there is refused. A push makes a cache too; this is for
// who wants it to be there before.
func Create(ctx context.Context, store blob.Store, name, storeDir string, keys []nix.PublicKey, s Settings) error {
	_, exists, err := readInfo(ctx, store, name)
	if err != nil {
		return err
	}
	if exists {
		return &RefusedError{Cache: name, Reason: "it is there already (pcache cache configure changes it)"}
	}
	// In the order of a push: what has a nix-cache-info is a cache.
	if len(keys) > 0 {
		if err := putSetting(ctx, store, name, publicKeysKey, MarshalPublicKeys(keys)); err != nil {
			return err
		}
	}
	return putSetting(ctx, store, name, cacheInfoKey, s.apply(newInfo(storeDir)).Marshal())
}

// Configure changes what a cache says of itself. Clients of Nix remember the
// former for up to a week.
func Configure(ctx context.Context, store blob.Store, name string, s Settings) error {
	info, exists, err := readInfo(ctx, store, name)
	if err != nil {
		return err
	}
	if !exists {
		return &RefusedError{Cache: name, Reason: "it has no nix-cache-info, so it is no binary cache (pcache cache create makes one)"}
	}
	changed := s.apply(info)
	if changed == info {
		return nil
	}
	return putSetting(ctx, store, name, cacheInfoKey, changed.Marshal())
}

func putSetting(ctx context.Context, store blob.Store, name, key string, data []byte) error {
	if err := store.Put(ctx, key, bytes.NewReader(data), int64(len(data))); err != nil {
		return fmt.Errorf("write %s of cache %s: %w", key, name, err)
	}
	return nil
}
