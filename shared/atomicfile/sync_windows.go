package atomicfile

// syncDir does nothing: Windows cannot sync a directory, its file system
// journals renames.
func syncDir(string) error { return nil }
