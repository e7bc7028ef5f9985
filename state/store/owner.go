package store

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// BecomeOwner turns a process of root into one of the owner of the state directory,
// in the owner's groups and with CAP_NET_ADMIN, if it has that, as the only
// capability: what the owner put into the directory cannot make it read, write or
// give away anything that the owner could not. It is so for all threads and for
// good. Where root is the owner, or the directory does not exist, only the
// capabilities go. A process of anybody else stays as it is.
func BecomeOwner(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	if uid, gid := ownerOf(dir); uid != 0 {
		if err := cap.SetGroups(gid, groupsOf(uid)...); err != nil {
			return fmt.Errorf("become the owner of %s: set group %d: %w", dir, gid, err)
		}
		if err := cap.SetUID(uid); err != nil {
			return fmt.Errorf("become the owner of %s: set user %d: %w", dir, uid, err)
		}
	}
	if err := keepNetAdmin(); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
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

// groupsOf returns the further groups of a user, as a service manager would set
// them: lease files may be open to one of them only. A user without an entry in the
// user database is in none.
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

// keepNetAdmin drops all capabilities but CAP_NET_ADMIN.
func keepNetAdmin() error {
	has, err := cap.GetProc().GetFlag(cap.Permitted, cap.NET_ADMIN)
	if err != nil {
		return err
	}
	kept := cap.NewSet()
	for _, flag := range []cap.Flag{cap.Permitted, cap.Effective} {
		if err := kept.SetFlag(flag, has, cap.NET_ADMIN); err != nil {
			return err
		}
	}
	return kept.SetProc()
}
