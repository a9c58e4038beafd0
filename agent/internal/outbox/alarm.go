package outbox

import (
	"context"
	"errors"
	"strings"

	"bambuddy/shared/farm"
)

// Alarm is what a person should look at, "" for nothing.
func (b *Outbox) Alarm() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	if b.broken != "" {
		all = append(all, "the agent cannot write its journal: "+b.broken)
	}
	if b.unacked >= b.o.MaxBytes {
		all = append(all, "the agent's journal is full: the hub has not fetched it for a long time")
	}
	if b.crowded {
		all = append(all, "agent storage full: new prints are archived without their files")
	}
	return strings.Join(all, "; ")
}

// failed notes why the journal could not be written, unless the change was at fault.
func (b *Outbox) failed(ctx context.Context, err error) {
	var known *farm.Error
	if ctx.Err() != nil || errors.As(err, &known) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken = "see the agent's log"; errors.Is(err, errFull) {
		b.broken = "the disk is full"
	}
}

// setCrowded notes whether captured files are out of room.
func (b *Outbox) setCrowded(yes bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.crowded = yes
}
