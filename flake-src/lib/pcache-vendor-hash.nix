# Hash of `go mod vendor`, written by `make vendor-hash`.
"sha256-wvHYTiTkrSAn8sZCGtjQ/XW8qKFvyiOtxcP/lHr9MoU="
