package atomicfile

// SyncDir does nothing: Windows cannot sync a directory, its file system
// journals renames.
func SyncDir(string) error { return nil }
