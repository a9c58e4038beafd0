// Package e2e tests the whole system: hub, agents and simulated printers together
// in one process, on an in-memory network and under virtual time, so that ten
// minutes without a network pass in a second. It holds tests only.
package e2e
