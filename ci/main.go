// Builds every host of the pantherOS fleet in parallel containers, pushes the
// closures to a signed binary cache, and reports what happened.
//
// From a clone, with a Dagger engine of 0.21.8:
//
//	dagger call build-all
//	dagger call build --host=yoga
//	dagger call build-all -o out
//	dagger call report -o out
//
// The settings that all functions share come before the function's name:
//
//	dagger call --cache='s3://my-cache?region=eu-central-1' --signing-key=file:cache.key build-all
//	dagger call --inputs=offline --jobs=2 check
//
// A run whose host failed ends with an error; its report is kept, and `dagger
// call report` has it. docs/dagger.md tells the rest.
package main

import (
	"errors"
	"fmt"
	"strings"

	"gitlab.com/pantheros/pantheros/ci/internal/dagger"
	"gitlab.com/pantheros/pantheros/pipeline"
)

// Images that are used where no image file is given, pinned by their digests.
const (
	nixImage = "docker.io/nixos/nix:2.31.2@sha256:29fc5fe207f159ceb0143c25c19c774062fee02ce5eda118f3067547b3054894"
	goImage  = "docker.io/library/golang:1.26-bookworm@sha256:47ce5636e9936b2c5cbf708925578ef386b4f8872aec74a67bd13a627d242b19"
)

// Builds, checks and ships the pantherOS fleet.
type Pantheros struct {
	// +private
	Source *dagger.Directory
	// +private
	Image string
	// +private
	GoImage string
	// +private
	ImageFile *dagger.File
	// +private
	Inputs string
	// +private
	Jobs int
	// +private
	Store string
	// +private
	Substituters []string
	// +private
	TrustedKeys []string
	// +private
	Builders string
	// +private
	BuilderKey *dagger.Secret
	// +private
	BuilderKnownHosts *dagger.File
	// +private
	Cache string
	// +private
	SigningKey *dagger.Secret
	// +private
	AwsAccessKeyID *dagger.Secret
	// +private
	AwsSecretAccessKey *dagger.Secret
	// +private
	AwsSessionToken *dagger.Secret
	// +private
	AwsRoleArn string
	// +private
	AwsWebIdentityToken *dagger.Secret
	// +private
	AtticToken *dagger.Secret
	// +private
	CacheService *dagger.Service
	// +private
	CacheCa *dagger.File
	// +private
	Versitygw *dagger.File
	// +private
	Goproxy string
	// +private
	Commit string
}

func New(
	// The repository.
	// +defaultPath="/"
	// +ignore=[".git", ".panther", "out", "result*", "ci/internal", "ci/dagger.gen.go", "**/node_modules"]
	source *dagger.Directory,
	// Image to evaluate and build in: it has Nix 2.18 or newer, git and a shell. The default's digest was never pulled by the project's tests.
	// +default="docker.io/nixos/nix:2.31.2@sha256:29fc5fe207f159ceb0143c25c19c774062fee02ce5eda118f3067547b3054894"
	image string,
	// Image to compile the project's own tools in: it has Go. The default's digest was never pulled by the project's tests.
	// +default="docker.io/library/golang:1.26-bookworm@sha256:47ce5636e9936b2c5cbf708925578ef386b4f8872aec74a67bd13a627d242b19"
	goImage string,
	// An OCI or Docker tarball with Nix and Go, instead of both images, for machines without a registry: "make dagger" makes .panther/dagger/image.tar.
	// +optional
	imageFile *dagger.File,
	// Where the flake's inputs come from: "real" (flake.lock), "offline" (the project's small stand-ins), or "auto" (real if nixpkgs can be fetched).
	// +default="auto"
	inputs string,
	// How many hosts are evaluated and built at once; 0: as many as the engine has processors. One takes up to 2 GiB of memory.
	// +default=0
	jobs int,
	// Name of the volume that keeps the Nix store between runs; another name is another store.
	// +default="pantheros"
	store string,
	// Upstream caches to build from, besides cache.nixos.org.
	// +optional
	substituters []string,
	// Public keys of those caches, "name:base64".
	// +optional
	trustedKeys []string,
	// Machines that build for this one, in the form of Nix's setting "builders", such as "ssh-ng://nix@builder x86_64-linux - 8".
	// +optional
	builders string,
	// SSH key that the machines of --builders accept.
	// +optional
	builderKey *dagger.Secret,
	// Host keys of the machines of --builders, in the form of ~/.ssh/known_hosts.
	// +optional
	builderKnownHosts *dagger.File,
	// Address of the cache to push to, in pcache's terms, such as "s3://BUCKET?region=eu-central-1". Default: a directory in a volume, which comes back beside the report.
	// +optional
	cache string,
	// Key that signs what is pushed, as "pcache keygen" makes it. Default: one that is made at the first push and kept in a volume.
	// +optional
	signingKey *dagger.Secret,
	// Access key of the bucket.
	// +optional
	awsAccessKeyId *dagger.Secret,
	// Secret key of the bucket.
	// +optional
	awsSecretAccessKey *dagger.Secret,
	// Session token, where the bucket's two keys are temporary ones.
	// +optional
	awsSessionToken *dagger.Secret,
	// Role to take with a web identity token, instead of keys.
	// +optional
	awsRoleArn string,
	// Web identity token (OIDC) for that role, such as a GitLab job's.
	// +optional
	awsWebIdentityToken *dagger.Secret,
	// Token for a cache on an Attic server (attic+https://HOST/CACHE), which signs with its own key.
	// +optional
	atticToken *dagger.Secret,
	// A server that the cache is on, where that is none of the network's: a service of the engine or a tunnel to this machine (tcp://localhost:PORT). The cache's address names it as the host "cache-service".
	// +optional
	cacheService *dagger.Service,
	// Certificate authority, PEM, that the cache's server is to be believed by, besides those that the image knows.
	// +optional
	cacheCa *dagger.File,
	// For a rehearsal: the program versitygw, an S3 server (tools/s3/prepare builds it). It runs as a service in the engine, its data in a volume, and is pushed to where no --cache is given; the function "bucket" is that service.
	// +optional
	versitygw *dagger.File,
	// Go module proxy for the containers, as GOPROXY.
	// +optional
	goproxy string,
	// Commit that the source is of, for the report.
	// +optional
	commit string,
) (*Pantheros, error) {
	switch pipeline.Inputs(inputs) {
	case pipeline.InputsAuto, pipeline.InputsReal, pipeline.InputsOffline:
	default:
		return nil, fmt.Errorf("--inputs: %q is none of real, offline and auto", inputs)
	}
	if jobs < 0 {
		return nil, fmt.Errorf("--jobs: %d is less than 0", jobs)
	}
	if !volumeName.MatchString(store) {
		return nil, fmt.Errorf("--store: %q is no name of a volume (letters, digits, . _ -)", store)
	}
	for name, value := range map[string]string{
		"builders": builders, "substituters": strings.Join(substituters, ""), "trusted-keys": strings.Join(trustedKeys, ""),
	} {
		if strings.ContainsAny(value, "\n\r") {
			return nil, fmt.Errorf("--%s: a line break would be another setting of Nix", name)
		}
	}
	if (awsAccessKeyId == nil) != (awsSecretAccessKey == nil) {
		return nil, errors.New("--aws-access-key-id and --aws-secret-access-key: one is of no use without the other")
	}
	if (awsRoleArn == "") != (awsWebIdentityToken == nil) {
		return nil, errors.New("--aws-role-arn and --aws-web-identity-token: one is of no use without the other")
	}
	if pipeline.ServerSigns(cache) && signingKey != nil {
		return nil, errors.New("--signing-key: an Attic server signs with its own key; leave the key out")
	}
	return &Pantheros{
		Source: source, Image: image, GoImage: goImage, ImageFile: imageFile,
		Inputs: inputs, Jobs: jobs, Store: store,
		Substituters: substituters, TrustedKeys: trustedKeys,
		Builders: builders, BuilderKey: builderKey, BuilderKnownHosts: builderKnownHosts,
		Cache: cache, SigningKey: signingKey,
		AwsAccessKeyID: awsAccessKeyId, AwsSecretAccessKey: awsSecretAccessKey, AwsSessionToken: awsSessionToken,
		AwsRoleArn: awsRoleArn, AwsWebIdentityToken: awsWebIdentityToken, AtticToken: atticToken,
		CacheService: cacheService, CacheCa: cacheCa, Versitygw: versitygw,
		Goproxy: goproxy, Commit: commit,
	}, nil
}
