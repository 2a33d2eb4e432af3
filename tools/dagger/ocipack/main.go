// Command ocipack packs root file system tarballs into an image in the OCI
// image layout (https://github.com/opencontainers/image-spec/blob/main/image-layout.md)
// and prints the digest of its manifest.
//
//	ocipack [-dir DIR] [-tar FILE] [-env NAME=VALUE]... [-workdir DIR] LAYER.tar...
//
// Layers are kept uncompressed: their digest is their diff ID, and nothing is
// spent on compressing what stays on one machine.
package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

type descriptor struct {
	MediaType string            `json:"mediaType"`
	Digest    string            `json:"digest"`
	Size      int64             `json:"size"`
	Platform  map[string]string `json:"platform,omitempty"`
}

// object is a file of the layout.
type object struct {
	name string
	size int64
	open func() (io.ReadCloser, error)
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("ocipack: ")
	var env []string
	dir := flag.String("dir", "", "write the layout as this directory")
	file := flag.String("tar", "", "write the layout as this tarball")
	workdir := flag.String("workdir", "/", "working directory of the image")
	flag.Func("env", "variable of the image, NAME=VALUE; repeatable", func(v string) error {
		env = append(env, v)
		return nil
	})
	flag.Parse()
	if flag.NArg() == 0 || *dir == "" && *file == "" {
		log.Fatal("at least one layer is needed, and -dir or -tar")
	}
	manifest, objects, err := pack(flag.Args(), env, *workdir)
	if err == nil && *dir != "" {
		err = writeDir(*dir, objects)
	}
	if err == nil && *file != "" {
		err = writeTar(*file, objects)
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(manifest)
}

// pack lays out an image of the layers, lowest first.
func pack(layers, env []string, workdir string) (manifest string, objects []object, err error) {
	var parts []descriptor
	diffIDs := []string{}
	for _, layer := range layers {
		d, err := digestOf(layer)
		if err != nil {
			return "", nil, err
		}
		parts = append(parts, d)
		diffIDs = append(diffIDs, d.Digest)
		objects = append(objects, object{blobName(d), d.Size, func() (io.ReadCloser, error) { return os.Open(layer) }})
	}
	platform := map[string]string{"architecture": runtime.GOARCH, "os": "linux"}
	put := func(mediaType string, value any) descriptor {
		data, err := json.Marshal(value)
		if err != nil {
			panic(err) // maps and strings only
		}
		sum := sha256.Sum256(data)
		d := descriptor{MediaType: mediaType, Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: int64(len(data))}
		objects = append(objects, bytesObject(blobName(d), data))
		return d
	}
	config := put("application/vnd.oci.image.config.v1+json", map[string]any{
		"architecture": platform["architecture"],
		"os":           platform["os"],
		"config":       map[string]any{"Env": env, "WorkingDir": workdir, "Cmd": []string{"/bin/sh"}},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": diffIDs},
	})
	top := put("application/vnd.oci.image.manifest.v1+json", map[string]any{
		"schemaVersion": 2,
		"mediaType":     "application/vnd.oci.image.manifest.v1+json",
		"config":        config,
		"layers":        parts,
	})
	top.Platform = platform
	index, err := json.Marshal(map[string]any{
		"schemaVersion": 2,
		"mediaType":     "application/vnd.oci.image.index.v1+json",
		"manifests":     []descriptor{top},
	})
	if err != nil {
		return "", nil, err
	}
	objects = append(objects,
		bytesObject("index.json", index),
		bytesObject("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)))
	return top.Digest, objects, nil
}

func digestOf(layer string) (descriptor, error) {
	f, err := os.Open(layer)
	if err != nil {
		return descriptor{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return descriptor{
		MediaType: "application/vnd.oci.image.layer.v1.tar",
		Digest:    "sha256:" + hex.EncodeToString(h.Sum(nil)), Size: n,
	}, err
}

func blobName(d descriptor) string { return "blobs/" + strings.Replace(d.Digest, ":", "/", 1) }

func bytesObject(name string, data []byte) object {
	return object{name, int64(len(data)), func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
}

func writeDir(dir string, objects []object) error {
	for _, o := range objects {
		path := filepath.Join(dir, filepath.FromSlash(o.name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		if err := errors.Join(o.copyTo(f), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

func writeTar(file string, objects []object) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	w := tar.NewWriter(f)
	for _, o := range objects {
		err := w.WriteHeader(&tar.Header{Name: o.name, Mode: 0o644, Size: o.size, Typeflag: tar.TypeReg})
		if err == nil {
			err = o.copyTo(w)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %s: %w", file, o.name, err), f.Close())
		}
	}
	return errors.Join(w.Close(), f.Close())
}

func (o object) copyTo(w io.Writer) error {
	r, err := o.open()
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(w, r)
	return err
}
