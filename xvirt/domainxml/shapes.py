"""Which children libvirt's elements have: in the order in which it writes them, and which of them may stand more than once (`*`).

This table decides what a tree looks like (`xvirt.domainxml.tree`): a child with `*` is always a list, and no `$order` is needed where
siblings stand as they do here. It is part of the trees' format, so a name's place and mark never change; names that it lacks come
after those that it has, by name, and are a list where there are several. An element's own name is all that counts, so that a fragment
looks as it does within its document. Proposed by `python -m tools.corpus.shapes` from libvirt's schemas, formatter and documents.
"""

from __future__ import annotations

from collections.abc import Mapping

Shape = tuple[Mapping[str, int], frozenset[str]]
"""Child -> its place, and the children that are always a list."""

_TABLE = """
acpi: table*
active_pcr_banks: sha256 sha512 sha1 sha384
arch: wordsize emulator machine* domain* loader
audio: input output
backend: device encryption source active_pcr_banks protocol log
backingStore: path format source permissions backingStore timestamps
bandwidth: inbound outbound
bank: control*
baseBoard: entry*
binary: cache sandbox lock thread_pool
bios: entry*
blkiotune: weight device*
bond: arpmon miimon interface*
bridge: interface*
cache: bank* size line monitor
cachetune: cache* monitor*
capabilities: host mac_admin mac_override mknod guest* sys_module audit_control audit_write block_suspend chown
  dac_override dac_read_search fowner fsetid ipc_lock ipc_owner kill lease linux_immutable net_admin net_bind_service
  net_broadcast net_raw setfcap setgid setpcap setuid sys_admin sys_boot sys_chroot sys_nice sys_pacct sys_ptrace
  sys_rawio sys_resource sys_time sys_tty_config syslog wake_alarm
capability: ap-adapter block cssid hardware host interface max_vports media_available name number rport wwnn address*
  class domain feature* bus target device drive_type ssid slot fields* unique_id media_size wwpn media_label function
  model ap-domain firmware subclass vports product devno lun type* uuid vendor serial size fabric_wwn channel_dev_addr
  capability* iommuGroup attr* logical_block_size protocol numa num_blocks pci-express char chardev description link
  parent_addr
cell: memory pages* distances cache* cpus
cells: cell*
channel: enum* source log protocol target alias address
channel_dev_addr: cssid ssid devno
chassis: entry*
clock: timer*
console: source log protocol target alias acpi address
controller: driver model pcihole64 target master alias acpi address
cookies: cookie*
cpu: arch mode* model vendor microcode signature counter topology cache maxphysaddr feature* numa features pages*
cpus: cpu*
cputune: cachetune* shares period memorytune* quota global_period global_quota iothread_period iothread_quota vcpupin*
  emulatorpin iothreadpin* emulatorsched vcpusched* iothreadsched* emulator_period emulator_quota
device: extent* freeExtent* name path weight devnode* read_iops_sec parent driver write_iops_sec read_bytes_sec
  capability* write_bytes_sec
devices: emulator disk* controller* lease* filesystem* interface* smartcard* serial* parallel* console* channel*
  input* tpm* graphics* sound* audio* video* hostdev* redirdev* redirfilter* hub* watchdog* memballoon rng* nvram
  panic* shmem* memory* crypto* iommu* vsock
dhcp: range* host* bootp
disk: enum* driver auth source scratch backingStore backenddomain geometry blockio mirror target iotune readonly
  shareable transient serial wwn vendor product encryption boot alias acpi address
disks: disk*
distances: sibling*
dns: forwarder* host* srv* txt*
dnsmasq:options: dnsmasq:option*
domain: emulator name uuid machine* genid title description metadata maxMemory memory currentMemory blkiotune memtune
  memoryBacking vcpu vcpus iothreads iothreadids defaultiothread cputune numatune resource sysinfo* bootloader
  bootloader_args os idmap features cpu clock on_poweroff on_reboot on_crash on_lockfailure pm perf devices seclabel*
  keywrap launchSecurity
domainCapabilities: path domain machine arch vcpu iothreads os cpu memoryBacking devices features
domainbackup: incremental server disks
domaincheckpoint: name description parent creationTime disks domain
domainsnapshot: name description state parent creationTime memory disks domain inactiveDomain cookie active
driver: host metadata_cache name guest
encryption: secret cipher ivgen
enum: value*
features: cow extended_l2 lazy_refcounts cpuselection deviceboot acpi disksnapshot apic pae nonpae hap viridian
  privnet hyperv kvm xen pvspinlock capabilities pmu vmport gic smm ioapic hpt vmcoreinfo htm nested-hv msrs
  ccf-assist genid cfpc backingStoreInput sbbc backup ibs s390-pv tcg sev sgx ia64_be svm vmx
fields: asset_tag change_level manufacture_id part_number serial_number vendor_field* system_field*
filesystem: driver enum* binary source target space_hard_limit boot readonly space_soft_limit alias acpi address
filter: uuid filterref* rule*
filterref: parameter*
firmware: feature* vendor version release_date
format: metadata_cache product vendor
forward: address* driver nat interface* pf
fs:mount_opts: fs:option*
gic: enum*
graphics: enum* listen* channel* image jpeg zlib playback streaming mouse clipboard filetransfer gl audio
guest: os_type arch features
hardware: vendor version serial uuid
host: hostname* lease uuid cpu power_management iommu migration_features topology cache secmodel* memory_bandwidth
hostdev: driver enum* source ip* readonly shareable teaming boot alias rom route* acpi address
hub: alias address
hugepages: page*
hyperv: enum* relaxed vapic spinlocks vpindex runtime synic stimer reset vendor_id frequencies reenlightenment
  tlbflush ipi evmcs avic
idmap: uid* gid*
inactiveDomain: name uuid genid title description metadata maxMemory memory currentMemory blkiotune memtune
  memoryBacking vcpu vcpus iothreads iothreadids defaultiothread cputune numatune resource sysinfo* bootloader
  bootloader_args os idmap features cpu clock on_poweroff on_reboot on_crash on_lockfailure pm perf devices seclabel*
  keywrap launchSecurity
input: driver alias settings source acpi address
interconnects: latency* bandwidth*
interface: start mac source ip* port route* vlan virtualport portForward* bandwidth script downscript backenddomain
  target guest model driver backend filterref tune protocol* link mtu bond bridge coalesce teaming boot alias rom acpi
  address
iommu: driver alias acpi address
iommuGroup: address*
iothreadids: iothread*
iotune: read_bytes_sec total_bytes_sec write_bytes_sec read_iops_sec write_iops_sec read_bytes_sec_max total_iops_sec
  total_bytes_sec_max write_bytes_sec_max read_iops_sec_max total_iops_sec_max total_bytes_sec_max_length
  write_iops_sec_max size_iops_sec read_bytes_sec_max_length write_bytes_sec_max_length group_name
  total_iops_sec_max_length read_iops_sec_max_length write_iops_sec_max_length
ip: tftp dhcp
keywrap: cipher*
kvm: hidden hint-dedicated poll-control pv-ipi dirty-ring
launchSecurity: cbitpos reducedPhysBits policy dhCert session handle
lease: lockspace key target
loader: value* enum*
memballoon: stats driver alias acpi address
memory: uuid source target alias acpi address
memoryBacking: discard enum* hugepages locked nosharepages source access allocation
memory_bandwidth: node* monitor
memorytune: node* monitor*
memtune: hard_limit soft_limit min_guarantee swap_hard_limit
migration_features: live uri_transports
mirror: format source backingStore
mode: enum* model* vendor feature*
model: acceleration resolution
monitor: feature*
nat: address port
network: name uuid metadata forward bridge mtu mac vlan virtualport portgroup* domain dns bandwidth ip* route* port
node: control*
numa: cell* interconnects
numatune: memory memnode*
nvram: address source
oemStrings: entry*
os: enum* type firmware init initarg* initenv* initdir inituser initgroup loader nvram kernel initrd cmdline dtb root
  acpi boot* bootmenu smbios bios
panic: alias address
parallel: source log protocol target alias acpi address
pci-express: link*
perf: event*
permissions: mode owner group label
pm: suspend-to-mem suspend-to-disk
pool: name uuid capacity allocation available features source refresh target
portForward: range*
portgroup: vlan virtualport bandwidth
power_management: suspend_mem suspend_disk suspend_hybrid
protocol: autoconf dhcp ip* route
qemu:capabilities: qemu:add* qemu:del*
qemu:commandline: qemu:arg* qemu:env*
qemu:frontend: qemu:property*
qemu:override: qemu:device*
rbd:config_opts: rbd:option*
redirdev: enum* source protocol boot alias address log
redirfilter: usbdev*
resource: fibrechannel partition
rng: enum* rate backend driver alias acpi address
rule: ah ah-ipv6 all all-ipv6 arp esp esp-ipv6 icmp icmpv6 igmp ip ipv6 mac rarp sctp sctp-ipv6 stp tcp tcp-ipv6 udp
  udp-ipv6 udplite udplite-ipv6 vlan
scratch: encryption seclabel*
seclabel: baselabel label* imagelabel
secmodel: model doi baselabel*
secret: uuid description usage
sections: section*
serial: source log protocol target alias acpi address
sev: cbitpos reducedPhysBits maxGuests maxESGuests
sgx: flc sgx1 sgx2 section_size sections
shmem: model size server msi alias acpi address
smartcard: certificate* source protocol database address acpi log target
sound: alias audio codec* acpi address
source: adapter block char interface ip* local nodemask path reconnect host* clipboard address slices seclabel*
  device* reservations snapshot dir name ssl mouse alignsize config identity pagesize pmem route* cookies readahead
  initiator auth encryption format timeout vendor protocol product
sysinfo: bios entry* system baseBoard* chassis oemStrings
system: entry*
target: model seclabel* size path format node permissions encryption block compat clusterSize label readonly
  timestamps nocow requested features current
timestamps: atime mtime ctime btime
topology: cells interconnects
tpm: backend enum* alias address
type: name deviceAPI availableInstances
uri_transports: uri_transport*
usage: name target volume
vcpus: vcpu*
video: driver enum* model alias acpi address
vlan: interface tag*
volume: name key source capacity allocation physical target backingStore
vsock: cid driver alias acpi address
watchdog: alias acpi address
xen: e820_host passthrough
"""


def _read(table: str) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {}
    for line in table.replace("\n  ", " ").strip().splitlines():
        parent, _, text = line.partition(": ")
        children = text.split()
        ranks = {name.rstrip("*"): place for place, name in enumerate(children)}
        shapes[parent] = ranks, frozenset(name.rstrip("*") for name in children if name.endswith("*"))
    return shapes


SHAPES: Mapping[str, Shape] = _read(_TABLE)
NO_SHAPE: Shape = ({}, frozenset())
"""Of an element that the table lacks."""
