# Minimal Debian systems made by debootstrap, and layers above them, each of which is used like a separate machine; sourced
# by test/bare and test/neighbours/run, with $directory and $logs set to where they are kept.
#
# What runs in a layer has processes and mounts of its own (unshare --mount --pid --fork), all of which end with it.

die()
{
	printf '%s\n' "$@" >&2
	exit 1
}

# Is everything available that is needed?  Sets $mirror.
find_mirror()
{
	[ "$(id -u)" = 0 ] || die "$0 must be run as root: it makes chroots."
	for command in debootstrap unshare chroot
	do
		command -v $command >/dev/null || die "$command is missing; install debootstrap and util-linux."
	done
	unshare --mount --pid --fork true || die "Name spaces cannot be made here."
	mirror=${BARE_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -m 1 '/debian/*$')}
	[ -n "$mirror" ] || die "No Debian mirror is known here; set BARE_MIRROR."
}

# A Debian with git and make, but for what $suite needs of others.
make_base()
{
	[ ! -f "$directory/$suite/made" ] || return 0
	echo "        making $directory/$suite"
	rm -rf "${directory:?}/$suite"
	debootstrap --variant=minbase --include=git,make,ca-certificates "$suite" "$directory/$suite" "$mirror" >"$logs/$suite" 2>&1 &&
		touch "$directory/$suite/made" || die "debootstrap could not make $suite; see $logs/$suite"
}

# mount_layer layer lower: in name spaces of our own, mount what is in the layer's directory above other directories
# (lower, separated by colons, the topmost first) as $root.
mount_layer()
{
	root=$1/root
	mkdir -p "$1/upper" "$1/work" "$root" || exit 1
	mount --make-rprivate / &&
		mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" "$root" &&
		mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" && mount -t tmpfs tmpfs "$root/dev/shm" &&
		cp /etc/resolv.conf "$root/etc/" || die "a layer above $2 could not be mounted"
	echo "127.0.0.1 localhost $(uname -n)" >"$root/etc/hosts"
	# A mirror may not respond for some time.
	echo 'Acquire::Check-Valid-Until "false";' >"$root/etc/apt/apt.conf.d/90valid"
}

inside()
{
	chroot "$root" env -i HOME=/root LANG="$language" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		"$@" </dev/null
}

quietly_inside()
{
	inside "$@" >>"$setup_log" 2>&1 || die "FAILED  $*; see $setup_log"
}

install_inside()
{
	quietly_inside env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "$@"
}
