package store

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// BecomeOwner turns a process of root into one of the owner of the state directory,
// in the owner's groups and with CAP_NET_ADMIN, if it has that, as the only
// capability: what the owner put into the directory cannot make it read, write or
// give away anything that the owner could not. It is so for all threads and for
// good. Where root is the owner, or the directory does not exist, only the
// capabilities go. A process of anybody else stays as it is.
//
// A program that is linked with C starts anew, so BecomeOwner has to come before
// anything that must not be done twice.
func BecomeOwner(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid := ownerOf(dir)
	if err := become(uid, gid); err != nil {
		return fmt.Errorf("become user %d, who owns %s: %w", uid, dir, err)
	}
	return nil
}

// ownerOf returns user and group that a directory belongs to: root's where there is
// none, which whoever opens it will find out.
func ownerOf(dir string) (uid, gid int) {
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return 0, 0
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0
	}
	return int(stat.Uid), int(stat.Gid)
}

// netAdmin is the set of CAP_NET_ADMIN.
const netAdmin = 1 << unix.CAP_NET_ADMIN

// secbitNoRoot keeps a program that root executes from having all capabilities
// (SECBIT_NOROOT in linux/securebits.h).
const secbitNoRoot = 1

// become makes a process of root one of a user, or of root still, with no other
// capability than CAP_NET_ADMIN.
func become(uid, gid int) error {
	has, err := permitted()
	if err != nil {
		return err
	}
	kept := has & netAdmin
	if uid == 0 && has == kept {
		return nil
	}
	err = change(syscall.AllThreadsSyscall, uid, gid, uint32(kept))
	if !errors.Is(err, unix.ENOTSUP) {
		return err
	}
	// Some of the threads may be C's, which Go leaves alone. What a thread executes
	// has one thread only, and what it is given here.
	runtime.LockOSThread()
	if uid == 0 {
		if err := unix.Prctl(unix.PR_SET_SECUREBITS, secbitNoRoot, 0, 0, 0); err != nil {
			return os.NewSyscallError("prctl(PR_SET_SECUREBITS)", err)
		}
	}
	if err := change(syscall.RawSyscall, uid, gid, uint32(kept)); err != nil {
		return err
	}
	return os.NewSyscallError("execve", syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
}

// systemCall makes a system call, on one thread or on all.
type systemCall func(trap, a1, a2, a3 uintptr) (r1, r2 uintptr, err syscall.Errno)

// change sets the user and his groups, if he is not root, and the capabilities, in
// all the sets in which a service has those that systemd gives it. Capabilities are
// of a thread, so call decides how many threads have them. An error that is
// [unix.ENOTSUP] comes before anything has changed.
func change(call systemCall, uid, gid int, kept uint32) error {
	if uid != 0 {
		// Or else the capabilities would go with the user (capabilities(7)).
		if _, _, errno := call(unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1, 0); errno != 0 {
			return os.NewSyscallError("prctl(PR_SET_KEEPCAPS)", errno)
		}
		if err := syscall.Setgroups(groupsOf(uid)); err != nil {
			return os.NewSyscallError("setgroups", err)
		}
		if err := syscall.Setgid(gid); err != nil {
			return os.NewSyscallError("setgid", err)
		}
		if err := syscall.Setuid(uid); err != nil {
			return os.NewSyscallError("setuid", err)
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{{Effective: kept, Permitted: kept, Inheritable: kept}}
	if _, _, errno := call(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data)), 0); errno != 0 {
		return os.NewSyscallError("capset", errno)
	}
	if kept == 0 {
		return nil
	}
	if _, _, errno := call(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_NET_ADMIN); errno != 0 {
		return os.NewSyscallError("prctl(PR_CAP_AMBIENT)", errno)
	}
	return nil
}

// permitted returns the set of the capabilities that this thread can have.
func permitted() (uint64, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData // of 32 capabilities each
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, os.NewSyscallError("capget", err)
	}
	return uint64(data[1].Permitted)<<32 | uint64(data[0].Permitted), nil
}

// groupsOf returns the groups of a user, as a service manager would set them: lease
// files may be open to one of them only. A user without an entry in the user
// database is in none.
func groupsOf(uid int) []int {
	owner, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return nil
	}
	texts, err := owner.GroupIds()
	if err != nil {
		return nil
	}
	var groups []int
	for _, text := range texts {
		if gid, err := strconv.Atoi(text); err == nil {
			groups = append(groups, gid)
		}
	}
	return groups
}
