# Finds a PostgreSQL to build with and to run; sourced by test/lib.sh and the Makefile.
#
# A PostgreSQL is complete if the server, the makefiles (PGXS) and the headers of the same release are installed.
# Debian has them in three packages, any of which can be missing, or installed for another release.  What is
# missing for development need not be installed: test/bootstrap can put it into a directory of downloaded files.

# The releases that the extension is built for; src/compat.h refuses newer ones.
oldest_release=13
newest_release=19

# Where Debian and its derivatives have a directory for each release, and where PostgreSQL installs itself.
postgres_homes=${postgres_homes:-/usr/lib/postgresql/* /usr/local/pgsql}

# Where downloaded files are: they last from run to run until make quickstart-stop removes them.
files=${TMPDIR:-/tmp}/webhook-files.$(id -u)

# The major release of a program that prints "PostgreSQL 15.18 ..." or "postgres (PostgreSQL) 15.18 ...".
release_of()
{
	"$1" --version 2>/dev/null </dev/null | sed -n 's/^.*PostgreSQL)* \([0-9][0-9]*\).*/\1/p'
}

# lacks pg_config: which of server, makefiles and headers this PostgreSQL does not have for its release.  Headers of a newer
# minor release than the server's do not count: an inline function in them may call what the server does not have.
lacks()
(
	missing=
	release=$(release_of "$1")
	server=$("$1" --bindir)/postgres
	headers=$("$1" --includedir-server)
	if [ "$(release_of "$server")" = "$release" ]
	then
		newest=$("$server" --version | sed -n 's/^.*PostgreSQL) [0-9]*\.\([0-9]*\).*/\1/p')
	else
		newest=9999
		missing=server
	fi
	[ -f "$("$1" --pgxs)" ] || missing="$missing makefiles"
	number=$(cat "$headers"/pg_config*.h 2>/dev/null | sed -n 's/^#define PG_VERSION_NUM \([0-9]*\)$/\1/p' | head -n 1)
	[ -f "$headers/postgres.h" ] && [ "$((number / 10000))" = "$release" ] &&
		[ $((number % 10000)) -le "${newest:-0}" ] || missing="$missing headers"
	echo $missing
)

# use_postgres pg_config [part]: if nothing but this part is missing, set $pg_config, $release, $bindir and $pgxs.
use_postgres()
{
	[ -x "$1" ] || return
	missing=$(lacks "$1")
	[ -z "$missing" ] || [ "$missing" = "$2" ] || return
	pg_config=$1
	release=$(release_of "$1")
	bindir=$("$1" --bindir)
	pgxs=$("$1" --pgxs)
}

# The pg_config of each release that the extension is built for, from the newest on.
installed_postgres()
{
	for candidate in $(ls -d $(printf '%s/bin/pg_config ' $postgres_homes) 2>/dev/null) $(command -v pg_config)
	do
		release=$(release_of "$candidate")
		if [ "${release:-0}" -ge $oldest_release ] && [ "$release" -le $newest_release ]
		then
			echo "$release $candidate"
		fi
	done | sort -n -r -s -k 1,1 | cut -d ' ' -f 2
}

# find_postgres [build]: see use_postgres().  Takes PG_CONFIG if it is set, else the newest PostgreSQL that is complete
# by itself, else the newest that is complete with downloaded files.  For building alone, there need not be a
# server; but if one is installed, it is the one to build for.  On failure $problem says why.
find_postgres()
{
	candidates=$(installed_postgres)
	if [ -n "$PG_CONFIG" ]
	then
		candidates=$(command -v "$PG_CONFIG")
		if [ -z "$candidates" ] || [ -z "$(release_of "$candidates")" ]
		then
			problem="PG_CONFIG=$PG_CONFIG is not a pg_config that can be run on this machine"
			return 1
		fi
	fi
	for candidate in $candidates
	do
		use_postgres "$candidate" && return
	done
	for candidate in $candidates
	do
		use_postgres "$files/$(release_of "$candidate")/pg_config" && return
	done

	# The newest with a server is what the user would expect, whatever else is newer.
	with_server=
	for candidate in $candidates
	do
		case $(lacks "$candidate") in
			*server*) ;;
			*) with_server="$with_server $candidate" ;;
		esac
	done
	if [ "$1" = build ] && [ -z "$with_server" ]
	then
		for candidate in $candidates
		do
			use_postgres "$candidate" server && return
		done
	fi
	set -- $with_server $candidates
	if [ $# = 0 ]
	then
		problem="No PostgreSQL was found; install postgresql-NN and postgresql-server-dev-NN, or set PG_CONFIG"
		return 1
	fi
	release=$(release_of "$1")
	missing=$(lacks "$1")
	needed=postgresql-server-dev-$release
	case $missing in
		server) needed=postgresql-$release ;;
		*server*) needed="postgresql-$release $needed" ;;
	esac
	problem="PostgreSQL $release of $1 comes without $(echo "$missing" | sed 's/ / and /g'); install $needed, or set PG_CONFIG"
	return 1
}
