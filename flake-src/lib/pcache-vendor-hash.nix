# Hash of `go mod vendor`, written by `make vendor-hash`.
"sha256-maIMWTHPdzsuC4ATy6mSj6MEVaDD8ShR1FnEAXt48us="
