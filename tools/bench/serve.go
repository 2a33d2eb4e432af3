package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/internal/badnet"

	"golang.org/x/sys/unix"
)

// How the reading cases ask.
const (
	narInfoRequests = 60_000
	narInfoClients  = 32
	narBytes        = 3 << 30
	narClients      = 4
	coldClients     = 16
	manyStreams     = 200
)

// coldNet is what is between a mirror and its upstream: a gigabit and a short
// way.
var coldNet = badnet.Options{RTT: 10 * time.Millisecond, Bandwidth: 125_000_000}

var serveCases = []benchCase{
	{
		name: "serve-narinfo", title: fmt.Sprintf("%d narinfos of a directory over HTTP, %d connections", narInfoRequests, narInfoClients),
		shape: large, rounds: 4, unit: "narinfos/s", cpuOf: "the server",
		programs: []program{
			{name: "pcache serve", run: reading(startServe, manyNARInfos)},
			{name: "nginx", needs: []string{"nginx"}, run: reading(startNginx, manyNARInfos)},
		},
		targets: []target{{program: "pcache serve", peer: "nginx", value: "wall", atLeast: 0.8}},
	},
	{
		name: "serve-nar", title: fmt.Sprintf("NARs of a directory over HTTP, %d connections", narClients),
		shape: large, rounds: 4, unit: "MB/s", cpuOf: "the server",
		programs: []program{
			{name: "pcache serve", run: reading(startServe, manyNARs)},
			{name: "nginx", needs: []string{"nginx"}, run: reading(startNginx, manyNARs)},
		},
		targets: []target{{program: "pcache serve", peer: "nginx", value: "wall", atLeast: 0.8}},
	},
	{
		name: "serve-cold", title: fmt.Sprintf("cold read of all paths from an upstream 10 ms and 1 Gbit/s away, %d clients", coldClients),
		shape: large, rounds: 2, unit: "MB/s", cpuOf: "pcache serve",
		programs: []program{
			{name: "through pcache serve", run: coldRead(true)},
			{name: "the upstream itself", run: coldRead(false)},
		},
		// Under a tenth more time than the upstream takes.
		targets: []target{{program: "through pcache serve", peer: "the upstream itself", value: "wall", atLeast: 0.91}},
	},
	{
		name: "serve-memory", title: fmt.Sprintf("resident memory of pcache serve: idle, and with %d NARs under way at once", manyStreams),
		shape: large, rounds: 1, cpuOf: "the server",
		programs: []program{
			{name: "idle", run: reading(startServe, idle)},
			{name: "200 streams of a directory", run: reading(startServe, manyAtOnce)},
			{name: "200 streams, cold read-through", run: coldStreams},
		},
		targets: []target{
			{program: "idle", value: "rss", atMost: 64 * mib},
			{program: "200 streams of a directory", value: "rss", atMost: 256 * mib},
			{program: "200 streams, cold read-through", value: "rss", atMost: 256 * mib},
		},
	},
}

// server is a program that serves a cache.
type server struct {
	addr string
	cmd  *exec.Cmd
	log  string // its output, a file
}

type serverStart = func(ctx context.Context, b *bench, scratch, cache string) (*server, error)

// freeAddress is an address of this machine that nobody listened on a moment
// ago.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}

// start runs a server and waits until it listens.
func start(ctx context.Context, addr, log string, env []string, name string, args ...string) (*server, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	s := &server{addr: addr, cmd: exec.Command(name, args...), log: log}
	s.cmd.Env, s.cmd.Stdout, s.cmd.Stderr = env, out, out
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			return s, c.Close()
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			s.stop()
			said, _ := os.ReadFile(log)
			return nil, fmt.Errorf("%s does not listen: %v\n%s", filepath.Base(name), err, said)
		}
	}
}

func (s *server) stop() { stopCommand(s.cmd) }

// stopCommand asks a program to end, and sees to it.
func stopCommand(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(os.Interrupt)
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(3 * time.Second):
		_ = cmd.Process.Kill()
		<-ended
	}
}

// processes are the server's, its workers included.
func (s *server) processes() []int {
	pids := []int{s.cmd.Process.Pid}
	for i := 0; i < len(pids); i++ {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pids[i], pids[i]))
		if err != nil {
			break
		}
		for _, word := range strings.Fields(string(data)) {
			if pid, err := strconv.Atoi(word); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// cpu is the processor time that the server took until now, in seconds.
func (s *server) cpu() (user, sys float64) {
	for _, pid := range s.processes() {
		u, y := processCPU(pid)
		user, sys = user+u, sys+y
	}
	return user, sys
}

// memory is a line of the server's status, in bytes, of all its processes.
func (s *server) memory(what string) (sum int64) {
	for _, pid := range s.processes() {
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		for line := range strings.Lines(string(data)) {
			if text, ok := strings.CutPrefix(line, what+":"); ok {
				kib, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "kB")), 10, 64)
				sum += kib << 10
			}
		}
	}
	return sum
}

func startServe(ctx context.Context, b *bench, scratch, cache string) (*server, error) {
	return b.serve(ctx, scratch, "file://"+cache)
}

// serve starts pcache serve, which logs every request.
func (b *bench) serve(ctx context.Context, scratch string, args ...string) (*server, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	args = append([]string{"serve", "--listen", addr, "--local", filepath.Join(scratch, "local"), "--public-key", b.key.String()}, args...)
	profile, err := b.profile()
	if err != nil {
		return nil, err
	}
	return start(ctx, addr, filepath.Join(scratch, "serve.log"), slices.Concat(os.Environ(), profile, []string{"HOME=" + scratch}), b.pcache, args...)
}

// startNginx starts nginx as a person would set it up for a binary cache; it
// too logs every request.
func startNginx(ctx context.Context, b *bench, scratch, cache string) (*server, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;"
	}
	config := fmt.Sprintf(`daemon off; %s worker_processes auto;
pid %[2]s/nginx.pid; error_log %[2]s/nginx-error.log;
events { worker_connections 4096; }
http {
	access_log %[2]s/nginx-access.log;
	sendfile on; tcp_nopush on; keepalive_requests 1000000;
	types { text/x-nix-narinfo narinfo; application/x-nix-nar nar zst; }
	client_body_temp_path %[2]s/1; proxy_temp_path %[2]s/2; fastcgi_temp_path %[2]s/3; uwsgi_temp_path %[2]s/4; scgi_temp_path %[2]s/5;
	server { listen %[3]s; root %[4]s; }
}
`, user, scratch, addr, cache)
	file := filepath.Join(scratch, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return nil, err
	}
	return start(ctx, addr, filepath.Join(scratch, "nginx.log"), os.Environ(), b.find("nginx"), "-p", scratch, "-c", file)
}

// reading measures a server of the filled cache while work is done.
func reading(start serverStart, work func(ctx context.Context, s *server, all []cached, m *sample) error) runner {
	return func(ctx context.Context, b *bench, c *closure) (sample, error) {
		cache, err := b.cache(ctx, c)
		if err != nil {
			return sample{}, err
		}
		all, err := objects(cache)
		if err != nil {
			return sample{}, err
		}
		scratch, remove, err := b.scratch("serve")
		if err != nil {
			return sample{}, err
		}
		defer remove()
		s, err := start(ctx, b, scratch, cache)
		if err != nil {
			return sample{}, err
		}
		defer s.stop()
		return s.measure(ctx, func(m *sample) error { return work(ctx, s, all, m) })
	}
}

// measure is what the server takes while work is done.
func (s *server) measure(ctx context.Context, work func(m *sample) error) (sample, error) {
	unix.Sync()
	user, sys := s.cpu()
	m := sample{started: time.Now()}
	err := work(&m)
	m.Wall = time.Since(m.started).Seconds()
	if ctx.Err() != nil {
		return m, ctx.Err()
	}
	m.User, m.Sys = s.cpu()
	m.User, m.Sys = m.User-user, m.Sys-sys
	if m.RSS == 0 {
		m.RSS = s.memory("VmHWM")
	}
	if err != nil {
		said, _ := os.ReadFile(s.log)
		err = fmt.Errorf("%w\n%s", err, said[max(0, len(said)-1000):])
	}
	return m, err
}

func manyNARInfos(ctx context.Context, s *server, all []cached, m *sample) error {
	jobs := make([][]object, narInfoRequests)
	for i := range jobs {
		jobs[i] = []object{all[i%len(all)].info}
	}
	begun := time.Now()
	_, err := load(ctx, s.addr, narInfoClients, jobs)
	m.Rate = narInfoRequests / time.Since(begun).Seconds()
	return err
}

// manyNARs asks for all NARs in turn: what a cache is mostly asked for is small.
func manyNARs(ctx context.Context, s *server, all []cached, m *sample) error {
	var jobs [][]object
	for total := int64(0); total < narBytes; {
		o := all[len(jobs)%len(all)].nar
		jobs = append(jobs, []object{o})
		total += max(o.size, 1)
	}
	begun := time.Now()
	n, err := load(ctx, s.addr, narClients, jobs)
	m.Rate = float64(n) / 1e6 / time.Since(begun).Seconds()
	return err
}

// idle is a server that has answered something and has nothing to do.
func idle(ctx context.Context, s *server, all []cached, m *sample) error {
	if _, err := load(ctx, s.addr, 1, [][]object{{all[0].info}}); err != nil {
		return err
	}
	time.Sleep(2 * time.Second)
	m.RSS = s.memory("VmRSS")
	return nil
}

func largest(all []cached) []object {
	nars := make([]object, manyStreams)
	for i := range nars {
		nars[i] = all[i%len(all)].nar
	}
	return nars
}

func manyAtOnce(ctx context.Context, s *server, all []cached, _ *sample) error {
	return streams(ctx, s.addr, largest(all))
}

// behind starts a web server of a directory behind a network, and pcache serve
// with nothing kept yet in front of it.
func (b *bench) behind(ctx context.Context, c *closure, o badnet.Options, work func(upstream string, s *server, all []cached) error) error {
	cache, err := b.cache(ctx, c)
	if err != nil {
		return err
	}
	all, err := objects(cache)
	if err != nil {
		return err
	}
	address, stop, err := serveHTTP(cache)
	if err != nil {
		return err
	}
	defer stop()
	upstream, err := badnet.Listen(strings.TrimPrefix(address, "http://"), o)
	if err != nil {
		return err
	}
	defer func() { _ = upstream.Close() }()
	scratch, remove, err := b.scratch("mirror")
	if err != nil {
		return err
	}
	defer remove()
	s, err := b.serve(ctx, scratch, "http://"+upstream.Addr)
	if err != nil {
		return err
	}
	defer s.stop()
	return work(upstream.Addr, s, all)
}

func coldRead(through bool) runner {
	return func(ctx context.Context, b *bench, c *closure) (m sample, err error) {
		err = b.behind(ctx, c, coldNet, func(addr string, s *server, all []cached) error {
			if through {
				addr = s.addr
			}
			jobs := make([][]object, len(all))
			for i, o := range all {
				jobs[i] = []object{o.info, o.nar}
			}
			var err error
			m, err = s.measure(ctx, func(m *sample) error {
				begun := time.Now()
				n, err := load(ctx, addr, coldClients, jobs)
				m.Rate = float64(n) / 1e6 / time.Since(begun).Seconds()
				return err
			})
			if !through { // it had nothing to do
				m.User, m.Sys, m.RSS = 0, 0, 0
			}
			return err
		})
		return m, err
	}
}

func coldStreams(ctx context.Context, b *bench, c *closure) (m sample, err error) {
	err = b.behind(ctx, c, coldNet, func(_ string, s *server, all []cached) error {
		m, err = s.measure(ctx, func(*sample) error { return streams(ctx, s.addr, largest(all)) })
		return err
	})
	return m, err
}

// processCPU is the processor time of a process, in seconds.
func processCPU(pid int) (user, sys float64) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0
	}
	// The name, in brackets, may hold anything; utime and stime are the 12th
	// and 13th field after it, in ticks of which there are always 100 a second.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 13 {
		return 0, 0
	}
	user, _ = strconv.ParseFloat(fields[11], 64)
	sys, _ = strconv.ParseFloat(fields[12], 64)
	return user / 100, sys / 100
}
