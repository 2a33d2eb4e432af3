package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAvailableMemory(t *testing.T) {
	const gib = 1 << 30
	meminfo := map[string]string{"proc/meminfo": "MemTotal:       33554432 kB\nMemFree:  1 kB\nMemAvailable:   16777216 kB\n"}
	with := func(more map[string]string) map[string]string {
		files := map[string]string{"proc/meminfo": meminfo["proc/meminfo"]}
		for name, text := range more {
			files[name] = text
		}
		return files
	}
	for name, tt := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"unknown":             {nil, 0},
		"the machine's":       {meminfo, 16 * gib},
		"garbage":             {map[string]string{"proc/meminfo": "MemAvailable: lots kB\n"}, 0},
		"no limit on a group": {with(map[string]string{"sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.current": "5\n"}), 16 * gib},
		"a limit": {with(map[string]string{
			"sys/fs/cgroup/memory.max":     "4294967296\n",
			"sys/fs/cgroup/memory.current": "3221225472\n",
			"sys/fs/cgroup/memory.stat":    "anon 1\ninactive_file 1073741824\nslab 3\n",
		}), 2 * gib},
		"a limit that is exceeded": {with(map[string]string{
			"sys/fs/cgroup/memory.max":     "1000\n",
			"sys/fs/cgroup/memory.current": "2000\n",
		}), 1},
		"version 1": {with(map[string]string{
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "8589934592\n",
			"sys/fs/cgroup/memory/memory.usage_in_bytes": "1073741824\n",
			"sys/fs/cgroup/memory/memory.stat":           "inactive_file 7\ntotal_inactive_file 1073741824\n",
		}), 8 * gib},
		"version 1 without a limit": {with(map[string]string{
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
			"sys/fs/cgroup/memory/memory.usage_in_bytes": "1073741824\n",
		}), 16 * gib},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for file, text := range tt.files {
				path := filepath.Join(root, file)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got := availableMemory(root); got != tt.want {
				t.Errorf("%d, want %d", got, tt.want)
			}
		})
	}
}

func TestDefaultJobs(t *testing.T) {
	if got := defaultJobs(1); got != 1 {
		t.Errorf("one host: %d jobs", got)
	}
	if got := defaultJobs(1000); got < 1 || got > 1000 {
		t.Errorf("a thousand hosts: %d jobs", got)
	}
}
