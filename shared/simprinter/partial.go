package simprinter

import "reflect"

// changes are the keys of now that differ from was; of the AMS only what moved in it.
func changes(was, now obj) obj {
	return differing(was, now, func(key string, old, new obj) obj {
		if key == "ams" {
			return changes(old, new)
		}
		return new
	})
}

// fineChanges are the same on the machines whose partial reports go deeper: into the
// hardware tree, and into units and slots of the AMS by their id.
func fineChanges(was, now obj) obj {
	return differing(was, now, func(key string, old, new obj) obj {
		switch key {
		case "ams":
			return amsChanges(old, new)
		case "device":
			return deepChanges(old, new)
		}
		return new
	})
}

// differing are the keys of now that differ from was; of an object that part says.
func differing(was, now obj, part func(key string, old, new obj) obj) obj {
	out := obj{}
	for key, v := range now {
		old, had := was[key]
		if had && reflect.DeepEqual(old, v) {
			continue
		}
		out[key] = v
		before, wasObject := old.(obj)
		if after, isObject := v.(obj); wasObject && isObject {
			out[key] = part(key, before, after)
		}
	}
	return out
}

// deepChanges goes into objects; arrays are replaced.
func deepChanges(was, now obj) obj {
	return differing(was, now, func(_ string, old, new obj) obj { return deepChanges(old, new) })
}

// ownChanges goes no deeper. A slot that was emptied changes its state, and keeps
// nothing else: that is how it says that its data is gone.
func ownChanges(was, now obj) obj {
	return differing(was, now, func(_ string, _, new obj) obj { return new })
}

func amsChanges(was, now obj) obj {
	out := ownChanges(was, now)
	before, _ := was["ams"].([]obj)
	after, _ := now["ams"].([]obj)
	if _, moved := out["ams"]; moved && sameIDs(before, after) {
		out["ams"] = byID(before, after, unitChanges)
	}
	return out
}

// unitChanges is what an AMS has to say: of its slots those that changed.
func unitChanges(was, now obj) obj {
	out := ownChanges(was, now)
	before, _ := was["tray"].([]obj)
	after, _ := now["tray"].([]obj)
	if _, moved := out["tray"]; moved && sameIDs(before, after) {
		out["tray"] = byID(before, after, ownChanges)
	}
	return out
}

// byID are the members that changed, each with its id.
func byID(was, now []obj, changed func(was, now obj) obj) []obj {
	out := []obj{}
	for i := range now {
		if c := changed(was[i], now[i]); len(c) > 0 && !reflect.DeepEqual(was[i], now[i]) {
			c["id"] = now[i]["id"]
			out = append(out, c)
		}
	}
	return out
}

func sameIDs(a, b []obj) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i]["id"] != b[i]["id"] {
			return false
		}
	}
	return true
}
