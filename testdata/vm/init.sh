#!/bin/busybox sh
# shellcheck shell=dash
#
# The first process of a virtual machine. It starts the agent, or, where a disk is to
# be the root, the first process there, which starts the agent as a service.

/bin/busybox --install -s /bin
export PATH=/usr/sbin:/usr/bin HOME=/root
mkdir -p /dev /proc /run /sys /tmp /root /etc/ppp
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /run
# Some kernels have them built in.
/sbin/modprobe -a virtio_pci virtio_console virtio_rng virtio_blk 2>/dev/null

# The name of a port is known only after its driver has asked for it.
port() {
	until grep -qs '^agent$' /sys/class/virtio-ports/*/name; do
		sleep 0.05
	done
	echo "/dev/$(basename "$(dirname "$(grep -l '^agent$' /sys/class/virtio-ports/*/name)")")"
}

case " $(cat /proc/cmdline) " in
*" disk "*)
	mkdir -p /disk /run/systemd/system/sysinit.target.wants
	/sbin/modprobe ext4
	mount -t ext4 /dev/vda /disk
	cp /agent /run/agent
	cat >/run/systemd/system/agent.service <<EOF_UNIT
[Unit]
Description=Agent of the test that booted this machine
DefaultDependencies=no
[Service]
ExecStart=/run/agent $(port)
Environment=HOME=/root
EOF_UNIT
	ln -s ../agent.service /run/systemd/system/sysinit.target.wants/agent.service
	mount --move /dev /disk/dev
	mount --move /run /disk/run
	umount /sys /proc
	exec switch_root /disk /sbin/init
	;;
esac

mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /dev/pts /var
ln -s /run /var/run
mount -t devpts devpts /dev/pts
mknod /dev/ppp c 108 0
touch /etc/ppp/options
printf '%s:/:/bin/sh\n' root:x:0:0: nobody:x:65534:65534: >/etc/passwd
printf '%s\n' root:x:0: nogroup:x:65534: >/etc/group
/agent "$(port)"
echo "init.sh: the agent ended"
poweroff -f
