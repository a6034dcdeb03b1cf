# Functions of the test guest; sourced by /init and the hot-plug handler.

say() { echo "xvirt-guest: $*" >/dev/console; }

# load NAME: a module and what it needs, in order (/etc/modules/NAME is made at build time).
load() {
  [ -f "/etc/modules/$1" ] || return 0
  while read -r name file; do
    [ -d "/sys/module/$name" ] || insmod "$file"
  done <"/etc/modules/$1"
}

# load_for MODALIAS: only what this machine has, since each insmod costs time under TCG.
load_for() {
  case $1 in
  pci:v00001AF4*) load virtio_pci ;;
  virtio:d00000001v*) load virtio_net ;;
  virtio:d00000002v*) load virtio_blk ;;
  virtio:d00000003v*) load virtio_console ;;
  virtio:d00000004v*) load virtio_rng ;;
  virtio:d00000005v*) load virtio_balloon ;;
  virtio:d00000008v*) load virtio_scsi; load sd_mod; load sr_mod ;;
  virtio:d00000018v*) load virtio_mem ;;
  esac
}

coldplug() {
  for bus in pci virtio; do
    for file in /sys/bus/$bus/devices/*/modalias; do
      [ -e "$file" ] && read -r modalias <"$file" && load_for "$modalias"
    done
  done
}

# The names udev would give the ports of virtio-serial.
link_ports() {
  mkdir -p /dev/virtio-ports
  for port in /sys/class/virtio-ports/*; do
    [ -s "$port/name" ] && read -r name <"$port/name" && ln -sf "/dev/${port##*/}" "/dev/virtio-ports/$name"
  done
}

online_cpus() {
  for file in /sys/devices/system/cpu/cpu*/online; do
    [ -e "$file" ] && read -r state <"$file" && [ "$state" = 0 ] && echo 1 >"$file"
  done
}

online_memory() {
  for file in /sys/devices/system/memory/memory*/state; do
    read -r state <"$file"
    [ "$state" = offline ] && echo online_movable >"$file"
  done
}

start_dhcp() {
  case $1 in eth*) ;; *) return ;; esac
  [ -e "/run/udhcpc.$1.pid" ] && kill -0 "$(cat "/run/udhcpc.$1.pid")" 2>/dev/null && return
  ip link set "$1" up
  udhcpc -f -i "$1" -p "/run/udhcpc.$1.pid" -s /etc/udhcpc.script -t 10 -T 1 -A 1 -x "hostname:$(hostname)" >/dev/null 2>&1 &
}

stop_dhcp() {
  [ -e "/run/udhcpc.$1.pid" ] && kill "$(cat "/run/udhcpc.$1.pid")"
  rm -f "/run/udhcpc.$1.pid"
}

# /data keeps what must survive a reboot; without it the directory in memory is used.
mount_data() {
  for part in /dev/vd?2 /dev/sd?2; do
    [ -b "$part" ] && mount -t ext4 "$part" /data && say "data on $part" && return
  done
  say "no data partition, /data is in memory"
}

# The volume label stands at byte 40 of the descriptor in sector 16 (ECMA-119 8.4); busybox' blkid knows no ISO9660.
is_seed() {
  case $(dd if="$1" bs=8 skip=4101 count=4 2>/dev/null) in cidata\ * | CIDATA\ *) ;; *) return 1 ;; esac
}

# read_seed: the small part of NoCloud that tests look at. Files to /run/cidata, host name set, instance-id marked.
read_seed() {
  for seed in /dev/vd[b-z] /dev/vda /dev/sr? /dev/sd?; do
    [ -b "$seed" ] && is_seed "$seed" && break
    seed=
  done
  [ -n "$seed" ] || return 0
  load isofs
  mkdir -p /run/seed /run/cidata
  mount -t iso9660 -o ro "$seed" /run/seed || mount -o ro "$seed" /run/seed || return 0
  cp /run/seed/* /run/cidata/
  umount /run/seed
  name=$(meta local-hostname)
  [ -n "$name" ] && hostname "$name"
  meta instance-id >/run/cidata-instance-id
  mkdir -p /root/.ssh
  sed -n '/^public-keys:/,$s/^- "\(.*\)"$/\1/p' /run/cidata/meta-data >/root/.ssh/authorized_keys
  say "cidata on $seed, instance-id $(cat /run/cidata-instance-id), host name $(hostname)"
}

# meta KEY: a top-level scalar of meta-data (YAML or JSON), without quotes.
meta() { tr '{},' '\n\n\n' </run/cidata/meta-data | sed -n "s/^ *\"\{0,1\}$1\"\{0,1\}: *//p" | sed "s/^[\"']//; s/[\"' ]*$//" | head -n 1; }

# run_seed: user-data once per instance-id, as cloud-init does; /run/cidata-done says that it is over.
run_seed() {
  [ -f /run/cidata/user-data ] || return 0
  if ! grep -qxF "$(cat /run/cidata-instance-id)" /data/cidata-runs 2>/dev/null; then
    case $(head -n 1 /run/cidata/user-data) in
    '#!'*) chmod +x /run/cidata/user-data && /run/cidata/user-data ;;
    *) awk -f /etc/runcmd.awk /run/cidata/user-data >/run/runcmd.sh && sh /run/runcmd.sh ;;
    esac
    cat /run/cidata-instance-id >>/data/cidata-runs
    sync
  fi
  touch /run/cidata-done
}
