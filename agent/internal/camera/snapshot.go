package camera

import (
	"context"
	"errors"
	"io"
	"time"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
)

// snapshotTime is how long a snapshot may take, from opening the camera on.
const snapshotTime = 5 * time.Second

// shot is a snapshot that is being taken for all who asked meanwhile.
type shot struct {
	done chan struct{}
	data []byte
	err  error
}

// Snapshot is one picture of now, or of at most a second ago. It takes five
// seconds at most; all who ask at the same time get the same picture. The data
// is shared: do not change it. Errors: those of Watch, and
// farm.PrinterNotConnected when the camera cannot be had or shows nothing in
// time.
func (r *Relay) Snapshot(ctx context.Context, serial string) ([]byte, error) {
	camera, err := r.camera(serial)
	if err != nil {
		return nil, err
	}
	if camera == bambu.CameraRTSP && r.o.FFmpeg == "" {
		return nil, noFFmpeg()
	}
	s, err := r.shot(serial, camera)
	if err != nil {
		return nil, err
	}
	select {
	case <-s.done:
		return s.data, s.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// shot joins the snapshot that is being taken, or begins one.
func (r *Relay) shot(serial string, camera bambu.Camera) (*shot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return nil, farm.Errorf(farm.Unavailable, "the agent is ending")
	}
	if s := r.shots[serial]; s != nil {
		return s, nil
	}
	s := &shot{done: make(chan struct{})}
	r.shots[serial] = s
	r.start(func(ctx context.Context) {
		s.data, s.err = r.shoot(ctx, serial, camera)
		r.mu.Lock()
		delete(r.shots, serial)
		r.mu.Unlock()
		close(s.done)
	})
	return s, nil
}

func (r *Relay) shoot(ctx context.Context, serial string, camera bambu.Camera) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, snapshotTime)
	defer cancel()
	data, err := r.picture(ctx, serial, camera)
	switch {
	case err == nil:
		return data, nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, offline(err, "the camera has shown no picture within %v", snapshotTime)
	case ctx.Err() != nil:
		return nil, farm.Errorf(farm.Unavailable, "the agent is ending")
	default:
		return nil, err
	}
}

func (r *Relay) picture(ctx context.Context, serial string, camera bambu.Camera) ([]byte, error) {
	v := &Viewer{kind: JPEG, hidden: true}
	if camera == bambu.CameraRTSP {
		v.kind = H264
	}
	v, err := r.join(ctx, serial, camera, v)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	if picture := v.feed.fresh(); picture != nil {
		return picture, nil
	}
	if camera == bambu.CameraJPEG {
		frame, err := v.Next(ctx)
		return frame.Data, err
	}
	units, err := now(ctx, v)
	if err != nil {
		return nil, err
	}
	return r.still(ctx, units)
}

// fresh is the last picture if it can pass for the present, else nil.
func (f *feed) fresh() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.picture.At) <= fresh {
		return f.picture.Data
	}
	return nil
}

// now collects what is needed to decode the present: a key frame and what came
// after it.
func now(ctx context.Context, v *Viewer) ([]Frame, error) {
	var units []Frame
	for {
		frame, err := v.Next(ctx)
		if err != nil {
			return nil, err
		}
		if frame.Key {
			units = units[:0]
		}
		if units = append(units, frame); time.Since(frame.At) <= fresh {
			return units, nil
		}
	}
}

// still makes a picture of the last of the units.
func (r *Relay) still(ctx context.Context, units []Frame) ([]byte, error) {
	select {
	case r.stew <- struct{}{}:
		defer func() { <-r.stew }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	picture, err := r.decodeLast(ctx, units)
	if err != nil && len(units) > 1 && ctx.Err() == nil { // a frame too few: the key frame is a picture too
		picture, err = r.decodeLast(ctx, units[:1])
	}
	if err != nil && ctx.Err() == nil {
		return nil, farm.Wrap(farm.Unavailable, err, "ffmpeg makes no picture of this camera's stream")
	}
	return picture, err
}

func (r *Relay) decodeLast(ctx context.Context, units []Frame) (picture []byte, err error) {
	err = r.ffmpeg(ctx, stillArgs(len(units)), func(_ context.Context, in io.Writer) error {
		for _, u := range units {
			if _, err := in.Write(u.Data); err != nil {
				return err
			}
		}
		return nil
	}, func(data []byte) bool {
		picture = data
		return false
	})
	if err == nil && picture == nil {
		err = io.ErrUnexpectedEOF
	}
	return picture, err
}
