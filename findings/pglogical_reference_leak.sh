#!/bin/sh
# pglogical warns of a "relcache reference leak" for each row that it applies to a table with an AFTER ROW trigger that fires.
#
# A subscriber's triggers fire for rows that pglogical applies if they are ENABLE ALWAYS or ENABLE REPLICA, as with PostgreSQL's own
# logical replication, which applies the same rows without a word.  Seen with pglogical 2.4.2 and PostgreSQL 15.18 of Debian 12, for any
# trigger function, here one in PL/pgSQL that does nothing:
#
#   WARNING:  relcache reference leak: relation "guest" not closed
#
# once for each of three rows.  A BEFORE ROW trigger brings none, nor does a trigger that is not enabled for a replica.  The rows
# are right and the trigger has done its work: it is the server log that fills, by one line for each row, until log_min_messages is
# error.  Whoever looks for such warnings to find faults of an extension finds pglogical's.
#
# Needs Debian 12 on amd64 with what postgresql-15 depends on.  Succeeds if all this is as it was.

set -eu
umask 022
server=15.18-0+deb12u1
pglogical=2.4.2-3
directory=$(mktemp -d)
bin=$directory/server/usr/lib/postgresql/15/bin
as_user=
[ "$(id -u)" != 0 ] || as_user="runuser -u nobody --"

finish()
{
	for data in "$directory"/data/provider "$directory"/data/subscriber
	do
		[ ! -f "$data/postmaster.pid" ] || $as_user "$bin/pg_ctl" -D "$data" -m immediate -w stop >/dev/null
	done
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
unpack postgresql-15-pglogical $pglogical

# sql node statements
sql()
{
	$as_user "$bin/psql" -XAtq -v ON_ERROR_STOP=1 -d "$(dsn "$1")" -c "$2"
}

# Both listen on sockets in one directory; their ports are but names there.
dsn()
{
	case $1 in
		provider) echo "host=$directory/data port=1 user=postgres dbname=postgres" ;;
		subscriber) echo "host=$directory/data port=2 user=postgres dbname=postgres" ;;
	esac
}

for node in provider subscriber
do
	$as_user "$bin/initdb" -D "$directory/data/$node" -U postgres --locale=C -A trust >/dev/null
	printf '%s\n' "port = $([ $node = provider ] && echo 1 || echo 2)" "listen_addresses = ''" \
		"unix_socket_directories = '$directory/data'" 'wal_level = logical' "shared_preload_libraries = 'pglogical'" |
		$as_user tee -a "data/$node/postgresql.conf" >/dev/null
	$as_user "$bin/pg_ctl" -D "$directory/data/$node" -l "$directory/data/$node.log" -w start >/dev/null
	sql $node "CREATE EXTENSION pglogical"
	sql $node "SELECT pglogical.create_node('$node', '$(dsn $node)')" >/dev/null
	sql $node "CREATE TABLE guest (id int PRIMARY KEY); CREATE TABLE seat (id int PRIMARY KEY); CREATE TABLE visit (id int PRIMARY KEY)"
done
sql subscriber "CREATE FUNCTION do_nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
	CREATE TRIGGER t AFTER INSERT ON guest FOR EACH ROW EXECUTE FUNCTION do_nothing();
	ALTER TABLE guest ENABLE ALWAYS TRIGGER t;
	CREATE TRIGGER t BEFORE INSERT ON seat FOR EACH ROW EXECUTE FUNCTION do_nothing();
	ALTER TABLE seat ENABLE ALWAYS TRIGGER t;
	CREATE TRIGGER t AFTER INSERT ON visit FOR EACH ROW EXECUTE FUNCTION do_nothing()"
sql provider "SELECT pglogical.replication_set_add_all_tables('default', '{public}')" >/dev/null
sql subscriber "SELECT pglogical.create_subscription('s', '$(dsn provider)')" >/dev/null
sql subscriber "SELECT pglogical.wait_for_subscription_sync_complete('s')" >/dev/null

sql provider "INSERT INTO guest VALUES (1), (2), (3)"
sql provider "INSERT INTO seat VALUES (1), (2), (3)"
sql provider "INSERT INTO visit VALUES (1), (2), (3)"
tries=0
until [ "$(sql subscriber "SELECT count(*) FROM visit")" = 3 ]
do
	tries=$((tries + 1))
	[ $tries -lt 600 ]
	sleep 0.1
done
grep 'reference leak' data/subscriber.log
[ "$(grep -c 'relcache reference leak: relation "guest" not closed' data/subscriber.log)" = 3 ]
[ "$(grep -c 'reference leak' data/subscriber.log)" = 3 ]
[ "$(sql subscriber "SELECT count(*) FROM guest")" = 3 ]
