//go:build !linux

package s3test

import "syscall"

// endWithUs does nothing where the system cannot.
func endWithUs() *syscall.SysProcAttr { return nil }
