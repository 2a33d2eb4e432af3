package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"gitlab.com/pantheros/pantheros/internal/nix"

	"github.com/spf13/cobra"
)

// secretKeyVariable holds secret keys for machines that hand secrets over in
// the environment: one or more, separated by white space.
const secretKeyVariable = "PCACHE_SECRET_KEY"

func newKeygen() *cobra.Command {
	return &cobra.Command{
		Use:   "keygen NAME",
		Short: "Make a key to sign store paths with",
		Long: `Prints a new secret key on standard output, in the format of
"nix key generate-secret", and the public key that belongs to it on standard
error. Clients tell keys apart by their names; the custom is PROJECT-NUMBER.`,
		Example: "  (umask 077; pcache keygen example.org-1 > cache-key)",
		Args:    atLeast(1, "it wants a name for the key"),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := nix.GenerateKey(args[0])
			if err != nil {
				return usageError{err}
			}
			fmt.Fprintln(cmd.OutOrStdout(), key.Marshal())
			fmt.Fprintln(cmd.ErrOrStderr(), "public key:", key.Public())
			return nil
		},
	}
}

func newPubkey() *cobra.Command {
	return &cobra.Command{
		Use:   "pubkey",
		Short: "Print the public key of a secret key",
		Long: `Reads a secret key from standard input and prints the public key, as nix.conf's
trusted-public-keys wants it.`,
		Example: "  pcache pubkey < cache-key",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxKeyFile))
			if err != nil {
				return fmt.Errorf("read the secret key from standard input: %v", err)
			}
			key, err := nix.ParseSecretKey(string(text))
			if err != nil {
				return usageError{fmt.Errorf("standard input: %v", err)}
			}
			fmt.Fprintln(cmd.OutOrStdout(), key.Public())
			return nil
		},
	}
}

const maxKeyFile = 64 << 10

// secretKeys reads the keys of the files that were given, or else of the
// environment, or else of the files that the configuration names.
func secretKeys(given, configured []string) ([]nix.SecretKey, error) {
	if len(given) > 0 {
		return readSecretKeys(given)
	}
	var keys []nix.SecretKey
	for _, text := range strings.Fields(os.Getenv(secretKeyVariable)) {
		key, err := nix.ParseSecretKey(text)
		if err != nil {
			return nil, usageError{fmt.Errorf("$%s: %v", secretKeyVariable, err)}
		}
		keys = append(keys, key)
	}
	if len(keys) > 0 {
		return keys, nil
	}
	return readSecretKeys(configured)
}

func readSecretKeys(files []string) ([]nix.SecretKey, error) {
	var keys []nix.SecretKey
	for _, file := range files {
		key, err := readSecretKey(file)
		if err != nil {
			return nil, usageError{err}
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// readSecretKey refuses a file that others can read: whoever has the key can
// make every machine of the fleet run anything.
func readSecretKey(file string) (nix.SecretKey, error) {
	var none nix.SecretKey
	f, err := os.Open(file)
	if err != nil {
		return none, fmt.Errorf("secret key: %v (pcache keygen makes one)", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return none, fmt.Errorf("secret key: %v", err)
	}
	if info.IsDir() {
		return none, fmt.Errorf("secret key %s is a directory", file)
	}
	// A pipe, as from <(command), belongs to nobody else.
	if mode := info.Mode(); mode.IsRegular() && mode.Perm()&0o027 != 0 {
		return none, fmt.Errorf("secret key %s has mode %04o: others could read or change it; chmod 600 it (or hand the key over in $%s)", file, mode.Perm(), secretKeyVariable)
	}
	line, err := bufio.NewReader(io.LimitReader(f, maxKeyFile)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return none, fmt.Errorf("secret key %s: %v", file, err)
	}
	key, err := nix.ParseSecretKey(line)
	if err != nil {
		return none, fmt.Errorf("secret key %s: %v", file, err)
	}
	return key, nil
}

func publicKeys(texts []string) ([]nix.PublicKey, error) {
	var keys []nix.PublicKey
	for _, text := range texts {
		key, err := nix.ParsePublicKey(text)
		if err != nil {
			return nil, usageError{fmt.Errorf("--public-key: %v", err)}
		}
		keys = append(keys, key)
	}
	return keys, nil
}
