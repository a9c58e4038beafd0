package app

import "golang.org/x/sys/windows"

// freeSpace is how many bytes can still be written in a directory.
func freeSpace(dir string) (bytes uint64, known bool) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, false
	}
	return bytes, windows.GetDiskFreeSpaceEx(name, &bytes, nil, nil) == nil
}
