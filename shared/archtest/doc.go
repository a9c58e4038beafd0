// Package archtest holds the rules of this repository as tests: who may import
// whom, what pure packages stay away from, and what the tree looks like. It
// reads the sources and runs nothing. Every rule carries sources that break it,
// so that it is known to fail.
package archtest
