package app

import "bambuddy/hub/internal/blob"

// Objects is where archives keep their files; see Options.Objects. Tests of the whole
// system give a store of their own.
type Objects = blob.Store

// ObjectInfo is what is known of one object.
type ObjectInfo = blob.Info

// MemoryObjects keeps objects in memory and can be made to fail.
type MemoryObjects = blob.Memory

// NewMemoryObjects makes an empty one.
func NewMemoryObjects() *MemoryObjects { return blob.NewMemory() }
