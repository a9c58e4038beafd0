package blob_test

import "syscall"

// mountSmall puts a disk of 1 MiB at a folder; only root may.
func mountSmall(dir string) error { return syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m") }

func unmount(dir string) error { return syscall.Unmount(dir, 0) }
