package webserver

import "golang.org/x/sys/unix"

// cork has the system gather what is written until it is taken away again.
func (c *tcpConn) cork(on bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return // it costs a packet more
	}
	value := 0
	if on {
		value = 1
	}
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, value) })
}
