package bambu

import (
	"slices"
	"strings"
	"time"
)

// Model is what is known of a printer model. Models differ in data, not in code.
type Model struct {
	Code       string   // ours: "X1C", "A1MINI"
	Name       string   // as sold: "X1 Carbon"
	ProductIDs []string // the vendor's: "BL-P001"; the first is what new files carry
	Aliases    []string // other spellings found in the wild
	Prefix     string   // of the serial number, 3 characters

	ChamberSensor bool
	ChamberHeater bool
	DoorSensor    bool
	AuxFan        bool // can have one: on the P1P both are options
	ChamberFan    bool
	FirstAMS      string // the kind of unit its first firmware knew, "" when units always told
	Nozzles       int
	NozzleMax     int // °C the model may be asked for
	BedMax        int // °C; of the X1 on 110 V, less on 220 V
	ChamberMax    int // °C, 0 without a heater

	Camera        Camera
	Reports       Style
	PushallBudget time.Duration // shortest time between two PushAll, 0 none
}

// Camera is how a model shows its picture.
type Camera string

// The kinds of cameras.
const (
	CameraNone Camera = ""
	CameraJPEG Camera = "jpeg" // TLS stream of JPEG pictures, port 6000
	CameraRTSP Camera = "rtsp" // RTSPS with H.264, port 322
)

// Port is where the camera listens, 0 without one.
func (c Camera) Port() int {
	switch c {
	case CameraJPEG:
		return 6000
	case CameraRTSP:
		return 322
	default:
		return 0
	}
}

// Style is how a model reports.
type Style string

// The styles of reporting.
const (
	StyleDelta Style = "delta" // small compact frames with what changed, about every 2 s
	StyleFull  Style = "full"  // whole pretty-printed objects, newer firmware mixes in partial ones
)

const slowPushall = 5 * time.Minute

var models = []Model{
	{
		Code: "X1C", Name: "X1 Carbon", ProductIDs: []string{"BL-P001"}, Aliases: []string{"3DPrinter-X1-Carbon"}, Prefix: "00M",
		ChamberSensor: true, DoorSensor: true, AuxFan: true, ChamberFan: true,
		FirstAMS: AMS, Nozzles: 1, NozzleMax: 300, BedMax: 120, Camera: CameraRTSP, Reports: StyleFull,
	},
	{
		Code: "X1", Name: "X1", ProductIDs: []string{"BL-P002"}, Aliases: []string{"3DPrinter-X1"}, Prefix: "00W",
		ChamberSensor: true, DoorSensor: true, AuxFan: true, ChamberFan: true,
		FirstAMS: AMS, Nozzles: 1, NozzleMax: 300, BedMax: 120, Camera: CameraRTSP, Reports: StyleFull,
	},
	{
		Code: "X1E", Name: "X1E", ProductIDs: []string{"C13"}, Prefix: "03W",
		ChamberSensor: true, ChamberHeater: true, DoorSensor: true, AuxFan: true, ChamberFan: true,
		FirstAMS: AMS, Nozzles: 1, NozzleMax: 320, BedMax: 110, ChamberMax: 60, Camera: CameraRTSP, Reports: StyleFull,
	},
	{
		Code: "P1P", Name: "P1P", ProductIDs: []string{"C11"}, Prefix: "01S",
		AuxFan: true, ChamberFan: true,
		FirstAMS: AMS, Nozzles: 1, NozzleMax: 300, BedMax: 100, Camera: CameraJPEG, Reports: StyleDelta, PushallBudget: slowPushall,
	},
	{
		Code: "P1S", Name: "P1S", ProductIDs: []string{"C12"}, Prefix: "01P",
		AuxFan: true, ChamberFan: true,
		FirstAMS: AMS, Nozzles: 1, NozzleMax: 300, BedMax: 100, Camera: CameraJPEG, Reports: StyleDelta, PushallBudget: slowPushall,
	},
	{
		Code: "P2S", Name: "P2S", ProductIDs: []string{"N7", "N7-V2"}, Prefix: "22E",
		ChamberSensor: true, DoorSensor: true, AuxFan: true, ChamberFan: true,
		Nozzles: 1, NozzleMax: 300, BedMax: 110, Camera: CameraRTSP, Reports: StyleFull,
	},
	{
		Code: "A1MINI", Name: "A1 mini", ProductIDs: []string{"N1"}, Aliases: []string{"A1M"}, Prefix: "030",
		FirstAMS: AMSLite, Nozzles: 1, NozzleMax: 300, BedMax: 80, Camera: CameraJPEG, Reports: StyleDelta, PushallBudget: slowPushall,
	},
	{
		Code: "A1", Name: "A1", ProductIDs: []string{"N2S"}, Prefix: "039",
		FirstAMS: AMSLite, Nozzles: 1, NozzleMax: 300, BedMax: 100, Camera: CameraJPEG, Reports: StyleDelta, PushallBudget: slowPushall,
	},
	{
		Code: "A2L", Name: "A2L", ProductIDs: []string{"N9"}, Prefix: "26A",
		Nozzles: 1, NozzleMax: 300, BedMax: 80, Camera: CameraJPEG, Reports: StyleDelta, PushallBudget: slowPushall,
	},
	{
		Code: "H2S", Name: "H2S", ProductIDs: []string{"O1S"}, Prefix: "093",
		ChamberSensor: true, ChamberHeater: true, DoorSensor: true, AuxFan: true, ChamberFan: true,
		Nozzles: 1, NozzleMax: 350, BedMax: 120, ChamberMax: 65, Camera: CameraRTSP, Reports: StyleFull,
	},
	{
		Code: "H2D", Name: "H2D", ProductIDs: []string{"O1D", "O1D-V2"}, Prefix: "094",
		ChamberSensor: true, ChamberHeater: true, DoorSensor: true, AuxFan: true, ChamberFan: true,
		Nozzles: 2, NozzleMax: 350, BedMax: 120, ChamberMax: 65, Camera: CameraRTSP, Reports: StyleFull,
	},
	{
		Code: "H2DPRO", Name: "H2D Pro", ProductIDs: []string{"O1E", "O2D"}, Aliases: []string{"H2DP"}, Prefix: "239",
		ChamberSensor: true, ChamberHeater: true, DoorSensor: true, AuxFan: true, ChamberFan: true,
		Nozzles: 2, NozzleMax: 350, BedMax: 120, ChamberMax: 65, Camera: CameraRTSP, Reports: StyleFull,
	},
	{
		Code: "H2C", Name: "H2C", ProductIDs: []string{"O1C", "O1C2"}, Prefix: "31B",
		ChamberSensor: true, ChamberHeater: true, DoorSensor: true, AuxFan: true, ChamberFan: true,
		Nozzles: 2, NozzleMax: 350, BedMax: 120, ChamberMax: 65, Camera: CameraRTSP, Reports: StyleFull,
	},
	{
		Code: "X2D", Name: "X2D", ProductIDs: []string{"N6", "N6-V2"}, Prefix: "20P",
		ChamberSensor: true, ChamberHeater: true, DoorSensor: true, AuxFan: true, ChamberFan: true,
		Nozzles: 2, NozzleMax: 300, BedMax: 120, ChamberMax: 65, Camera: CameraRTSP, Reports: StyleFull,
	},
	// A laser machine of the slicer's files that is not sold yet: it has no nozzle,
	// and nothing else is known of it.
	{Code: "N8", Name: "N8", ProductIDs: []string{"N8"}, Prefix: "35F", Reports: StyleFull},
}

// Models are all models, in a fixed order. The slice is the caller's own.
func Models() []Model { return slices.Clone(models) }

// Two indexes over the table, built once.
var (
	modelsByCode = indexModels(func(m Model) []string { return []string{m.Code} }, strings.Clone)
	modelsByWord = indexModels(func(m Model) []string {
		return slices.Concat([]string{m.Code, m.Name}, m.ProductIDs, m.Aliases)
	}, plainModel)
)

func indexModels(words func(Model) []string, form func(string) string) map[string]Model {
	index := map[string]Model{}
	for _, m := range models {
		for _, w := range words(m) {
			index[form(w)] = m
		}
	}
	return index
}

// ModelByCode finds a model by its exact code.
func ModelByCode(code string) (Model, bool) {
	m, ok := modelsByCode[code]
	return m, ok
}

// ParseModel finds a model by what people and printers write: its code, name or
// product id, in any case, with or without the maker, spaces and dashes
// ("Bambu Lab X1-Carbon", "bl-p001", "a1 mini").
func ParseModel(word string) (Model, bool) {
	if len(word) > 64 {
		return Model{}, false
	}
	m, ok := modelsByWord[plainModel(word)]
	return m, ok
}

func plainModel(word string) string {
	word = strings.NewReplacer(" ", "", "-", "", "_", "").Replace(strings.ToLower(word))
	return strings.TrimPrefix(word, "bambulab")
}

// ModelOfSerial finds the model whose prefix a serial number has.
func ModelOfSerial(serial string) (Model, bool) {
	for _, m := range models {
		if len(serial) > len(m.Prefix) && strings.EqualFold(serial[:len(m.Prefix)], m.Prefix) {
			return m, true
		}
	}
	return Model{}, false
}
