package simprinter

import (
	"strconv"
	"strings"
)

// word is a bit field as reported.
func word(bits uint64) string { return strings.ToUpper(strconv.FormatUint(bits, 16)) }

// flag sets one bit.
func flag(n uint, on bool) uint64 { return uint64(bit(on)) << n }

// homeFlag says which axes are homed, how the storage is, and what is switched on.
func (v *machine) homeFlag() int32 {
	s := v.set
	flags := 1<<18 | 1<<19 | 1<<25 | flag(4, s.autoRecovery) | flag(5, s.record) | flag(7, s.remain) | flag(8, v.card) | flag(10, s.refill) |
		flag(11, s.keepFiles) | flag(17, s.sound) | flag(20, s.tangle) | flag(23, v.door && v.oldDoor()) | flag(24, s.blob > 0) | flag(28, s.airPrint)
	if v.homed {
		flags |= 7
	}
	return int32(uint32(flags))
}

// oldDoor tells whether the door shows in home_flag: on the X1, whose firmware had
// a door before it had stat.
func (v *machine) oldDoor() bool { return strings.HasPrefix(v.model.Code, "X1") }

// functions are what the firmware of a model says it can do, as recorded; the bit
// for signed commands (29) is not in them.
var functions = map[string]uint64{
	"X1C": 0x11A30F9CFB &^ (1 << 29), "X1": 0x11A30F9CFB &^ (1 << 29), "X1E": 0x11A30F9CFB &^ (1 << 29),
	"P2S": 0x60029FD1A3FF9CB7 &^ (1 << 29), "X2D": 0x40029FD1B30F9CB7 &^ (1 << 29), "A2L": 0x100D122002FBD &^ (1 << 29),
	"H2S": 0x21FF1AFFF9CB7 &^ (1 << 29), "H2D": 0x3EC18FFF9CFF, "H2DPRO": 0x4023FF18FFF9CB3, "H2C": 0x4023FF18FFF9CB3,
}

// Bits of fun that say which commands there are.
const (
	funBackToCenter = 32
	funJog          = 38
	funBed          = 39
	funIdleHeating  = 62
)

// can tells whether the firmware has a function; what sends no fun has none.
func (v *machine) can(bit uint) bool { return functions[v.model.Code]>>bit&1 == 1 }

// fun: bit 29 says that commands must be signed.
func (v *machine) fun() string { return word(functions[v.model.Code] | flag(29, v.secured)) }

// cfg holds the settings of newer firmware.
func (v *machine) cfg() string {
	s := v.set
	monitor := s.watch["printing_monitor"]
	bits := 0x1C000000 | flag(0, s.insertRead) | flag(1, s.powerRead) | flag(3, s.record) | flag(4, s.resolution == "1080p") | flag(5, s.timelapse) |
		flag(7, v.light != lampOff) | uint64(v.speed)<<8 | flag(12, s.watch["first_layer_inspector"].on) | uint64(level(monitor.level))<<13 |
		flag(15, monitor.on) | flag(16, s.autoRecovery) | flag(17, s.remain) | flag(18, s.refill) | flag(19, s.keepFiles) | uint64(s.door)<<20 |
		flag(22, s.sound) | flag(23, s.tangle) | flag(24, s.blob > 0) | flag(32, s.idleHeating) | uint64(s.purify)<<36
	return word(bits)
}

// aux: bits 12 and 13 say how the storage is, 1 is well.
func (v *machine) aux() string { return word(0x2800004 | flag(12, v.card)) }

// stat: bit 7 says that the camera records, bit 23 that the door is open.
func (v *machine) stat() string {
	return word(0x46258008 | flag(7, v.set.record && v.busy()) | flag(23, v.door))
}
