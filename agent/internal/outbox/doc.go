// Package outbox is an agent's memory on disk: the journal of what its hub has not
// acknowledged, what the detectors and captures know, and the files that wait to be
// fetched. It is the only SQL on the agent.
//
// A change is one transaction and durable when Commit returns; nothing is told to
// anybody before. Records are numbered from 1 within an epoch, which names this very
// journal: when it is lost, another epoch begins. What the hub has acknowledged is
// kept for a while, for a hub that is restored from a backup. The agent never refuses
// to start for a journal that is damaged: it is set aside, what can be read of it is
// taken over, and what cannot is told as a gap.
package outbox
