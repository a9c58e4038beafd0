// Package camera fans pictures out: however many people look at a printer's
// camera, one copy of it crosses the link to the agent, and none when nobody looks.
// A viewer that is slow misses frames and holds nobody up.
package camera
