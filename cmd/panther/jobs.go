package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// memoryPerHost is what evaluating one host may take, in bytes: up to 1.6 GB
// was measured on nixpkgs of 2026.
const memoryPerHost = 2 << 30

// defaultJobs is how many hosts are taken at once: as many as there are
// processors and memory for.
func defaultJobs(hosts int) int {
	jobs := min(runtime.GOMAXPROCS(0), hosts)
	if free := availableMemory("/"); free > 0 {
		jobs = min(jobs, int(free/memoryPerHost))
	}
	return max(1, jobs)
}

// availableMemory is what this process may still take, in bytes: what the
// kernel calls available, or less under a control group's limit. 0 if unknown.
func availableMemory(root string) int64 {
	free := readField(filepath.Join(root, "proc/meminfo"), "MemAvailable:", "kB") << 10
	// The limit on a container, as it sees it: its group is the root. Cached
	// file pages that can go at once do not count as used.
	for _, group := range []struct{ limit, used, stat, cached string }{
		{"memory.max", "memory.current", "memory.stat", "inactive_file"},
		{"memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"},
	} {
		dir := filepath.Join(root, "sys/fs/cgroup")
		limit, used := readNumber(filepath.Join(dir, group.limit)), readNumber(filepath.Join(dir, group.used))
		if limit <= 0 || used < 0 {
			continue
		}
		used -= readField(filepath.Join(dir, group.stat), group.cached, "")
		if left := max(1, limit-used); free == 0 || left < free {
			free = left
		}
	}
	return free
}

// readField finds the line "NAME NUMBER" + unit in a file; 0 if there is none.
func readField(path, name, unit string) int64 {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), unit)), 10, 64)
			if err == nil {
				return n
			}
		}
	}
	return 0
}

// readNumber is -1 where there is no number, "max" included.
func readNumber(path string) int64 {
	data, err := os.ReadFile(path)
	if err != nil {
		return -1
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return -1
	}
	return n
}
