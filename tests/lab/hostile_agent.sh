# In place of the guest agent: answers libvirt's questions as an agent never would. Run by the test guest's shell.
port=/dev/virtio-ports/org.qemu.guest_agent.0
exec 3<>"$port"
many_users() {
  awk 'BEGIN { printf "{\"return\": ["; for (i = 0; i < 5000; i++) printf "%s{\"user\": \"u%d\", \"login-time\": 1.0}", i ? ", " : "", i; print "]}" }'
}
while :; do
  read -r line <&3 || { sleep 1; continue; } # nobody on the host's side yet
  case $line in
  *guest-sync*)
    id=${line##*:}
    printf '{"return": %s}\n' "${id%%\}*}"
    ;;
  *guest-get-users*) many_users ;;
  *guest-get-host-name*) printf '{"return": {"host-name": "evil\\u001b[2J\\u0007"}}\n' ;;
  *guest-get-osinfo*) printf '{"return": {"id": 7, "name": [], "pretty-name": "Evil"}}\n' ;;
  *guest-network-get-interfaces*)
    printf '{"return": [{"name": "eth0", "hardware-address": "%s", "ip-addresses": [' "$(cat /sys/class/net/eth0/address)"
    printf '{"ip-address": "127.0.0.1", "ip-address-type": "ipv4", "prefix": 8},'
    printf '{"ip-address": "not-an-address", "ip-address-type": "ipv4", "prefix": 8},'
    printf '{"ip-address": "203.0.113.9", "ip-address-type": "ipv4", "prefix": 24}]}]}\n'
    ;;
  *) printf '{"error": {"class": "CommandNotFound", "desc": "no"}}\n' ;;
  esac >&3
done
