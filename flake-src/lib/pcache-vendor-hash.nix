# Hash of `go mod vendor`, written by `make vendor-hash`.
"sha256-vnymxpDszFCH3P3rEXnrHCAtfWs1j68vc22FtAYupYc="
