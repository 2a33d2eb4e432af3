// Package distconsts stands in for a module of the same path that is part of
// Dagger's repository and that the module proxy does not serve. It tells the
// engine where its image would carry what it needs; tools/dagger/engine puts
// those things there.
package distconsts

// Places and names, as the release has them.
const (
	EngineContainerName              = "dagger-engine.dev"
	DefaultEngineSockAddr            = "unix:///run/dagger/engine.sock"
	EngineDefaultStateDir            = "/var/lib/dagger"
	EngineCustomCACertsDir           = "/usr/local/share/ca-certificates"
	EngineContainerBuiltinContentDir = "/usr/local/share/dagger/content"
	RuncPath                         = "/usr/sbin/runc" // Debian's
	DaggerInitPath                   = "/usr/local/bin/dagger-init"
)

// Variables that name the built-in SDKs' images.
const (
	GoSDKManifestDigestEnvName         = "DAGGER_GO_SDK_MANIFEST_DIGEST"
	PythonSDKManifestDigestEnvName     = "DAGGER_PYTHON_SDK_MANIFEST_DIGEST"
	TypescriptSDKManifestDigestEnvName = "DAGGER_TYPESCRIPT_SDK_MANIFEST_DIGEST"
)

// Images that the engine pulls for a few of its own functions.
const (
	OCIVersionAnnotation = "org.opencontainers.image.version"
	AlpineVersion        = "3.22.1"
	AlpineImage          = "alpine:" + AlpineVersion
	BusyboxImage         = "busybox:1.37.0"
	GolangImage          = "golang:1.26-alpine"
)
