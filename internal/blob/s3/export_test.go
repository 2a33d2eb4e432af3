package s3

import (
	"context"
	"net"
	"time"
)

// SetDial has a store reach another address than its server's name says.
func (c *Config) SetDial(dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	c.dial = dial
}

// SetIdle says after how long an upload of another machine counts as dead.
func (c *Config) SetIdle(d time.Duration) { c.idle = d }

// Prove has a store think that it was answered that long ago.
func (s *Store) Prove(age time.Duration) { s.bucketSeen.Store(time.Now().Add(-age).UnixNano()) }
