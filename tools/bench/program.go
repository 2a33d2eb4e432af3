package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sample is one run of a program.
type sample struct {
	Wall  float64 `json:"wall_seconds"`
	User  float64 `json:"user_seconds"`
	Sys   float64 `json:"system_seconds"`
	RSS   int64   `json:"peak_rss_bytes"` // of its largest process
	Out   int64   `json:"bytes_out"`      // that it stored
	First float64 `json:"seconds_to_first_byte,omitempty"`
	Rate  float64 `json:"rate,omitempty"` // in the case's unit
	// Server is the CPU time of the server it spoke to, on the same processors.
	Server float64 `json:"server_cpu_seconds,omitempty"`

	started time.Time
}

func (s sample) cpu() float64 { return s.User + s.Sys }

// timed runs a command to its end and measures it with all that it started and
// waited for.
func timed(ctx context.Context, env []string, name string, args ...string) (sample, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = env
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	unix.Sync() // what earlier runs wrote is not this one's to wait for
	forgetPeak()
	s := sample{started: time.Now()}
	err := cmd.Run()
	s.Wall = time.Since(s.started).Seconds()
	if ctx.Err() != nil {
		return s, ctx.Err()
	}
	if err != nil {
		text := output.Bytes()
		if len(text) > 2000 {
			text = text[len(text)-2000:]
		}
		return s, fmt.Errorf("%s %v: %v\n%s", filepath.Base(name), args, err, text)
	}
	s.User, s.Sys = cmd.ProcessState.UserTime().Seconds(), cmd.ProcessState.SystemTime().Seconds()
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		s.RSS = usage.Maxrss << 10
	}
	return s, nil
}

// forgetPeak gives back memory that this process no longer needs, and has the
// system forget how much it once had: a child has its parent's memory until it
// becomes a program, and the most that it had is counted as the child's.
func forgetPeak() {
	debug.FreeOSMemory()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // proc(5): resets the peak
}

// scratch is a new folder of the run; remove it when its contents are measured.
func (b *bench) scratch(what string) (string, func(), error) {
	dir, err := os.MkdirTemp(b.dir, what+"-")
	return dir, func() {
		if err := removeTree(dir); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}, err
}

// sizeOf adds up the sizes of the files below a folder.
func sizeOf(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				total += info.Size()
			}
		}
		return nil
	})
	return total
}

// runPcache measures pcache. Its Nix, where it needs one, is the newest.
func (b *bench) runPcache(ctx context.Context, env []string, args ...string) (sample, error) {
	home, remove, err := b.scratch("home")
	if err != nil {
		return sample{}, err
	}
	defer remove()
	profile, err := b.profile()
	if err != nil {
		return sample{}, err
	}
	return timed(ctx, slices.Concat(b.newest().environ(home), profile, env), b.pcache, args...)
}

// profile is what has a pcache write a profile of its own, if that is asked for.
func (b *bench) profile() ([]string, error) {
	if b.profiles == "" {
		return nil, nil
	}
	f, err := os.CreateTemp(b.profiles, "*.pprof")
	if err != nil {
		return nil, err
	}
	return []string{"PCACHE_CPU_PROFILE=" + f.Name()}, f.Close()
}

// runNix measures a version of Nix, which has no memory of earlier runs.
func (b *bench) runNix(ctx context.Context, n nixVersion, args ...string) (sample, error) {
	home, remove, err := b.scratch("home")
	if err != nil {
		return sample{}, err
	}
	defer remove()
	return timed(ctx, n.environ(home), filepath.Join(n.bin, "nix"), args...)
}
