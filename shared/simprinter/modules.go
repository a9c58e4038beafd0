package simprinter

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"

	"bambuddy/shared/bambu"
)

// firmwares are the versions a printer has when nobody says another: those of the
// recordings that the key sets of the reports are taken from. There is none of an
// X1E, which has versions of its own; the P1S goes with the P1P, the X1 with the X1C,
// and the H2C with the H2D Pro.
var firmwares = map[string]string{
	"A1": "01.05.00.00", "A1MINI": "01.07.02.00", "A2L": "01.01.00.00", "P1P": "01.07.00.00", "P1S": "01.07.00.00",
	"X1C": "01.09.00.01", "X1": "01.09.00.01", "X1E": "01.02.00.00", "P2S": "01.01.00.00", "X2D": "01.01.00.00",
	"H2S": "01.01.00.00", "H2D": "01.01.01.00", "H2DPRO": "01.01.00.00", "H2C": "01.01.00.00",
}

// The firmware from which units of the A and P series tell their kind, and from which
// an AMS tells how it was asked to dry. What is in neither table always did.
var (
	unitsTellSince  = map[string][]int{"A1": {1, 6, 10, 33}, "A1MINI": {1, 6, 10, 33}, "P1P": {1, 7, 50, 18}, "P1S": {1, 7, 50, 18}}
	dryingTellSince = map[string][]int{"P2S": {1, 1, 50, 40}, "H2S": {1, 1, 50}, "H2D": {1, 1, 50}, "H2DPRO": {1, 1, 50}, "H2C": {1, 1, 50}}
)

// productNamedSince is the firmware from which the A1 and P1 name themselves in
// get_version; before it they say the number of the project: 01.07.00.00 still does,
// 01.07.02.00 does not.
var productNamedSince = []int{1, 7, 1}

// flash gives the machine a firmware.
func (v *machine) flash(firmware string) {
	before := func(since []int) bool {
		version, ok := bambu.ParseFirmware(firmware)
		return ok && slices.Compare(version, since) < 0
	}
	v.firmware = firmware
	v.dated = before(unitsTellSince[v.model.Code])
	v.hidesDrying = before(dryingTellSince[v.model.Code])
	v.unnamed = v.model.Reports == bambu.StyleDelta && v.model.FirstAMS != "" && before(productNamedSince)
}

// part is a board of a printer, as get_version lists it.
type part struct {
	name, hardware, version, loader string
	product                         string // of what a person can buy
	project                         string // on firmware that names projects; "" the model's
}

// noLoader is the loader version of what has none.
const noLoader = "00.00.00.00"

// boards are the parts of each model but the AMS, as recorded. A part with the name of
// the main board, or of one of the two motion boards, has the printer's serial number.
var boards = map[string][]part{
	"A1": {
		{name: "esp32", hardware: "AP05", version: "01.13.33.99"},
		{name: "mc", hardware: "MC02", version: "00.01.29.83", loader: "00.00.00.32"},
		{name: "th", hardware: "TH01", version: "00.00.07.69", loader: "00.00.00.26"},
	},
	"A1MINI": {
		{name: "esp32", hardware: "AP05", version: "01.16.39.58"},
		{name: "mc", hardware: "MC02", version: "00.01.30.10", loader: "00.00.00.32"},
		{name: "th", hardware: "TH03", version: "00.00.07.72", loader: "00.00.00.26"},
	},
	"A2L": {
		{name: "ap", hardware: "AP03", version: "01.12.50.02"},
		{name: "mc", hardware: "MC04", version: "01.01.90.49", loader: "00.01.02.37"},
		{name: "th", hardware: "TH03", version: "01.01.27.00", loader: "00.00.10.13"},
		{name: "smc", hardware: "SMC03", version: "01.01.18.97", loader: "00.00.06.03"},
	},
	"P1P": {
		{name: "esp32", hardware: "AP04", version: "01.11.32.89"},
		{name: "mc", hardware: "MC07", version: "00.00.29.75", loader: "00.00.00.23", project: "P1"},
		{name: "th", hardware: "TH09", version: "00.00.09.95", loader: "00.00.00.14", project: "P1"},
	},
	"X1C": {
		{name: "ahb", hardware: "AHB01", version: "00.00.00.43", product: "AMS Hub"},
		{name: "mc", hardware: "MC07", version: "00.00.32.89", loader: "00.00.00.28"},
		{name: "mc-sub", hardware: "N/A", version: "00.00.32.89"},
		{name: "th", hardware: "TH09", version: "00.00.07.12", loader: "00.00.00.14"},
		{name: "ap", hardware: "AP05", version: "00.00.50.76", loader: "00.00.01.08"},
	},
	"P2S": {
		{name: "ahb", hardware: "AHB-N703", version: "01.00.11.61", loader: "00.00.05.29", product: "Filament Buffer - for P2"},
		{name: "th", hardware: "TH03", version: "02.00.20.82", loader: "00.00.00.10"},
		{name: "smc", hardware: "SMC01", version: "02.00.13.93", loader: "00.00.06.03"},
		{name: "mc", hardware: "MC06", version: "01.00.69.85", loader: "00.01.02.07"},
		{name: "ap", hardware: "AP04", version: "00.00.69.32", loader: "00.00.01.11"},
	},
	"X2D": {
		{name: "ahb", hardware: "AHB-N602", version: "02.00.17.18", loader: "00.00.08.14", product: "Filament Buffer - for X2"},
		{name: "eef", hardware: "EEF01", version: "00.00.13.35", loader: "00.00.00.24", product: "Bambu Lab External Exhaust Fan"},
		{name: "ixmj", hardware: "N/A", version: "00.00.36.49"},
		{name: "th", hardware: "TH06", version: "02.00.27.16", loader: "00.00.07.10"},
		{name: "smc", hardware: "SMC03", version: "02.00.18.23", loader: "00.00.06.03"},
		{name: "mc", hardware: "MC12", version: "02.00.90.74", loader: "00.01.02.31"},
		{name: "ap2", hardware: "AP04", version: "00.00.36.49", loader: "00.00.02.04"},
	},
	"H2S": {
		{name: "ahb", hardware: "AHB02", version: "02.04.09.70", loader: "00.00.00.21"},
		{name: "mc-sub", hardware: "N/A", version: "00.00.00.00"},
		{name: "th", hardware: "TH04", version: "02.00.19.33", loader: "00.00.01.01"},
		{name: "smc", hardware: "SMC09", version: "02.01.12.02", loader: "00.00.09.26"},
		{name: "mc", hardware: "MC09", version: "02.00.65.20", loader: "02.00.65.20"},
		{name: "ap", hardware: "AP05", version: "00.00.65.32", loader: "00.00.01.11"},
	},
	"H2D": {
		{name: "ahb", hardware: "AHB02", version: "00.00.09.75", loader: "00.00.00.21"},
		{name: "mc", hardware: "MC09", version: "02.02.56.50", loader: "02.02.56.50"},
		{name: "mc-sub", hardware: "N/A", version: "02.02.56.50", loader: "02.02.56.50"},
		{name: "th", hardware: "TH08", version: "02.00.17.46", loader: "00.00.17.22"},
		{name: "ext", hardware: "EXT07", version: "00.00.08.18", loader: "00.00.01.00"},
		{name: "smc", hardware: "SMC09", version: "02.00.11.79", loader: "00.00.09.26"},
		{name: "ap", hardware: "AP05", version: "00.00.50.02", loader: "00.00.01.11"},
	},
	"H2DPRO": {
		{name: "ahb", hardware: "AHB02", version: "02.04.09.70", loader: "00.00.00.21"},
		{name: "mc-sub", hardware: "N/A", version: "00.00.00.00"},
		{name: "th", hardware: "TH08", version: "02.00.19.33", loader: "00.00.17.22"},
		{name: "ext", hardware: "EXT07", version: "00.00.08.18", loader: "00.00.01.00"},
		{name: "smc", hardware: "SMC09", version: "02.01.12.02", loader: "00.00.09.26"},
		{name: "mc", hardware: "MC09", version: "02.00.65.27", loader: "02.00.65.27"},
		{name: "ap", hardware: "AP01", version: "00.00.67.21", loader: "00.00.01.11"},
	},
}

// boardsOf are the parts of a model; some are not recorded, and like their sisters.
func boardsOf(m bambu.Model) []part {
	like := map[string]string{"P1S": "P1P", "X1": "X1C", "X1E": "X1C", "H2C": "H2DPRO"}[m.Code]
	if like == "" {
		return boards[m.Code]
	}
	out := slices.Clone(boards[like])
	for i := range out {
		if m.Code == "X1E" && out[i].name == "ap" { // the one board that tells it from an X1C
			out[i].hardware = "AP02"
		}
	}
	return out
}

// amsPart is the AMS among the parts.
func (v *machine) amsPart() part {
	p := part{name: "n3f/0", hardware: "N3F05", version: "03.00.21.29", product: "AMS 2 Pro (1)"}
	switch {
	case v.unit() == 16:
		p = part{name: "ams_f1/16", hardware: "AMS_F102", version: "00.00.08.22", product: "AMS lite"}
	case v.lite() && v.unnamed:
		p = part{name: "ams_f1/0", hardware: "AMS_F102", version: "00.00.07.94"}
	case v.lite():
		p = part{name: "ams_f1/0", hardware: "AMS_F102", version: "00.00.08.15", product: "AMS Lite"}
	case v.model.FirstAMS == bambu.AMS && v.model.Reports == bambu.StyleDelta:
		p = part{name: "ams/0", hardware: "AMS08", version: "00.00.06.49", product: "AMS (1)"}
	case v.model.FirstAMS == bambu.AMS:
		p = part{name: "ams/0", hardware: "AMS08", version: "00.01.06.62", product: "AMS (1)"}
	}
	return p
}

// amsSerial is the number of the AMS, whose prefix is its kind's.
func (v *machine) amsSerial() string {
	prefix := "19C"
	switch {
	case v.lite():
		prefix = "03C"
	case v.model.FirstAMS == bambu.AMS:
		prefix = "006"
	}
	return prefix + "00A000000001"
}

// modules is what get_version lists.
func (v *machine) modules(serial string) []obj {
	product := "Bambu Lab " + v.model.Name
	if v.model.Code == "X1C" {
		product = "Bambu Lab X1-Carbon"
	}
	ota := part{name: "ota", hardware: "OTA", version: v.firmware, product: product}
	if v.model.Reports == bambu.StyleFull {
		ota.hardware = "N/A"
	}
	first := v.module(ota, serial)
	if first["flag"] = 3; v.model.Code[0] == 'P' && v.unnamed {
		first["flag"] = 0
	}
	if v.unnamed {
		delete(first, "loader_ver")
	}
	out := []obj{first}
	ams := v.module(v.amsPart(), v.amsSerial())
	if v.unnamed { // it is nobody's project
		ams["project_name"], ams["ota_ver"] = "", noLoader
	}
	for _, p := range boardsOf(v.model) {
		one := v.module(p, partSerial(p.name, serial))
		if v.unnamed && p.loader == "" {
			delete(one, "loader_ver")
		}
		out = append(out, one)
	}
	switch {
	case v.unplugged:
	case v.model.Reports == bambu.StyleFull:
		out = slices.Insert(out, 1, ams)
	default:
		out = append(out, ams)
	}
	return out
}

// module is a part as the firmware writes it: with the project's number, or with a name
// for what a person knows.
func (v *machine) module(p part, serial string) obj {
	m := obj{"name": p.name, "hw_ver": p.hardware, "sw_ver": p.version, "loader_ver": noLoader, "sn": serial, "flag": 0}
	if p.loader != "" {
		m["loader_ver"] = p.loader
	}
	if !v.unnamed {
		maps.Copy(m, obj{"product_name": p.product, "visible": p.product != ""})
		return m
	}
	if m["project_name"] = p.project; p.project == "" {
		m["project_name"] = v.model.ProductIDs[0]
	}
	return m
}

// partSerial is the number of a part: the printer's own, or that of what was built
// by others.
func partSerial(name, serial string) string {
	switch name {
	case "esp32", "ap", "ap2", "mc", "th":
		return serial
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(serial + name)) // never fails
	return fmt.Sprintf("%016X", h.Sum64())[:15]
}

// version answers get_version. The A1, the A2L and the P1 say that it was a success.
func (p *Printer) version(r request) {
	out := obj{"command": "get_version", "sequence_id": r.seq, "module": p.body.modules(p.spec.Serial)}
	if p.body.unnamed || p.model.Code == "A2L" {
		out["result"], out["reason"] = "success", ""
	}
	p.publish(obj{"info": out})
}
