# Hash of `go mod vendor`, written by `make vendor-hash`.
"sha256-p1bo6OGNtZPDg0lo6w/5V0J1qCfZETU3QZ5zN6Pmwns="
