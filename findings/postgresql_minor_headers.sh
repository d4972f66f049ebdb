#!/bin/sh
# Headers of a newer minor release of PostgreSQL make a library that an older server of the same major release cannot load.
#
# PostgreSQL promises a stable binary interface within a major release, and Debian's postgresql-server-dev-15 does not
# depend on a version of postgresql-15.  Seen with PostgreSQL 15.18 and 15.20 of Debian 12: since 15.20 heap_getattr(), an inline
# function that most extensions call, calls the new function heap_datum_check().  What is compiled with the headers of 15.20
# therefore cannot be loaded by a server of 15.18:
#
#   ERROR:  could not load library ".../getattr.so": .../getattr.so: undefined symbol: heap_datum_check
#
# The other way round works.  So a package of an extension has to depend on at least the minor release that it was built
# with, and a build for a server that is not to be updated needs headers of its version or an older one.
#
# Needs Debian 12 on amd64 with gcc and what postgresql-15 depends on.  Succeeds if all this is as it was.

set -eu
umask 022
old=15.18-0+deb12u1
new=15.20-0+deb12u1
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
chmod 755 "$directory"
cd "$directory"

unpack()
{
	apt-get -q download "$1=$2" >/dev/null 2>&1
	mkdir -p "$3"
	dpkg-deb -x "$1"_*.deb "$3"
	rm -f ./*.deb
}

unpack postgresql-15 $old server
unpack postgresql-client-15 $old server
unpack postgresql-server-dev-15 $old old
unpack postgresql-server-dev-15 $new new

cat >getattr.c <<'C'
#include "postgres.h"
#include "access/htup_details.h"
#include "fmgr.h"
#include "utils/typcache.h"

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(first_attribute);

/* The first column of a row, an integer. */
Datum
first_attribute(PG_FUNCTION_ARGS)
{
	HeapTupleHeader row = PG_GETARG_HEAPTUPLEHEADER(0);
	TupleDesc	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(row), HeapTupleHeaderGetTypMod(row));
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(row), .t_data = row};
	bool		isnull;
	Datum		value = heap_getattr(&tuple, 1, desc, &isnull);

	ReleaseTupleDesc(desc);
	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(value);
}
C

bin=$directory/server/usr/lib/postgresql/15/bin
as_user=
if [ "$(id -u)" = 0 ]
then
	as_user="runuser -u nobody --"
	install -d -o nobody data
else
	mkdir data
fi
$as_user "$bin/initdb" -D "$directory/data/cluster" -L "$directory/server/usr/share/postgresql/15" --locale=C -A peer >/dev/null

for headers in old new
do
	mkdir $headers/lib
	gcc -O2 -fPIC -shared -I"$headers/usr/include/postgresql/15/server" -o $headers/lib/getattr.so getattr.c
	printf '%s\n' "CREATE FUNCTION first_attribute(record) RETURNS int LANGUAGE c AS '$directory/$headers/lib/getattr'" \
		'SELECT first_attribute(ROW(42))' 'DROP FUNCTION first_attribute' >statements
	$as_user "$bin/postgres" --single -D "$directory/data/cluster" postgres <statements >output 2>&1 || true
	echo "server $old, headers of the $headers version:"
	grep -oE -m 1 'ERROR: .*|first_attribute = "42"' output
	mv output $headers/output
done
grep -q 'first_attribute = "42"' old/output
grep -q 'could not load library.*undefined symbol: heap_datum_check' new/output
