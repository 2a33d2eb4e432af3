package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"gitlab.com/pantheros/pantheros/ci/internal/dagger"
	"gitlab.com/pantheros/pantheros/pipeline"
	"gitlab.com/pantheros/pantheros/pipeline/report"
	"gitlab.com/pantheros/pantheros/pipeline/report/render"
)

// What is kept in the state's volume, below stateDir.
const (
	keptKey   = "cache-key"
	keptCache = "cache"
	keptRuns  = "runs"
)

// state is a container with the state's volume, that is run anew for each id.
func (m *Pantheros) state(id string) *dagger.Container {
	return m.nix().
		WithMountedCache(stateDir, dag.CacheVolume(m.Store+"-state")).
		WithEnvVariable("PANTHEROS_RUN", id)
}

// A rehearsal's server.
const (
	s3Host, s3Port  = "bucket", 7070
	s3Bucket        = "cache"
	s3User, s3Words = "rehearsal", "rehearsal-is-no-secret"
)

func (m *Pantheros) bucket() *dagger.Service {
	return m.nix().
		WithFile("/usr/local/bin/versitygw", m.Versitygw, dagger.ContainerWithFileOpts{Permissions: 0o755}).
		WithMountedCache("/srv/s3", dag.CacheVolume(m.Store+"-s3")).
		WithEnvVariable("ROOT_ACCESS_KEY", s3User).
		WithEnvVariable("ROOT_SECRET_KEY", s3Words).
		WithExposedPort(s3Port).
		AsService(dagger.ContainerAsServiceOpts{Args: []string{"sh", "-euc", fmt.Sprintf(
			"mkdir -p /srv/s3/%s && exec versitygw --keep-alive --quiet --port :%d posix /srv/s3", s3Bucket, s3Port)}})
}

// rehearsal reports whether the run pushes to the rehearsal's server.
func (m *Pantheros) rehearsal() bool { return m.Cache == "" && m.Versitygw != nil }

func (m *Pantheros) cacheAddress() string {
	switch {
	case m.rehearsal():
		return fmt.Sprintf("s3://%s?endpoint=%s:%d&scheme=http&region=us-east-1", s3Bucket, s3Host, s3Port)
	case m.Cache == "":
		return "file://" + stateDir + "/" + keptCache
	}
	return m.Cache
}

// pusher is nix with pcache and what a push may see. A key is made where none is
// given.
func (m *Pantheros) pusher(ctx context.Context, nix *dagger.Container) (*dagger.Container, error) {
	ctr := m.withPcache(nix)
	if m.SigningKey != nil {
		ctr = ctr.WithMountedSecret(keyFile, m.SigningKey, dagger.ContainerWithMountedSecretOpts{Mode: 0o400})
	} else {
		// A link never replaces a key that another run made in the meantime.
		const script = `cd "$1"; umask 077; [ -s "$2" ] || { pcache keygen "$3" >"$2.$$"; ln "$2.$$" "$2" || [ -s "$2" ]; rm -f "$2.$$"; }`
		_, err := ctr.WithMountedCache(stateDir, dag.CacheVolume(m.Store+"-state")).
			WithEnvVariable("PANTHEROS_RUN", runID()).
			WithExec([]string{"sh", "-euc", script, "key", stateDir, keptKey, keyName}).Sync(ctx)
		if err != nil {
			return nil, fmt.Errorf("making a key for the cache: %w", err)
		}
		ctr = ctr.WithSymlink(stateDir+"/"+keptKey, keyFile)
	}
	if m.SigningKey == nil {
		ctr = ctr.WithMountedCache(stateDir, dag.CacheVolume(m.Store+"-state"))
	}
	return m.mayReach(ctr), nil
}

// mayReach gives a container what it takes to reach the cache.
func (m *Pantheros) mayReach(ctr *dagger.Container) *dagger.Container {
	if m.rehearsal() {
		return ctr.WithServiceBinding(s3Host, m.bucket()).
			WithEnvVariable("AWS_ACCESS_KEY_ID", s3User).
			WithEnvVariable("AWS_SECRET_ACCESS_KEY", s3Words)
	}
	if m.Cache == "" {
		ctr = ctr.WithMountedCache(stateDir, dag.CacheVolume(m.Store+"-state"))
	}
	if m.CacheService != nil {
		ctr = ctr.WithServiceBinding(cacheServiceHost, m.CacheService)
	}
	for name, secret := range map[string]*dagger.Secret{
		"AWS_ACCESS_KEY_ID": m.AwsAccessKeyID, "AWS_SECRET_ACCESS_KEY": m.AwsSecretAccessKey,
		"AWS_SESSION_TOKEN": m.AwsSessionToken, "PCACHE_TOKEN": m.AtticToken,
	} {
		if secret != nil {
			ctr = ctr.WithSecretVariable(name, secret)
		}
	}
	if m.AwsWebIdentityToken != nil {
		const file = "/run/secrets/web-identity-token"
		ctr = ctr.WithMountedSecret(file, m.AwsWebIdentityToken, dagger.ContainerWithMountedSecretOpts{Mode: 0o400}).
			WithEnvVariable("AWS_WEB_IDENTITY_TOKEN_FILE", file).
			WithEnvVariable("AWS_ROLE_ARN", m.AwsRoleArn).
			WithEnvVariable("AWS_ROLE_SESSION_NAME", "pantheros")
	}
	return ctr
}

// history is the history in the storage of the cache that a run pushes to; nil
// where there is none: an Attic server has no place for files.
func (m *Pantheros) history(sh *shell, o options) *pipeline.History {
	if o.scope != pipeline.ScopePush || pipeline.ServerSigns(m.cacheAddress()) {
		return nil
	}
	return &pipeline.History{Shell: sh, Address: m.cacheAddress()}
}

// addRun adds a run to the history.
func addRun(ctx context.Context, sh *shell, h pipeline.History, rep *report.Report) error {
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	sh.filesName = "history-run"
	sh.files = filepath.Join(wd, sh.filesName)
	if err := render.Files(sh.files, rep); err != nil {
		return err
	}
	_, err = h.Add(ctx, rep.Run.Started, sh.files)
	return err
}

// previous is the report that a run's changes are shown against: the given one,
// that of the history's newest run, or of the last that this engine keeps; nil if
// there is none.
func (m *Pantheros) previous(ctx context.Context, o options, id string, h *pipeline.History, fleet string, inputs pipeline.Inputs) (*report.Report, error) {
	file := o.previous
	if file == nil && h != nil {
		rep, err := h.Previous(ctx, fleet, inputs)
		if err != nil && ctx.Err() == nil {
			fmt.Fprintf(os.Stderr, "no comparison with the history: %v\n", err)
		}
		if rep != nil {
			return rep, nil
		}
	}
	if file == nil {
		dir := m.kept("last", id+"-previous", false)
		if ok, err := dir.Exists(ctx, "report/report.json"); err != nil || !ok {
			return nil, err
		}
		file = dir.File("report/report.json")
	}
	text, err := file.Contents(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the previous report: %w", err)
	}
	rep, err := report.Read(strings.NewReader(text))
	if err != nil && o.previous == nil { // one that we kept: of another version
		fmt.Fprintf(os.Stderr, "no comparison with the last run: %v\n", err)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("--previous: %w", err)
	}
	return rep, nil
}

// keepDays is how long reports of runs that were given a name are kept.
const keepDays = 60

// keep puts a report into the state's volume, as the run's and as the last. at
// distinguishes it from others of the same run.
func (m *Pantheros) keep(ctx context.Context, rep *report.Report, name, id, at string) error {
	local := path.Join("reports", at)
	if err := render.Files(filepath.FromSlash(local), rep); err != nil {
		return err
	}
	const script = `runs=$1; shift
mkdir -p "$runs"
find "$runs" -mindepth 1 -maxdepth 1 -mtime +$1 -exec rm -rf {} +; shift
for name; do
	rm -rf "$runs/.$name.new" "$runs/.$name.old"
	cp -R /report "$runs/.$name.new"
	[ ! -e "$runs/$name" ] || mv "$runs/$name" "$runs/.$name.old"
	mv "$runs/.$name.new" "$runs/$name"
	rm -rf "$runs/.$name.old"
done`
	_, err := m.state(id+"-"+at).
		WithMountedDirectory("/report", dag.CurrentModule().Workdir(local)).
		WithExec(append([]string{"sh", "-euc", script, "keep", stateDir + "/" + keptRuns, fmt.Sprint(keepDays)}, names(name)...)).
		Sync(ctx)
	if err != nil {
		return fmt.Errorf("keeping the report: %w", err)
	}
	return nil
}

func names(run string) []string {
	if run == "last" {
		return []string{run}
	}
	return []string{run, "last"}
}

// kept is what is kept of a run: its report and, where that is a directory and
// was pushed to, the cache.
func (m *Pantheros) kept(run, id string, pushed bool) *dagger.Directory {
	withCache := ""
	if pushed && m.Cache == "" && !m.rehearsal() {
		withCache = keptCache
	}
	const script = `mkdir -p /out
[ ! -d "$1/$2" ] || cp -R "$1/$2" /out/report
[ -z "$3" ] || [ ! -d "$1/$3" ] || cp -R "$1/$3" /out/cache`
	return m.state(id).
		WithExec([]string{"sh", "-euc", script, "kept", stateDir, keptRuns + "/" + run, withCache}).
		Directory("/out")
}
