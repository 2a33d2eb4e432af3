//go:build race

package e2e

// raceEnabled: the command is built with the race detector as well.
const raceEnabled = true
