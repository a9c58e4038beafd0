package s3test

import "syscall"

// endWithUs has the server end when the test process does, however that ended: a test
// that is killed or runs out of time never comes to Kill.
func endWithUs() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
