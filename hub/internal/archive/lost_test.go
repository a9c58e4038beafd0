package archive

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"bambuddy/hub/internal/blob"
	"bambuddy/shared/farm"
)

// An object that the store has lost is fetched again for the next print of it, and is
// back for those before as well, whatever the file is called now.
func TestALostObjectComesBack(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		model := sliced("Part", 1000)
		pull := r.captured(farm.RoleModel, "part.3mf", model)
		first := r.print(nil, pull)
		r.begin()
		time.Sleep(time.Second)
		if err := r.objects.Delete(r.t.Context(), r.keys("models/")[0]); err != nil {
			t.Fatal(err)
		}
		pull.Name = "other name.3mf"
		second := r.print(nil, pull)
		time.Sleep(time.Minute)
		for _, p := range []farm.Print{first, second} {
			if _, data := r.file(p.ID, farm.RoleModel); !bytes.Equal(data, model) {
				t.Errorf("archive %d has other bytes", p.ID)
			}
		}
	})
}

// What the store has lost is fetched again as long as its agent has it: when somebody
// asks for it, and in time also when nobody does.
func TestLostFilesAreFetchedAgain(t *testing.T) {
	for name, asked := range map[string]bool{"asked for": true, "not asked for": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(r *rig) {
				ctx := r.t.Context()
				model := sliced("Part", 1000)
				pulls := []farm.Pull{r.captured(farm.RoleModel, "part.3mf", model), r.captured(farm.RoleFinish, "finish.jpg", mustJPEG(t)), r.captured(farm.RoleTimelapse, "video.avi", []byte("film"))}
				p := r.print(nil, pulls...)
				other := r.print(nil, pulls[0])
				r.begin()
				time.Sleep(time.Second)
				for _, key := range r.keys("") {
					if strings.HasSuffix(key, ".json") || strings.HasSuffix(key, "thumbnail.jpg") {
						continue
					}
					if err := r.objects.Delete(ctx, key); err != nil {
						t.Fatal(err)
					}
				}
				if asked {
					for _, pull := range pulls {
						f, err := r.archive.File(ctx, p.ID, pull.Role)
						if err != nil {
							t.Fatal(err)
						}
						if _, err := r.archive.Open(ctx, f, 0, -1); !farm.Is(err, farm.FileUnavailable) {
							t.Errorf("%s: %v", pull.Role, err)
						}
					}
					time.Sleep(10 * time.Second)
				} else {
					time.Sleep(missEvery)
				}
				if _, data := r.file(p.ID, farm.RoleModel); !bytes.Equal(data, model) {
					t.Error("it is not what it was")
				}
				r.file(other.ID, farm.RoleModel)
				r.file(p.ID, farm.RoleFinish)
				if f, _ := r.file(p.ID, farm.RoleTimelapse); f.MediaType != "video/x-msvideo" || len(r.pulls()) != 0 {
					t.Errorf("%+v, left %+v", f, r.pulls())
				}
			})
		})
	}
}

// What nobody has any more stays lost, and is told as such.
func TestAFileThatNobodyHas(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		p := r.print(nil, r.captured(farm.RoleModel, "part.3mf", sliced("Part", 100)))
		r.begin()
		time.Sleep(time.Second)
		r.sites.set(func(s *sites) { clear(s.files) })
		f, _ := r.file(p.ID, farm.RoleModel)
		if err := r.objects.Delete(r.t.Context(), f.Key); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := r.archive.Open(r.t.Context(), f, 0, -1); !farm.Is(err, farm.FileUnavailable) || !strings.Contains(err.Error(), "lost") {
				t.Errorf("%v", err)
			}
			time.Sleep(10 * time.Second)
		}
		if len(r.pulls()) != 0 {
			t.Errorf("left %+v", r.pulls())
		}
	})
}

// While the object store is away files wait, with the reason; when it is back they are
// stored, and nothing was fetched more than once.
func TestTheObjectStoreIsAway(t *testing.T) {
	for name, trouble := range map[string]error{"away": blob.ErrAway, "refusing": blob.ErrRefused} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(r *rig) {
				r.objects.Break(func(string, string) error { return trouble })
				model := sliced("Part", 1000)
				p := r.print(nil, r.captured(farm.RoleModel, "part.3mf", model), r.captured(farm.RoleThumbnail, "plate_1.png", picture(64)))
				r.begin()
				time.Sleep(3 * time.Minute)
				if is := r.is(p.ID); is.FileStatus != farm.FilePending || !strings.Contains(is.FileError, trouble.Error()) {
					t.Errorf("it is %s: %q", is.FileStatus, is.FileError)
				}
				r.objects.Break(nil)
				time.Sleep(6 * time.Minute)
				r.file(p.ID, farm.RoleModel)
				r.file(p.ID, farm.RoleThumbnail)
				if asked, _ := r.sites.told(); len(asked) != 2 {
					t.Errorf("asked for %q", asked)
				}
			})
		})
	}
}

// A store that breaks while a stored model is read for another print of it costs that
// print nothing of what the slicer says.
func TestTheObjectStoreBreaksWhileAModelIsRead(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		pull := r.captured(farm.RoleModel, "part.3mf", sliced("Part", 100_000))
		r.print(nil, pull)
		r.begin()
		time.Sleep(time.Second)
		r.objects.Break(func(op, _ string) error {
			if op == "get" {
				return blob.ErrAway
			}
			return nil
		})
		p := r.print(nil, pull)
		time.Sleep(time.Minute)
		if is := r.is(p.ID); is.FileStatus != farm.FilePending {
			t.Errorf("it is %s", is.FileStatus)
		}
		r.objects.Break(nil)
		time.Sleep(5 * time.Minute)
		if is := r.is(p.ID); is.FileStatus != farm.FileStored || is.FilamentType != "PETG" || !is.HasFile(farm.RoleThumbnail) {
			t.Errorf("it is %s, of %q, has %q", is.FileStatus, is.FilamentType, is.Has)
		}
	})
}
