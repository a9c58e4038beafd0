// Package camera shows the cameras of the printers: pictures from port 6000 (A1
// and P1) or H.264 from RTSPS on port 322 (the other models).
//
// A [Relay] keeps one upstream per printer, however many watch: it opens with the
// first [Viewer], hands every frame to all of them and closes five seconds after
// the last has gone. A viewer that is slower than the camera misses frames; it
// never holds up the others. H.264 is passed through untouched; pictures of
// those models come from one ffmpeg process per printer, which runs only while
// somebody wants pictures.
//
// Printers are strangers: every length is bounded, a broken frame is passed over
// and a broken conversation ends the connection. Nothing is sent before the
// certificate is known to be the printer's.
package camera
