//go:build !linux

package webserver

func (c *tcpConn) cork(bool) {}
