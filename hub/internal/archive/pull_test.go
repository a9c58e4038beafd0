package archive

import (
	"bytes"
	"context"
	"errors"
	"image/jpeg"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/hub/internal/blob"
	"bambuddy/shared/farm"
)

func TestAllFilesOfAPrintComeHome(t *testing.T) {
	for name, video := range map[string]string{"video.mp4": "video/mp4", "video.avi": "video/x-msvideo"} {
		inBubble(t, nil, func(r *rig) {
			model := sliced("Benchy", 1000)
			pulls := []farm.Pull{
				r.captured(farm.RoleModel, "benchy.gcode.3mf", model), r.captured(farm.RoleThumbnail, "plate_1.png", picture(64)),
				r.captured(farm.RoleFinish, "finish.jpg", mustJPEG(t)), r.captured(farm.RoleTimelapse, name, []byte("moving pictures")),
			}
			p := r.print(nil, pulls...)
			if is := r.is(p.ID); is.FileStatus != farm.FilePending {
				t.Errorf("before, its file is %s", is.FileStatus)
			}
			r.begin()
			time.Sleep(time.Second)
			if left := r.pulls(); len(left) != 0 {
				t.Fatalf("left: %+v", left)
			}
			_, released := r.sites.told()
			slices.Sort(released)
			if !slices.Equal(released, refs(p, pulls...)) {
				t.Errorf("the agent was told of %q", released)
			}
			if f, data := r.file(p.ID, farm.RoleModel); !bytes.Equal(data, model) || f.Key != "models/"+pulls[0].SHA256+"/benchy.gcode.3mf" || f.Path != p.Dir+"/benchy.gcode.3mf" {
				t.Errorf("the model: %+v", f)
			}
			f, data := r.file(p.ID, farm.RoleThumbnail)
			if head, err := jpeg.DecodeConfig(bytes.NewReader(data)); err != nil || head.Width != 64 || f.MediaType != "image/jpeg" || f.Path != p.Dir+"/thumbnail.jpg" {
				t.Errorf("the thumbnail: %v, %+v", err, f)
			}
			if f, data := r.file(p.ID, farm.RoleFinish); !bytes.Equal(data, mustJPEG(t)) || f.MediaType != "image/jpeg" {
				t.Errorf("the photo: %+v", f)
			}
			if f, _ := r.file(p.ID, farm.RoleTimelapse); f.MediaType != video || f.Key != "prints/"+farm.Slug(r.site(), 40)+"/"+p.Dir+"/timelapse"+filepath.Ext(name) {
				t.Errorf("the timelapse: %+v", f)
			}
			is := r.is(p.ID)
			switch {
			case is.FileStatus != farm.FileStored || is.SHA256 != pulls[0].SHA256 || is.FileSize != int64(len(model)) || is.Filename != "benchy.gcode.3mf":
				t.Errorf("its file: %+v", is)
			case is.Name != "Benchy" || is.Plate != 1 || is.TotalLayers != 100 || is.FilamentType != "PETG" || *is.FilamentUsed != 20 || *is.Estimate != 3600 || is.BedType != "Cool Plate":
				t.Errorf("what the slicer says: %+v", is)
			}
			for _, role := range []string{farm.RoleModel, farm.RoleThumbnail, farm.RoleFinish, farm.RoleTimelapse} {
				if !is.HasFile(role) {
					t.Errorf("it has %q, not %s", is.Has, role)
				}
			}
			if staged, _ := os.ReadDir(filepath.Join(r.dir, "staging")); len(staged) != 0 {
				t.Errorf("staging holds %v", staged)
			}
		})
	}
}

func mustJPEG(t *testing.T) []byte {
	t.Helper()
	data, err := asJPEG(bytes.NewReader(picture(32)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (r *rig) site() string {
	r.t.Helper()
	s, err := r.db.Site(r.t.Context(), 1)
	if err != nil {
		r.t.Fatal(err)
	}
	return s.Name
}

// broken is a body that breaks after some bytes.
func broken(data []byte) io.ReadCloser {
	return io.NopCloser(io.MultiReader(bytes.NewReader(data), failingReader{}))
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

// A transfer that breaks off goes on where it ended, also in the next process.
func TestATransferIsResumed(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		model := sliced("Benchy", 100_000)
		pull := r.captured(farm.RoleModel, "benchy.3mf", model)
		times := 0
		r.sites.set(func(s *sites) {
			s.answer = func(_ context.Context, _ string, offset int64) (*http.Response, error) {
				if times++; times > 2 {
					return nil, nil
				}
				return &http.Response{StatusCode: http.StatusPartialContent, Body: broken(model[offset : offset+30_000])}, nil
			}
		})
		p := r.print(nil, pull)
		r.begin()
		time.Sleep(2 * time.Second)
		if is := r.is(p.ID); is.FileStatus != farm.FilePending || !strings.Contains(is.FileError, "broke off after 30000 of") {
			t.Errorf("it is %s: %s", is.FileStatus, is.FileError)
		}
		r.end()
		r.begin()
		time.Sleep(time.Minute)
		asked, released := r.sites.told()
		want := []string{pull.SHA256 + "@0", pull.SHA256 + "@30000", pull.SHA256 + "@60000"}
		if !slices.Equal(asked, want) || len(released) != 1 {
			t.Errorf("asked for %q, released %q", asked, released)
		}
		if _, data := r.file(p.ID, farm.RoleModel); !bytes.Equal(data, model) {
			t.Error("what is stored is not what was captured")
		}
		if is := r.is(p.ID); is.FileError != "" {
			t.Errorf("it still says %q", is.FileError)
		}
	})
}

// Bytes that are not what was announced are thrown away and fetched anew: also when it
// is what an earlier try left that is wrong, and when a range is not honoured.
func TestWrongBytesAreFetchedAnew(t *testing.T) {
	model := sliced("Benchy", 10_000)
	wrong := bytes.Repeat([]byte("x"), len(model))
	for name, answer := range map[string]func(n int, offset int64) *http.Response{
		"other bytes": func(int, int64) *http.Response {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(bytes.NewReader(wrong))}
		},
		"too many": func(int, int64) *http.Response {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(bytes.NewReader(append(wrong, 'x')))}
		},
		"too few": func(int, int64) *http.Response {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(bytes.NewReader(wrong[1:]))}
		},
		"broken, wrong": func(int, int64) *http.Response { return &http.Response{StatusCode: 200, Body: broken(wrong[:500])} },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(r *rig) {
				n := 0
				r.sites.set(func(s *sites) {
					s.answer = func(_ context.Context, _ string, offset int64) (*http.Response, error) {
						if n++; n == 1 {
							return answer(n, offset), nil
						}
						return nil, nil
					}
				})
				p := r.print(nil, r.captured(farm.RoleModel, "benchy.3mf", model))
				r.begin()
				time.Sleep(time.Second)
				if len(r.keys("models/")) != 0 {
					t.Error("wrong bytes were stored")
				}
				time.Sleep(2 * time.Minute)
				if _, data := r.file(p.ID, farm.RoleModel); !bytes.Equal(data, model) {
					t.Error("what is stored is not what was captured")
				}
			})
		})
	}
}

// A file that is damaged at its agent is given up after some tries, and the agent need
// not keep it.
func TestAFileThatIsDamagedAtTheAgent(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		model := sliced("Benchy", 100)
		pull := r.captured(farm.RoleModel, "benchy.3mf", model)
		r.sites.set(func(s *sites) { s.files[pull.SHA256] = bytes.Repeat([]byte("x"), len(model)) })
		p := r.print(nil, pull)
		r.begin()
		time.Sleep(24 * time.Hour)
		asked, released := r.sites.told()
		if is := r.is(p.ID); is.FileStatus != farm.FileMissing || !strings.Contains(is.FileError, "damaged") || len(asked) != mostWrong+1 || len(released) != 1 {
			t.Errorf("it is %s (%q) after %d tries, released %q", is.FileStatus, is.FileError, len(asked), released)
		}
		if r.archive.Arrived(p.ID, farm.RoleModel) != 0 {
			t.Error("it is shown as on its way for ever")
		}
	})
}

// A hub that was restored from a backup has no row of what its store holds, and its
// agents no longer have the files.
func TestAModelThatOnlyTheStoreKnows(t *testing.T) {
	for name, whole := range map[string]bool{"whole": true, "damaged": false} {
		inBubble(t, nil, func(r *rig) {
			model := sliced("Benchy", 100)
			pull := r.captured(farm.RoleModel, "benchy.3mf", model)
			lies := bytes.Clone(model)
			if !whole {
				lies[len(lies)/2] ^= 1
			}
			if _, err := r.objects.Put(r.t.Context(), "models/"+pull.SHA256+"/benchy.3mf", bytes.NewReader(lies), int64(len(lies)), blob.PutOptions{}); err != nil {
				t.Fatal(err)
			}
			r.sites.set(func(s *sites) { clear(s.files) })
			p := r.print(nil, pull)
			r.begin()
			time.Sleep(time.Minute)
			if is := r.is(p.ID); (is.FileStatus == farm.FileStored) != whole || whole && is.FilamentType != "PETG" {
				t.Errorf("%s: its file is %s, filament %q", name, is.FileStatus, is.FilamentType)
			}
		})
	}
}

// What an agent has lost is told as it is, and is not asked for again.
func TestTheAgentHasLostTheFile(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		pull := r.captured(farm.RoleModel, "benchy.3mf", sliced("Benchy", 100))
		r.sites.set(func(s *sites) { clear(s.files) })
		p := r.print(nil, pull)
		r.begin()
		time.Sleep(5 * time.Minute)
		if asked, _ := r.sites.told(); len(asked) != 1 {
			t.Errorf("asked %d times", len(asked))
		}
		if is := r.is(p.ID); is.FileStatus != farm.FileMissing || is.FileError == "" {
			t.Errorf("it is %s: %q", is.FileStatus, is.FileError)
		}
		_, err := r.archive.File(r.t.Context(), p.ID, farm.RoleModel)
		if !farm.Is(err, farm.FileUnavailable) || !strings.Contains(err.Error(), "no longer has the file") {
			t.Errorf("asked for, it says %v", err)
		}
		if staged, _ := os.ReadDir(filepath.Join(r.dir, "staging")); len(staged) != 0 {
			t.Errorf("staging holds %v", staged)
		}
	})
}

// A picture that is none is given up with what is wrong with it, and its agent need
// not keep it.
func TestAPictureThatCannotBeRead(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		pull := r.captured(farm.RoleThumbnail, "plate_1.png", []byte("no picture"))
		p := r.print(nil, pull)
		r.begin()
		time.Sleep(time.Minute)
		_, err := r.archive.File(r.t.Context(), p.ID, farm.RoleThumbnail)
		if !farm.Is(err, farm.FileUnavailable) || !strings.Contains(err.Error(), "picture cannot be read") {
			t.Errorf("%v", err)
		}
		if _, released := r.sites.told(); !slices.Equal(released, refs(p, pull)) || len(r.pulls()) != 0 {
			t.Errorf("released %q, left %+v", released, r.pulls())
		}
	})
}

// The same content of many prints, at many printers, is transferred once and stored
// once; each agent is told for each.
func TestTheSameContentIsFetchedOnce(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		pull := r.captured(farm.RoleModel, "part.3mf", sliced("Part", 1000))
		r.begin()
		var all []farm.Print
		for range 20 {
			all = append(all, r.print(nil, pull))
		}
		time.Sleep(time.Minute)
		asked, released := r.sites.told()
		if len(asked) != 1 || len(released) != 20 || len(r.keys("models/")) != 1 {
			t.Errorf("asked %d times, released %d, %d objects", len(asked), len(released), len(r.keys("models/")))
		}
		for i, p := range all {
			is := r.is(p.ID)
			if is.FileStatus != farm.FileStored || is.Name != "Part" || (i > 0) != (is.Duplicate == all[0].ID) {
				t.Errorf("archive %d: %s, duplicate of %d", p.ID, is.FileStatus, is.Duplicate)
			}
			r.file(p.ID, farm.RoleThumbnail) // out of the 3MF
		}
	})
}

// An agent that cannot be told is told later, and nothing is fetched twice for that.
func TestReleasingIsTriedAgain(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.sites.set(func(s *sites) { s.release = farm.Errorf(farm.AgentOffline, "the agent is not connected") })
		p := r.print(nil, r.captured(farm.RoleModel, "part.3mf", sliced("Part", 100)), r.captured(farm.RoleFinish, "finish.jpg", mustJPEG(t)))
		r.begin()
		time.Sleep(time.Minute)
		if is := r.is(p.ID); is.FileStatus != farm.FileStored || is.FileError != "" || len(r.pulls()) != 2 {
			t.Errorf("it is %s (%s), left %+v", is.FileStatus, is.FileError, r.pulls())
		}
		r.sites.set(func(s *sites) { s.release = nil })
		time.Sleep(5 * time.Minute)
		if asked, released := r.sites.told(); len(asked) != 2 || len(released) != 2 || len(r.pulls()) != 0 {
			t.Errorf("asked %d times, released %q, left %+v", len(asked), released, r.pulls())
		}
	})
}

// Nobody wants the file of a deleted print: its agent is told so, and nothing is kept.
func TestAPrintDeletedBeforeItsFileCame(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		pull := r.captured(farm.RoleModel, "part.3mf", sliced("Part", 100_000))
		first := true
		r.sites.set(func(s *sites) {
			s.answer = func(_ context.Context, sha string, _ int64) (*http.Response, error) {
				if !first {
					return nil, nil
				}
				first = false
				return &http.Response{StatusCode: 200, Body: broken(s.files[sha][:1000])}, nil
			}
		})
		p := r.print(nil, pull)
		r.begin()
		time.Sleep(time.Second)
		if err := r.db.DeletePrint(r.t.Context(), p.ID, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		asked, released := r.sites.told()
		if len(asked) != 1 || !slices.Equal(released, refs(p, pull)) || len(r.pulls()) != 0 || len(r.keys("")) != 0 {
			t.Errorf("asked %q, released %q, left %+v, objects %q", asked, released, r.pulls(), r.keys(""))
		}
		if staged, _ := os.ReadDir(filepath.Join(r.dir, "staging")); len(staged) != 0 {
			t.Errorf("staging holds %v", staged)
		}
	})
}

// An agent that stops sending in the middle is given up after a minute and asked again.
func TestAStalledTransfer(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		model := sliced("Part", 10_000)
		pull := r.captured(farm.RoleModel, "part.3mf", model)
		n := 0
		quiet, mouth := io.Pipe()
		r.sites.set(func(s *sites) {
			s.answer = func(ctx context.Context, _ string, _ int64) (*http.Response, error) {
				if n++; n > 1 {
					return nil, nil
				}
				context.AfterFunc(ctx, func() { _ = mouth.CloseWithError(ctx.Err()) }) // as bodies of requests do
				return &http.Response{StatusCode: 200, Body: io.NopCloser(io.MultiReader(bytes.NewReader(model[:100]), quiet))}, nil
			}
		})
		p := r.print(nil, pull)
		r.begin()
		time.Sleep(pullStall + time.Second)
		if is := r.is(p.ID); !strings.Contains(is.FileError, "broke off after 100 of") {
			t.Errorf("it says %q", is.FileError)
		}
		time.Sleep(time.Minute)
		if _, data := r.file(p.ID, farm.RoleModel); !bytes.Equal(data, model) {
			t.Error("what is stored is not what was captured")
		}
	})
}

// A slow agent with many files holds up no other one's.
func TestASlowAgentHoldsUpNoOtherOne(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		hold := make(chan struct{})
		slow := map[string]bool{}
		r.sites.set(func(s *sites) {
			s.answer = func(_ context.Context, sha string, _ int64) (*http.Response, error) {
				if !slow[sha] {
					return nil, nil
				}
				return &http.Response{StatusCode: 200, Body: io.NopCloser(waiting{hold})}, nil
			}
		})
		var many []farm.Pull
		for i := range 70 {
			many = append(many, r.captured(farm.RoleFinish, "finish.jpg", []byte{byte(i)}))
			slow[many[i].SHA256] = true
		}
		r.print(nil, many...)
		p := r.print(func(p *farm.Print) { p.AgentID, p.PrinterID = 2, 2 }, r.captured(farm.RoleModel, "part.3mf", sliced("Part", 100)))
		r.begin()
		time.Sleep(20 * time.Second)
		if is := r.is(p.ID); is.FileStatus != farm.FileStored {
			t.Errorf("the other agent's file is %s", is.FileStatus)
		}
		close(hold)
		synctest.Wait()
	})
}

type waiting struct{ until chan struct{} }

func (w waiting) Read([]byte) (int, error) {
	<-w.until
	return 0, io.ErrUnexpectedEOF
}

func TestTransfersAreFollowed(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		w := r.archive.Watch()
		defer w.Close()
		pull := r.captured(farm.RoleFinish, "finish.jpg", mustJPEG(t))
		slow := true
		r.sites.set(func(s *sites) {
			s.answer = func(_ context.Context, sha string, offset int64) (*http.Response, error) {
				if !slow {
					return nil, nil
				}
				slow = false
				return &http.Response{StatusCode: 200, Body: broken(s.files[sha][:100])}, nil
			}
		})
		p := r.print(nil, pull)
		r.begin()
		time.Sleep(time.Second)
		got, err := w.Next(r.t.Context())
		if err != nil || len(got) != 1 || got[0].Bytes != 100 || got[0].Size != pull.Size || got[0].Done || got[0].Error == "" || got[0].PrintID != p.ID {
			t.Errorf("%+v, %v", got, err)
		}
		if n := r.archive.Arrived(p.ID, farm.RoleFinish); n != 100 {
			t.Errorf("%d bytes have arrived", n)
		}
		time.Sleep(time.Minute)
		got, err = w.Next(r.t.Context())
		if err != nil || len(got) != 1 || !got[0].Done || got[0].Error != "" || got[0].Bytes != pull.Size {
			t.Errorf("%+v, %v", got, err)
		}
		late := r.archive.Watch() // there is nothing to be told of any more
		defer late.Close()
		if len(late.news) != 0 {
			t.Errorf("%+v", late.news)
		}
	})
}
