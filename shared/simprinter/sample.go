package simprinter

import (
	"archive/zip"
	"bytes"
	"crypto/md5" //nolint:gosec // the format asks for it
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"bambuddy/shared/bambu"
)

// maxPlates is how many plates a sample has at most, as in the slicers.
const maxPlates = 36

// samples makes sliced archives for prints that bring no file of their own. It keeps
// what it drew and the last archives, so that a thousand prints cost little.
type samples struct {
	mu       sync.Mutex
	pictures map[pictureKey][]byte
	archives map[sampleKey][]byte
}

// sampleKey is what an archive depends on: the same print gives the same bytes.
type sampleKey struct {
	model, name   string
	plate, plates int
	minutes       float64
}

// keptArchives is how many are kept.
const keptArchives = 64

// sample is an archive that is made.
type sample struct {
	title  string
	model  bambu.Model
	plates []samplePlate
	tone   int // of its pictures
}

// samplePlate is a sliced plate.
type samplePlate struct {
	number  int
	objects int
	total   time.Duration // start sequence included
	print   time.Duration
	layers  int
	spools  []sampleSpool
}

// sampleSpool is a filament that a plate uses.
type sampleSpool struct {
	id    int // of the project, from 1
	grams float64
}

// metres are of PLA, 1.75 mm.
func (s sampleSpool) metres() float64 { return s.grams / 3 }

// archive is the 3MF of a print.
func (s *samples) archive(j PrintJob, m bambu.Model) []byte {
	key := sampleKey{m.Code, stem(j.Name), max(1, j.Plate), min(j.Plates, maxPlates), j.length().Minutes()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b, ok := s.archives[key]; ok {
		return b
	}
	if s.archives == nil || len(s.archives) >= keptArchives {
		s.archives = map[sampleKey][]byte{}
	}
	b := s.pack(newSample(key, m))
	s.archives[key] = b
	return b
}

func newSample(key sampleKey, m bambu.Model) sample {
	s := sample{title: key.name, model: m, tone: toneOf(key.name)}
	for n := 1; n <= key.plates; n++ {
		s.plates = append(s.plates, newPlate(n, key))
	}
	if key.plate > key.plates {
		s.plates = append(s.plates, newPlate(key.plate, key))
	}
	return s
}

// newPlate slices a plate. The one that is printed takes as long as it does; the
// others take longer the more they are.
func newPlate(n int, key sampleKey) samplePlate {
	minutes := key.minutes
	if n != key.plate {
		minutes *= 1 + float64(n)/4
	}
	length := time.Duration(minutes * float64(time.Minute))
	p := samplePlate{number: n, objects: 1 + (n-1)%8, print: length, total: length + prepareOf(length), layers: layersOf(minutes)}
	grams := max(0.01, minutes/4)
	if p.spools = []sampleSpool{{1, grams}}; n%2 == 0 { // with a gap: the second is not used
		p.spools = []sampleSpool{{1, grams * 0.7}, {3, grams * 0.3}}
	}
	return p
}

func (p samplePlate) grams() (sum float64) {
	for _, s := range p.spools {
		sum += s.grams
	}
	return sum
}

// stem is a title without what file names end in.
func stem(name string) string {
	return strings.TrimSuffix(strings.TrimSuffix(name, ".3mf"), ".gcode")
}

// member is a file of an archive.
type member struct {
	name string
	data []byte
}

func (s *samples) pack(a sample) []byte {
	members := a.frame()
	for _, p := range a.plates {
		code := a.gcode(p)
		at := fmt.Sprintf("Metadata/plate_%d", p.number)
		members = append(members, member{at + ".gcode", code},
			member{at + ".gcode.md5", fmt.Appendf(nil, "%X", md5.Sum(code))}, //nolint:gosec // as above
			member{at + ".json", p.boxes()})
		members = slices.Concat(members, s.views(a, p))
	}
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	for _, m := range members {
		method := zip.Deflate
		if strings.HasSuffix(m.name, ".png") {
			method = zip.Store
		}
		if w, err := archive.CreateHeader(&zip.FileHeader{Name: m.name, Method: method}); err == nil { // a buffer takes everything
			_, _ = w.Write(m.data)
		}
	}
	_ = archive.Close()
	return out.Bytes()
}

// plateIn is the first sliced plate of a 3MF, 0 when there is none.
func plateIn(data []byte) int {
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return 0
	}
	first := 0
	for _, f := range archive.File {
		n := 0
		if _, err := fmt.Sscanf(f.Name, "Metadata/plate_%d.gcode", &n); err == nil && f.Name == fmt.Sprintf("Metadata/plate_%d.gcode", n) && n > 0 && (first == 0 || n < first) {
			first = n
		}
	}
	return first
}
