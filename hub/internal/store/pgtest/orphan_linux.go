package pgtest

import "syscall"

// endWithUs has the server end when the test process does, however that ended: a
// test that is killed or runs out of time never comes to Stop.
func endWithUs(a *syscall.SysProcAttr) *syscall.SysProcAttr {
	a.Pdeathsig = syscall.SIGQUIT
	return a
}
