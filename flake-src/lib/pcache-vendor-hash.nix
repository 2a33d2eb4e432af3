# Hash of `go mod vendor`, written by `make vendor-hash`.
"sha256-3ALQqXM5nx16NmxFPjhxdxY8P1Bsy1U7C9HK3/x6HA4="
