# Hash of `go mod vendor`, written by `make vendor-hash`.
"sha256-Fm/EdzQhHqIR6hPpUECgKMJyNI1lpcfCVSSW8Ta+zzw="
