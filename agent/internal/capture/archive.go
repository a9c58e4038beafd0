package capture

import (
	"errors"
	"io"

	"bambuddy/shared/threemf"
)

// archive is what a capture wants of a 3MF.
type archive struct {
	file   *threemf.File
	title  string  // as its makers called it, "" when they did not
	plates []plate // those that were sliced
}

// plate is one that was sliced.
type plate struct {
	number int // from 1
	layers int // 0: not told
}

// open3MF reads a 3MF, or tells what is wrong with it. It may be whole another time,
// when it was still being written.
func open3MF(r io.ReaderAt, size int64) (archive, verdict) {
	f, err := threemf.Open(r, size)
	if err != nil {
		no := verdict{problem: "it cannot be read", damaged: true}
		var known *threemf.Error
		if errors.As(err, &known) {
			no.problem = known.Reason
		}
		return archive{}, no
	}
	a := archive{file: f, title: f.Title}
	for _, p := range f.Plates() {
		if p.GcodePath != "" {
			a.plates = append(a.plates, plate{p.Index, p.TotalLayers})
		}
	}
	return a, verdict{}
}

// picture is that of a plate, as the slicer drew it, or else the small one.
func (a archive) picture(plate int) (io.ReadCloser, error) {
	r, _, err := a.file.Picture(plate, threemf.PlatePicture)
	if err != nil {
		r, _, err = a.file.Picture(plate, threemf.SmallPicture)
	}
	return r, err
}
