#!/bin/bash
# The first and only service of a kernel that `rig.py` boots. What it is to be, the kernel's command line says:
#
# quire_role=both      an NFS server and two NFS clients
# quire_role=server    the server alone, on two wires to another kernel; its disk may be one that was used before
# quire_role=clients   two clients alone, each on its own wire to the server
#
# /run/exp   the server's own view of what it exports, on the file system $quire_fs
# /run/a     that export mounted by one client, /run/b by another: each in a network namespace of its own, with a
#            host name of its own, so that they share no connection, no session, and nothing they remember
# /host      the root of the real machine, read-only, with this machine's /run, /proc and /dev: programs run in there
#
# Afterwards it obeys lines on the serial port ttyS0:
#   mount OPTIONS...     mount both clients again with these options ("-" for none); answers "0" or an error number
#   run NUMBER SECONDS   run the program described in /run/exchange/NUMBER.json; answers its exit status
#   unsynced NUMBER      write a file to the export and leave it in this kernel's memory; answers "0". ext4 writes a file
#                        that replaces the content of another soon: each takes a number that was not there
#   synced NUMBER        whether that file is whole; answers "0" or "1"
#   off
set -u
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs run /run
mount --make-shared /run # so that what is mounted below it later is seen in /host as well
mkdir -p /dev/shm /run/exp /run/a /run/b /run/exchange /run/tmp /run/lock /run/rpc_pipefs
mount -t tmpfs shm /dev/shm
mount_of_host() { # its folder, options, where: newer kernels name the folder's option, older ones take it for all there is
    mount -t hostfs -o "$2,hostfs=$1" host "$3" 2>/dev/null || mount -t hostfs -o "$2,$1" host "$3"
}
mount_of_host "$quire_exchange" rw /run/exchange
mount_of_host "$quire_host" ro /host
for directory in run proc dev; do mount --rbind /$directory /host/$directory; done
ip link set lo up
modprobe -a veth nfsd nfsv4

# -- the server

make_file_system() {
    case $quire_fs in
        ext4) mkfs.ext4 -q -F /dev/ubda ;;
        # inodes of 128 bytes have no room for nanoseconds: timestamps of whole seconds
        ext4-seconds) mkfs.ext4 -q -F -I 128 /dev/ubda ;;
        # without the features that are newer than this kernel
        xfs) mkfs.xfs -q -f -m bigtime=0,inobtcount=0 -i nrext64=0 /dev/ubda ;;
        # format 4 keeps no counter of changes: the change attribute is the change time
        xfs-coarse) mkfs.xfs -q -f -m crc=0 /dev/ubda ;;
    esac
}

start_server() {
    case $quire_fs in
        tmpfs) mount -t tmpfs -o size=300m exp /run/exp ;;
        *) { [ "${quire_disk:-}" = used ] || make_file_system; } && mount /dev/ubda /run/exp ;;
    esac
    mountpoint -q /run/exp || { echo "the file system $quire_fs could not be made or mounted"; busybox poweroff -f; }

    mount -t tmpfs nfs /var/lib/nfs
    mkdir -p /var/lib/nfs/{rpc_pipefs,v4recovery,nfsdcld,sm} /run/exchange/clients
    touch /var/lib/nfs/{etab,rmtab}
    # which clients it has must outlive it, or they may not reclaim what they had open
    mount --bind /run/exchange/clients /var/lib/nfs/nfsdcld
    mount -t rpc_pipefs rpc /var/lib/nfs/rpc_pipefs
    mount -t rpc_pipefs rpc /run/rpc_pipefs
    mount -t nfsd nfsd /proc/fs/nfsd
    echo 0 >/proc/sys/fs/leases-enable # EFS grants no delegations, so neither does this server
    echo 1048576 >/proc/fs/nfsd/max_block_size
    echo 10 >/proc/fs/nfsd/nfsv4leasetime # seconds; the least that is allowed, so that a restart is soon got over
    echo 10 >/proc/fs/nfsd/nfsv4gracetime
    nfsdcld
    exportfs -o rw,sync,no_root_squash,no_subtree_check,fsid=0,insecure '*:/run/exp'
    rpc.nfsd --no-nfs-version 3 --nfs-version 4.1 --no-udp 8
    rpc.mountd --no-nfs-version 3
}

[ "$quire_role" = clients ] || start_server

# -- the wires: 10.0.1.1 is the server for client a (10.0.1.2), 10.0.2.1 for b. Between kernels they are vec0 and vec1.

slow_down() { # [netns] device
    [ -z "${quire_delay:-}" ] || tc "${@:1:$#-1}" qdisc add dev "${!#}" root netem delay "$quire_delay"
}

number=0
for client in a b; do
    number=$((number + 1))
    case $quire_role in
        both)
            ip netns add $client
            ip link add to-$client type veth peer name eth0 netns $client
            ;;
        server) ip link set vec$((number - 1)) name to-$client ;;
        clients)
            ip netns add $client
            ip link set vec$((number - 1)) name eth0 netns $client
            ;;
    esac
    if [ "$quire_role" != clients ]; then
        ip addr add 10.0.$number.1/24 dev to-$client
        ip link set to-$client up
        slow_down to-$client
    fi
    if [ "$quire_role" != server ]; then
        ip -n $client addr add 10.0.$number.2/24 dev eth0
        ip -n $client link set eth0 up
        ip -n $client link set lo up
        slow_down -netns $client eth0
    fi
done

# -- the clients

# The options that EFS recommends; nosharecache keeps the kernel from joining the two.
OPTIONS=nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport,nosharecache

mount_clients() {
    local more=${1:+,$1} number=0 client
    for client in a b; do
        number=$((number + 1))
        ! mountpoint -q /run/$client || umount /run/$client || return
        nsenter --net=/run/netns/$client unshare --uts sh -c "
            echo client-$client >/proc/sys/kernel/hostname
            exec mount -i -t nfs4 -o $OPTIONS$more,addr=10.0.$number.1,clientaddr=10.0.$number.2 10.0.$number.1:/ /run/$client" ||
            return
    done
}

run_program() {
    local exchange=/run/exchange/$1
    chroot /host timeout --kill-after=5 "$2" \
        env -i PATH="$PATH" HOME=/run/tmp TMPDIR=/run/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$quire_path" \
        "$quire_python" -m tests.nfs.guest "$exchange.json" >"$exchange.out" 2>"$exchange.err" </dev/null
}

exec 3<>/dev/ttyS0
stty raw -echo <&3
echo "ready $(uname -r)" >&3
while read -r verb first second <&3; do
    case $verb in
        mount) mount_clients "${first#-}"; echo $? >&3 ;;
        run) run_program "$first" "$second"; echo $? >&3 ;;
        unsynced) head -c 3000000 /dev/urandom >"/run/exp/.unsynced-$first"; echo $? >&3 ;;
        synced) [ "$(stat -c %s "/run/exp/.unsynced-$first")" = 3000000 ]; echo $? >&3 ;;
        *) break ;;
    esac
done
busybox poweroff -f
