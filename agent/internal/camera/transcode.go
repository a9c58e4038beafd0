package camera

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"bambuddy/shared/farm"
)

const (
	usualRate   = 10 // pictures a second for a viewer who names none
	maxRate     = 30
	maxFailures = 3 // runs of ffmpeg in a row that made no picture
	restart     = time.Second
)

// transcode makes pictures of H.264 while somebody wants them, until ctx ends.
func (f *feed) transcode(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		fps := f.wanted()
		if fps == 0 {
			failures = 0
			select {
			case <-f.rate:
			case <-ctx.Done():
			}
			continue
		}
		made, err := f.decodeAt(ctx, fps)
		switch {
		case made:
			failures = 0
		case err != nil:
			failures++
			f.log.Warn("ffmpeg made no picture", "err", err)
		}
		if failures >= maxFailures {
			f.failPictures(farm.Wrap(farm.Unavailable, err, "ffmpeg makes no pictures of this camera's stream"))
		}
		if err != nil {
			select {
			case <-time.After(restart):
			case <-ctx.Done():
			}
		}
	}
}

// wanted is the highest rate of pictures anyone asks for, 0 when nobody does.
func (f *feed) wanted() float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	fps := 0.0
	for v := range f.viewers {
		switch {
		case v.kind != JPEG:
		case v.fps == 0:
			fps = max(fps, usualRate)
		default:
			fps = max(fps, min(v.fps, maxRate))
		}
	}
	return fps
}

// decodeAt runs ffmpeg until another rate is wanted (nil) or it fails. It tells
// whether there was a picture.
func (f *feed) decodeAt(ctx context.Context, fps float64) (made bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		made, err = f.decode(ctx, fps)
	}()
	for {
		select {
		case <-done:
			if ctx.Err() != nil {
				err = nil
			}
			return made, err
		case <-f.rate:
			if f.wanted() != fps {
				cancel()
			}
		}
	}
}

// decode pipes the camera through one ffmpeg. One that is given frames and makes
// no picture for the time of a stall is ended.
func (f *feed) decode(ctx context.Context, fps float64) (made bool, err error) {
	v := &Viewer{kind: H264, hidden: true, wake: make(chan struct{}, 1)}
	if !f.join(v) {
		<-ctx.Done() // soon: the feed is ending
		return false, nil
	}
	defer v.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var hungry atomic.Bool // was given nothing since the last picture
	hungry.Store(true)
	fed := make(chan struct{}, 1) // a picture came
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel()
	watch.Go(func() {
		for ctx.Err() == nil {
			limit := time.NewTimer(stall)
			select {
			case <-fed:
			case <-ctx.Done():
				limit.Stop()
				return
			case <-limit.C:
				if !hungry.Load() { // it was given something and made nothing of it
					cancel()
				}
			}
			limit.Stop()
		}
	})
	err = f.relay.ffmpeg(ctx, streamArgs(fps), func(ctx context.Context, in io.Writer) error {
		return pipe(ctx, v, in, &hungry)
	}, func(data []byte) bool {
		made = true
		hungry.Store(true)
		signal(fed)
		f.publishPicture(Frame{Data: data, At: time.Now(), Key: true})
		return true
	})
	return made, err
}

func pipe(ctx context.Context, v *Viewer, in io.Writer, hungry *atomic.Bool) error {
	for {
		frame, err := v.Next(ctx)
		if err != nil {
			return err
		}
		if err := writeUnit(in, frame.Data); err != nil {
			return err
		}
		hungry.Store(false)
	}
}

func writeUnit(in io.Writer, data []byte) error {
	if _, err := in.Write(data); err != nil {
		return err
	}
	_, err := in.Write(delimiter)
	return err
}
