#!/bin/bash
#
# machine.sh CGROUP: boots a machine for each line on stdin, with systemd as its
# first process, in namespaces of its own: pid, mount, network, ipc, uts, cgroup.
# Its disk is an overlay on the root file system, and what it writes stays there
# from one boot to the next, in a tmpfs. Its control groups are below CGROUP, the
# path of a directory of cgroup2; the first process is in init.scope there.
#
# Run it as root, as first process of pid and mount namespaces, so that nothing is
# left of it when it ends: unshare --mount --pid --fork --kill-child machine.sh …
# Exit status: 77 if this kind of machine can boot none.

set -euo pipefail
repository=$(realpath "$(dirname "$0")/../..")
disk=/run root=/run/root # a tmpfs in here

boot() { # in namespaces of its own
	mount -t overlay overlay -o "lowerdir=/,upperdir=$disk/upper,workdir=$disk/work" $root
	mount -t proc proc $root/proc
	# What is the machine's own, and the ID of its boot.
	cat /proc/sys/kernel/random/uuid >$disk/boot_id
	mount --bind $root/proc/sys $root/proc/sys
	mount --bind $root/proc/sys/net $root/proc/sys/net
	mount --bind $disk/boot_id $root/proc/sys/kernel/random/boot_id
	mount -o remount,bind,ro $root/proc/sys
	mount -t sysfs -o ro sysfs $root/sys
	mount -t cgroup2 cgroup2 $root/sys/fs/cgroup
	mount -t tmpfs -o mode=755 tmpfs $root/run
	mount -t tmpfs -o mode=1777 tmpfs $root/tmp
	mount -t tmpfs -o mode=755 tmpfs $root/dev
	for device in null zero full random urandom tty; do
		touch $root/dev/$device
		mount --bind /dev/$device $root/dev/$device
	done
	mkdir $root/dev/{pts,shm}
	mount -t devpts -o newinstance,ptmxmode=666 devpts $root/dev/pts
	ln -s pts/ptmx $root/dev/ptmx

	mkdir -p "$root$repository" # which may be on another file system, or in /tmp
	mount --bind "$repository" "$root$repository"
	mount -o remount,bind,ro "$root$repository"

	cd $root
	mkdir -p old
	pivot_root . old
	umount --lazy old
	exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=multi-user.target --show-status=no
}

case $1 in
boot) boot ;;
join) # the control group, before it becomes the root of what is seen of them
	echo 0 >"$2/cgroup.procs"
	exec unshare --mount --net --ipc --uts --cgroup "$0" boot
	;;
esac

{
	mount --make-rprivate /
	mount -t proc proc /proc
	mount -t tmpfs -o mode=755 tmpfs $disk
	mkdir $disk/{upper,work,root}
	mount -t overlay overlay -o "lowerdir=/,upperdir=$disk/upper,workdir=$disk/work" $root
} || exit 77

# Only what the tests enable is to run there, and nothing that reaches the kernel
# that this machine shares.
rm -rf $root/etc/systemd/system $root/var/log/journal $root/etc/fstab
mkdir -p $root/etc/systemd/system{,-generators}
ln -s /dev/null $root/etc/systemd/system-generators/systemd-sysv-generator
for unit in getty@tty1 console-getty modprobe@ systemd-{binfmt,firstboot,hwdb-update,logind,modules-load,random-seed,sysctl,timesyncd,udev-trigger,udevd}; do
	ln -s /dev/null $root/etc/systemd/system/"$unit.service"
done
tr -d - </proc/sys/kernel/random/uuid >$root/etc/machine-id
umount $root

while read -r _; do
	unshare --pid --fork --kill-child "$0" join "$1" </dev/null || true # it may be killed
done
