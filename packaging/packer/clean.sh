#!/bin/sh
# Takes from the instance all that only this one may have.  The very last thing before the image is made.  As root.
#   STAGING   optional: the directory of the uploads, removed
set -eu
: "${STAGING:=}"

annex-agent clean
[ -z "$STAGING" ] || rm -rf "$STAGING"

# cloud-init of Amazon Linux 2023 does not know --machine-id yet.
if command -v cloud-init >/dev/null && cloud-init clean --help | grep -q -e --machine-id; then
    cloud-init clean --logs --machine-id
else
    ! command -v cloud-init >/dev/null || cloud-init clean --logs
    : >/etc/machine-id
fi
# In a chroot cloud-init sees no systemd, and takes the file away: without it a read-only root could get none.
[ -e /etc/machine-id ] || : >/etc/machine-id
# Two machines with one machine id get one DHCP lease; D-Bus may have a copy.
[ -L /var/lib/dbus/machine-id ] || rm -f /var/lib/dbus/machine-id
# Each instance makes its own.  The connection that runs this has its keys already.
rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
rm -f /root/.bash_history /home/*/.bash_history
sync
