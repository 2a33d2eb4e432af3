package s3

import (
	"context"
	"net"
)

// SetDial has a store reach another address than its server's name says.
func (c *Config) SetDial(dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	c.dial = dial
}
