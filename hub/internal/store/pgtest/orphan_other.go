//go:build !linux

package pgtest

import "syscall"

// endWithUs does nothing where the system cannot.
func endWithUs(a *syscall.SysProcAttr) *syscall.SysProcAttr { return a }
