package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	_ "image/png" // pictures in 3MF files
	"io"

	"bambuddy/shared/farm"
	"bambuddy/shared/threemf"
)

// Bounds of a picture that is made a thumbnail: slicers write 512 × 512.
const (
	maxPictureBytes  = 8 << 20
	maxPicturePixels = 1600 * 1600
	pictureQuality   = 85
)

// thumbnailFrom gives a print its plate's picture, unless it has one.
func (a *Archive) thumbnailFrom(ctx context.Context, print farm.Print, f *threemf.File, plate int) error {
	if has, err := a.alreadyHas(ctx, print, farm.RoleThumbnail); has || err != nil {
		return err
	}
	picture, size, err := f.Picture(plate, threemf.PlatePicture)
	if err != nil {
		return err
	}
	defer func() { _ = picture.Close() }()
	return a.storePicture(ctx, print, farm.RoleThumbnail, picture, size)
}

// storePicture stores a picture as JPEG, which is what everybody is given.
func (a *Archive) storePicture(ctx context.Context, print farm.Print, role string, from io.Reader, size int64) error {
	if seek, ok := from.(io.Seeker); ok {
		if _, err := seek.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("rewind: %w", err)
		}
	}
	if size > maxPictureBytes {
		return farm.Errorf(farm.FileUnavailable, "the picture has %d bytes, more than %d", size, maxPictureBytes)
	}
	a.painting.Lock() // unpacked, each takes some megabytes
	data, err := asJPEG(io.LimitReader(from, maxPictureBytes))
	a.painting.Unlock()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	in := content{role: role, sha256: hex.EncodeToString(sum[:]), size: int64(len(data)), name: farm.FileName(role, "")}
	key, err := a.keyFor(ctx, print, in)
	if err != nil {
		return err
	}
	return a.store(ctx, print, in, key, bytes.NewReader(data), nil)
}

// asJPEG reads a picture and writes it as JPEG; what is transparent becomes white.
func asJPEG(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read a picture: %w", err)
	}
	head, format, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, farm.Wrap(farm.FileUnavailable, err, "the picture cannot be read")
	}
	if head.Width <= 0 || head.Height <= 0 || head.Width > maxPicturePixels/head.Height {
		return nil, farm.Errorf(farm.FileUnavailable, "the picture is %d × %d, too large", head.Width, head.Height)
	}
	if format == "jpeg" {
		return data, nil
	}
	picture, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, farm.Wrap(farm.FileUnavailable, err, "the picture cannot be read")
	}
	flat := image.NewRGBA(picture.Bounds())
	draw.Draw(flat, flat.Bounds(), image.NewUniform(color.White), image.Point{}, draw.Src)
	draw.Draw(flat, flat.Bounds(), picture, picture.Bounds().Min, draw.Over)
	var out bytes.Buffer
	if err := jpeg.Encode(&out, flat, &jpeg.Options{Quality: pictureQuality}); err != nil {
		return nil, fmt.Errorf("write a picture: %w", err)
	}
	return out.Bytes(), nil
}
