#!/bin/sh
# The backend_type of pg_partman's worker is no text, so reading pg_stat_activity can fail in a client.
#
# pg_partman_bgw starts a worker for each database without saying of which type it is; the field of the structure that it hands to
# PostgreSQL is not set.  Were it empty, PostgreSQL would take the worker's name.  Seen with pg_partman 4.7.2 and PostgreSQL 15.18 of
# Debian 12, with nothing set but the worker's interval, database and role: while maintenance runs, a row of pg_stat_activity has a
# few bytes as backend_type that are not valid in the encoding of a UTF-8 database, others after each start of the server:
#
#   ERROR:  invalid byte sequence for encoding "UTF8": 0xfe
#
# is what convert_from(textsend(backend_type), 'UTF8') says.  PostgreSQL sends them as they are, and a monitoring client that decodes
# UTF-8 strictly cannot read the whole result.  If the worker fails, the same bytes are its name in the server log:
# background worker "?M???" (PID 1363) exited with exit code 1.
#
# Needs Debian 12 on amd64 with what postgresql-15 depends on.  Succeeds if all this is as it was.

set -eu
umask 022
server=15.18-0+deb12u1
partman=4.7.2-1
directory=$(mktemp -d)
bin=$directory/server/usr/lib/postgresql/15/bin
as_user=
[ "$(id -u)" != 0 ] || as_user="runuser -u nobody --"

finish()
{
	[ ! -f data/cluster/postmaster.pid ] || $as_user "$bin/pg_ctl" -D "$directory/data/cluster" -m immediate -w stop >/dev/null
	rm -rf "$directory"
}

trap finish EXIT
chmod 755 "$directory"
cd "$directory"
mkdir data
[ -z "$as_user" ] || chown nobody data

unpack()
{
	apt-get -q download "$1=$2" >/dev/null 2>&1
	dpkg-deb -x "$1"_*.deb server
	rm -f ./*.deb
}

unpack postgresql-15 $server
unpack postgresql-client-15 $server
unpack postgresql-15-partman $partman

sql()
{
	$as_user "$bin/psql" -XAtq -v ON_ERROR_STOP=1 -h "$directory/data" -U postgres postgres -c "$1"
}

$as_user "$bin/initdb" -D "$directory/data/cluster" -U postgres -E UTF8 --locale=C -A trust >/dev/null
printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$directory/data'" "shared_preload_libraries = 'pg_partman_bgw'" \
	'pg_partman_bgw.interval = 1' "pg_partman_bgw.dbname = 'postgres'" "pg_partman_bgw.role = 'postgres'" |
	$as_user tee -a data/cluster/postgresql.conf >/dev/null

# Now and then the first of the bytes is zero, and the type therefore empty: then another start of the server helps.
try=1
while [ $try -le 5 ]
do
	$as_user "$bin/pg_ctl" -D "$directory/data/cluster" -l "$directory/data/log" -w start >/dev/null
	[ $try != 1 ] || sql "CREATE SCHEMA partman; CREATE EXTENSION pg_partman SCHEMA partman"

	# While the worker waits for a lock, look at what it is.
	sql "BEGIN;
		LOCK TABLE partman.part_config IN ACCESS EXCLUSIVE MODE;
		DO \$\$ BEGIN
			FOR i IN 1..600 LOOP
				PERFORM pg_sleep(0.1), pg_stat_clear_snapshot();
				EXIT WHEN EXISTS (SELECT FROM pg_stat_activity WHERE query ~ '^SELECT .partman.\.run_maintenance');
			END LOOP;
		END \$\$;
		SELECT textsend(backend_type) FROM pg_stat_activity WHERE query ~ '^SELECT .partman.\.run_maintenance';
		SELECT convert_from(textsend(backend_type), 'UTF8') FROM pg_stat_activity" >output 2>&1 || true
	cat output
	! grep -q 'ERROR:  invalid byte sequence for encoding "UTF8"' output || exit 0
	$as_user "$bin/pg_ctl" -D "$directory/data/cluster" -m fast -w stop >/dev/null
	try=$((try + 1))
done
exit 1
