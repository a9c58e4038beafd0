package camera

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"os/exec"
	"strconv"
	"sync"
	"time"
)

// killDelay is how long a killed ffmpeg may take to be gone before its pipes are
// given up.
const killDelay = 2 * time.Second

// maxErrors is how much of what ffmpeg complains about is kept.
const maxErrors = 1 << 10

// delimiter is an access unit delimiter. Behind a unit it tells ffmpeg that the
// unit is complete, so that it does not wait for the next one.
var delimiter = []byte{0, 0, 0, 1, nalAUD, 0xf0}

// h264Input are the arguments that make ffmpeg read H.264 from its input. What a
// hostile camera sends is kept from opening anything and from needing the whole
// memory.
func h264Input(more ...string) []string {
	args := []string{"-hide_banner", "-loglevel", "error", "-protocol_whitelist", "pipe", "-max_pixels", "16777216"}
	return append(append(args, more...), "-f", "h264", "-i", "pipe:0")
}

// streamArgs make pictures, fps of them a second, as soon as they are there, not
// larger than those of the models that send pictures.
func streamArgs(fps float64) []string {
	// Neither nobuffer nor low_delay: with them ffmpeg waits for 16 KB before it
	// begins, which a quiet scene takes seconds for.
	input := h264Input("-use_wallclock_as_timestamps", "1", "-probesize", "32", "-threads", "1")
	filter := "fps=" + strconv.FormatFloat(fps, 'f', 3, 64) + ",scale='min(1280,iw)':-2"
	return append(input, "-an", "-vf", filter, "-c:v", "mjpeg", "-q:v", "5", "-flush_packets", "1", "-f", "mpjpeg", "pipe:1")
}

// stillArgs make one picture, of the n-th frame.
func stillArgs(n int) []string {
	filter := fmt.Sprintf(`select=gte(n\,%d)`, n-1)
	return append(h264Input("-threads", "2"), "-an", "-vf", filter, "-frames:v", "1", "-c:v", "mjpeg", "-q:v", "3", "-f", "mpjpeg", "pipe:1")
}

// ffmpeg runs the program until it ends, ctx ends or picture returns false.
// write fills its input and returns soon after its context has ended or writing
// fails. Nothing of it is left when ffmpeg returns.
func (r *Relay) ffmpeg(ctx context.Context, args []string, write func(context.Context, io.Writer) error, picture func([]byte) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.o.FFmpeg, args...)
	cmd.WaitDelay = killDelay
	complaints := &head{}
	cmd.Stderr = complaints
	in, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("start ffmpeg: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start ffmpeg: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start ffmpeg: %w", err)
	}
	hangUp := onDone(ctx, func() { // wakes who waits in a pipe, whatever the process does
		_ = in.Close()
		_ = out.Close()
	})
	var writer sync.WaitGroup
	writer.Go(func() {
		_ = write(ctx, in)
		_ = in.Close()
	})
	err = readPictures(out, picture)
	cancel()
	hangUp()
	writer.Wait()
	_ = cmd.Wait() // of a process that was killed: nothing to learn
	if err != nil && complaints.text != nil {
		return fmt.Errorf("%w: ffmpeg says %q", err, complaints.text)
	}
	return err
}

// readPictures reads the parts that ffmpeg's mpjpeg format is made of.
func readPictures(r io.Reader, picture func([]byte) bool) error {
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		data, err := readPart(in)
		if err != nil {
			return err
		}
		if isJPEG(data) && !picture(data) {
			return nil
		}
	}
}

func readPart(in *bufio.Reader) ([]byte, error) {
	text := textproto.NewReader(in)
	for { // the boundary; an empty line ends the part before
		line, err := text.ReadLine()
		if err != nil {
			return nil, err
		}
		if line != "" {
			break
		}
	}
	header, err := text.ReadMIMEHeader()
	if err != nil {
		return nil, err
	}
	size, err := strconv.Atoi(header.Get("Content-Length"))
	if err != nil || size < 0 || size > maxPicture {
		return nil, errors.New("ffmpeg made a picture of no usable size")
	}
	return readBounded(in, size)
}

// head keeps the beginning of what is written to it.
type head struct{ text []byte }

// Write never fails.
func (h *head) Write(b []byte) (int, error) {
	h.text = append(h.text, b[:min(len(b), maxErrors-len(h.text))]...)
	return len(b), nil
}
