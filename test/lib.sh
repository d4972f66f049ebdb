# Functions shared by test/run, test/quickstart.sh, test/bench/run and test/assert; sourced by them, with $top set to the
# sources.
#
# Everything happens in a scratch directory: a copy of the sources, so that the server's user can read them whoever
# owns them; a build; and a copy of the PostgreSQL installation, made of links, into which the extension is
# installed.  So nothing of the system's PostgreSQL is changed, no running server notices, and root is needed for
# missing packages only.  The server does not run as root; root's tests run as user postgres.

say()
{
	printf '%s\n' "$@"
}

die()
{
	printf '%s\n' "$@" >&2
	exit 1
}

if [ "$(id -u)" = 0 ]
then
	to_root=
	to_user="runuser -u postgres --"
	user=postgres
else
	to_root=sudo
	to_user=
	user=$(id -un)
fi

as_root()
{
	$to_root "$@"
}

as_user()
{
	$to_user "$@"
}

# limited seconds command...: as the user, not longer than that.  It runs in the background, so that a signal that
# arrives meanwhile is handled at once.
limited()
{
	limit=$1
	shift
	(exec $to_user timeout -k 10 "$limit" "$@") &
	child=$!
	: >"$scratch/child.$child"
	wait $child
	set -- $?
	rm -f "$scratch/child.$child"
	return "$1"
}

# Terminate what limited() has started, also in an earlier run that was killed.
end_children()
{
	for file in "$scratch"/child.*
	do
		pid=${file##*.}
		if grep -qs "$scratch" "/proc/$pid/cmdline"
		then
			kill "$pid"
			tries=0
			while kill -0 "$pid" 2>/dev/null && [ $tries -lt 100 ]
			do
				tries=$((tries + 1))
				sleep 0.1
			done
		fi
		rm -f "$file"
	done
}

# can_enter directory: may the server's user enter it?  Before there is such a user, any user is checked instead.
can_enter()
{
	if [ "$user" = postgres ] && ! id postgres >/dev/null 2>&1
	then
		runuser -u nobody -- test -x "$1"
	else
		as_user test -x "$1"
	fi
}

# A private directory for temporary files, such as a PAM module creates for root, cannot be used by the server's user.
if ! can_enter "${TMPDIR:-/tmp}"
then
	say "User $user may not enter $TMPDIR; /tmp is used instead."
	TMPDIR=/tmp
	export TMPDIR
fi

. "$top/test/postgres.sh"

# check_directory megabytes: the one for temporary files must have that much left, and programs in it must be allowed to run.
check_directory()
{
	directory=${TMPDIR:-/tmp}
	free=$(df -Pk "$directory" | awk 'NR == 2 {print int($4 / 1024)}')
	[ "${free:-$1}" -ge "$1" ] || die "$directory has $free MB left and $1 MB are needed; set TMPDIR to another directory."
	try=$(mktemp "$directory/webhook-try.XXXXXX") || die "No file can be made in $directory; set TMPDIR to another directory."
	printf '#!/bin/sh\n' >"$try" && chmod 700 "$try" && "$try" 2>/dev/null
	may_run=$?
	rm -f "$try"
	[ $may_run = 0 ] ||
		die "Programs cannot be run in $directory (is it mounted noexec?); set TMPDIR to another directory."
}

# claim_scratch name: if the directory that make_scratch will create exists, it must be ours.  To be called before
# anything is installed or fetched.
claim_scratch()
{
	scratch=${TMPDIR:-/tmp}/$1.$(id -u)
	work=$scratch/work
	[ ! -e "$scratch" ] && [ ! -L "$scratch" ] && return
	[ -O "$scratch" ] && [ ! -L "$scratch" ] && [ -f "$scratch/run.pid" ] ||
		die "$scratch is in the way and is not ours; remove it or set TMPDIR."
}

# make_scratch name megabytes ["again"]: create the directory $scratch with our mark, and $work in it, which belongs to the server's
# user and which no other user may enter: the servers there trust whoever reaches their sockets.  What an earlier run left there
# is stopped and removed; "again" keeps the copies of PostgreSQL and the sources, and what was built from these.
make_scratch()
{
	claim_scratch "$1"
	if [ -e "$scratch" ]
	then
		end_scratch
		if [ -n "$3" ] && [ "$(cat "$scratch/built" 2>/dev/null)" = "$(built_with)" ]
		then
			echo $$ >"$scratch/run.pid"
			find "$work" -mindepth 1 -maxdepth 1 ! -name pg ! -name src ! -name build -exec rm -rf {} +
			return
		fi
		rm -rf "$scratch"
	fi
	check_directory "$2"
	mkdir -m 755 "$scratch" && echo $$ >"$scratch/run.pid" &&
		mkdir -m 700 "$work" && chown "$user" "$work" || die "$scratch could not be made."
}

# What a build depends on in addition to the sources.
built_with()
{
	echo "$WEBHOOK_COPT"
	ls -lL "$pg_config" "$bindir/postgres"
}

# No other run may be at work in it.  Its servers are stopped.
end_scratch()
{
	other=$(cat "$scratch/run.pid")
	if [ "$other" != $$ ] && grep -qs "${0##*/}" "/proc/$other/cmdline"
	then
		die "Another run, with process id $other, is under way in $scratch."
	fi
	end_children
	stop_servers "$scratch"
}

# Stop the servers whose data directories are below a directory, and the receivers and pages that left a pid file there.
stop_servers()
{
	find "$1" -name postmaster.pid 2>/dev/null | while read -r pid_file
	do
		data=$(dirname "$pid_file")
		as_user "$(cat "$scratch/bindir" 2>/dev/null)/pg_ctl" -D "$data" -m immediate -w stop >/dev/null 2>&1
	done
	find "$1" -name receiver.pid -o -name page.pid 2>/dev/null | while read -r pid_file
	do
		pid=$(cat "$pid_file")
		if grep -qs -e receiver.py -e page.py "/proc/$pid/cmdline"
		then
			as_user kill "$pid"
		fi
	done
}

# Is it among the requested kinds or names of tests?  If none was requested, all are.
want()
{
	case " ${kinds:-$1} " in
		*" $1 "*) return 0 ;;
	esac
	return 1
}

wanted()
{
	for word in ${TESTS:-""}
	do
		case $1 in
			*"$word"*) return 0 ;;
		esac
	done
	return 1
}

# Run a command, and show its output only if it fails.
quietly()
{
	log=$scratch/$1.log
	shift
	if ! "$@" >"$log" 2>&1
	then
		tail -n 60 "$log" >&2
		say "failed: $*" >&2
		return 1
	fi
}

# Make $prefix look like the root of a file system with this PostgreSQL and nothing else in it.  The programs must
# be real copies: they find their libraries relative to themselves.
copy_postgres()
{
	prefix=$work/pg
	pg_bin=$prefix$bindir
	PATH=$pg_bin:$PATH
	export PATH
	[ ! -d "$pg_bin" ] || return 0
	echo "$pg_bin" >"$scratch/bindir"
	as_user mkdir -p "$pg_bin" && as_user cp -L "$bindir"/* "$pg_bin/" || return 1
	for directory in $("$pg_config" --pkglibdir) $("$pg_config" --sharedir)
	do
		case $prefix$directory/ in
			"$prefix$bindir"/*) continue ;;
		esac
		as_user mkdir -p "$prefix$directory" &&
		as_user cp -rsf "$directory/." "$prefix$directory/" || return 1
	done
	# A webhook that is installed in the system is not the one to be tested.
	as_user rm -f "$prefix$("$pg_config" --pkglibdir)/webhook.so"
	as_user find "$prefix$("$pg_config" --sharedir)/extension" -name 'webhook*' -exec rm -f {} +
}

# Copy the sources, build them outside of the copy, install into the private PostgreSQL.
build_extension()
{
	src=$work/src
	rm -f "$scratch/built"
	as_user rm -rf "$src" && as_user mkdir -p "$src" "$work/build" || return 1
	(cd "$top" && tar -cf - --exclude=./.git --exclude='*.o' --exclude='*.bc' --exclude='*.so' --exclude='./webhook--*.sql' .) |
		as_user tar -C "$src" --no-same-owner -xf - || return 1
	# With the original pg_config: Debian's for PostgreSQL 13 does not notice that it has been copied.
	quietly build as_user sh -c "cd '$work/build' &&
		make -s -j2 -f '$src/Makefile' PG_CONFIG='$pg_config' DESTDIR='$prefix' COPT='$WEBHOOK_COPT' all install" &&
		built_with >"$scratch/built"
}

# start_server directory port [line for postgresql.conf]...: start a cluster that listens on a Unix socket only.  The settings
# in the file $TEMP_CONFIG apply as well, as they do to the clusters of the TAP tests.
start_server()
{
	data=$1
	port=$2
	shift 2
	as_user mkdir -p "$work/socket" || return 1
	quietly initdb as_user "$pg_bin/initdb" -D "$data" -A trust -U postgres -E UTF8 --locale=C --no-sync || return 1
	{
		printf '%s\n' "port = $port" "listen_addresses = ''" "unix_socket_directories = '$work/socket'" \
			"shared_preload_libraries = 'webhook'" "fsync = off" "max_prepared_transactions = 10" "$@"
		[ -z "$TEMP_CONFIG" ] || cat "$TEMP_CONFIG"
	} | as_user tee -a "$data/postgresql.conf" >/dev/null
	quietly start as_user "$pg_bin/pg_ctl" -D "$data" -l "$data.log" -w start || {
		tail -n 20 "$data.log" >&2
		return 1
	}
}
