#!/bin/sh
# Called by mmdebstrap with the new tree, beside which the folder `lay` holds wheels and the key: makes of it a host
# that boots, takes ssh with that key alone, reaches nothing, and has isobench's dependencies in /opt/isobench-python.
# A fresh host has no wheels but `authorities`: it reaches the mirrors, and installs by itself what it needs.
set -eu
root=$1 lay=$2
mkdir -p "$root/tmp/lay"
cp -r "$lay"/. "$root/tmp/lay"

network='Address=10.0.2.15/24'
: > "$root/etc/resolv.conf"
if [ -e "$lay/authorities" ]; then
    network="$network\nGateway=10.0.2.2"
    echo "nameserver 10.0.2.3" > "$root/etc/resolv.conf"
    cp "$lay/authorities" "$root/etc/ssl/certs/lab.crt"
    printf '[global]\ncert = /etc/ssl/certs/lab.crt\ntimeout = 180\n' > "$root/etc/pip.conf"
    sed -i /Install-Recommends/d "$root/etc/apt/apt.conf.d/99mmdebstrap" # the installer leaves it as it is
else
    chroot "$root" python3 -m venv /opt/isobench-python
    pip="chroot $root /opt/isobench-python/bin/pip install --quiet --no-index --find-links /tmp/lay/wheels"
    $pip --upgrade setuptools wheel
    $pip --no-build-isolation -r /tmp/lay/requirements.txt
fi

install -d -m 700 "$root/root/.ssh"
install -m 600 "$lay/key.pub" "$root/root/.ssh/authorized_keys"
mkdir -p "$root/etc/ssh/sshd_config.d"
printf 'UseDNS no\nMaxStartups 50\nMaxSessions 50\n' > "$root/etc/ssh/sshd_config.d/lab.conf"

cat "$lay/hostname" > "$root/etc/hostname"
echo "127.0.0.1 localhost $(cat "$lay/hostname")" > "$root/etc/hosts"
echo "/dev/vda / ext4 defaults 0 1" > "$root/etc/fstab"
mkdir -p "$root/etc/systemd/network"
printf "[Match]\nDriver=virtio_net\nName=en*\n[Network]\n$network\n" > "$root/etc/systemd/network/10-lab.network"
chroot "$root" systemctl --quiet enable systemd-networkd
for timer in apt-daily apt-daily-upgrade man-db e2scrub_all fstrim dpkg-db-backup; do
    chroot "$root" systemctl --quiet disable "$timer.timer" 2> /dev/null || true
done

# An initramfs with what this machine has, and not with every driver: unpacking is slow where the CPU is emulated.
echo MODULES=list > "$root/etc/initramfs-tools/conf.d/lab"
printf 'virtio_pci\nvirtio_blk\next4\n' >> "$root/etc/initramfs-tools/modules"
test -e /lay/second-stage || chroot "$root" update-initramfs -u -k all # a foreign host has one already
chroot "$root" sh /tmp/lay/commands
rm -rf "$root/tmp/lay"
