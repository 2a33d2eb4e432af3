# Hash of `go mod vendor`, written by `make vendor-hash`.
"sha256-hpAzfUyhX0Id5+oRxxLleHjIUUJuNWFHgP0VsZ/laHY="
