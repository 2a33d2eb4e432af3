package main

import (
	"fmt"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/cmd/terminal"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/cache"
)

// bar shows a copy in one line at the bottom of a terminal, once there is
// something to send; what remains on the screen is the summary.
type bar struct {
	progress *cache.Progress
	verb     string
	uplink   blob.Uplink // nil where it is not measured what was sent
	now      func() time.Time
	meter    terminal.Meter
	sent     terminal.Meter
}

// The width of the bar itself, and of the terminals that have room for it.
const (
	barColumns = 20
	barFrom    = 100
)

// lines is the line, for terminal.Region.
func (b *bar) lines(columns, _ int) []string {
	p := b.progress
	paths, bytes, total := p.TotalPaths.Load(), p.Bytes.Load(), p.TotalBytes.Load()
	if !p.Planned.Load() || paths == 0 {
		return nil
	}
	now := b.now()
	b.meter.Add(now, bytes)
	words := []string{
		fmt.Sprintf("%s %d/%d paths", b.verb, p.Paths.Load(), paths),
		terminal.Of(bytes, total),
	}
	speed := &b.meter
	if b.uplink != nil { // much may be read that is still on its way
		speed = &b.sent
		speed.Add(now, b.uplink.Uploaded())
		words = append(words, terminal.Bytes(b.uplink.Uploaded())+" sent")
	}
	if rate, ok := speed.Rate(now); ok {
		words = append(words, terminal.PerSecond(rate))
	}
	if left, ok := b.meter.Left(now, total); ok && left > 0 {
		words = append(words, terminal.Left(left))
	}
	text := strings.Join(words, "  ")
	if columns >= barFrom && total > 0 {
		n := int(min(max(0, bytes), total) * barColumns / total)
		text = "[" + strings.Repeat("=", n) + strings.Repeat(" ", barColumns-n) + "] " + text
	}
	return []string{terminal.Cut(text, columns-1)} // the last one would wrap on some terminals
}
