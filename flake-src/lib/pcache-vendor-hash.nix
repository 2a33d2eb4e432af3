# Hash of `go mod vendor`, written by `make vendor-hash`.
"sha256-WGfAnWmEQijbm2DUsevOuXmHsnFNcxCgtA3pazN/oKM="
