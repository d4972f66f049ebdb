# Which PostgreSQL the scripts and the Makefile choose among fake installations of all kinds.  A server without headers,
# as Debian installs it, is what most users have.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use Test::More;

my $script = abs_path(dirname(__FILE__) . '/../postgres.sh');
my $tree;

sub program
{
	my ($path, $text) = @_;

	make_path(dirname($path));
	open(my $file, '>', $path) or die "could not write $path: $!";
	print $file "#!/bin/sh\n$text\n";
	close($file);
	chmod(0755, $path);
	return;
}


# An empty machine; the pg_config in its PATH does not work.
sub machine
{
	$tree = tempdir(CLEANUP => 1);
	program("$tree/path/pg_config", 'exit 1');
	return;
}

sub headers
{
	my ($directory, $version) = @_;
	my ($release, $minor) = $version =~ /^(\d+)(?:\.(\d+))?/;

	program("$directory/postgres.h", '');
	program("$directory/pg_config.h", sprintf('#define PG_VERSION_NUM %d', $release * 10000 + ($minor // 0)));
	return;
}

# An installation of a release: the parts that exist have a version.
sub postgres
{
	my ($release, %has) = @_;
	my $home = "$tree/$release";

	program("$home/bin/pg_config", <<"PG_CONFIG");
case \$1 in
	--version) echo 'PostgreSQL $has{client} (Debian $has{client}-0+deb12u1)' ;;
	--bindir) echo '$home/bin' ;;
	--pgxs) echo '$home/lib/pgxs/src/makefiles/pgxs.mk' ;;
	--includedir-server) echo '$home/include/server' ;;
esac
PG_CONFIG
	program("$home/bin/postgres", "echo 'postgres (PostgreSQL) $has{server} (Debian)'") if $has{server};
	program("$home/lib/pgxs/src/makefiles/pgxs.mk", '') unless $has{no_makefiles};
	headers("$home/include/server", $has{headers}) if $has{headers};
	return;
}

# What is found: the path relative to the machine's root, or why there is none.
sub found
{
	my ($what, %environment) = @_;
	my %settings = (postgres_homes => "$tree/[0-9]*", TMPDIR => "$tree/tmp", PATH => "$tree/path:$ENV{PATH}", PG_CONFIG => '', %environment);

	local @ENV{ keys %settings } = values %settings;
	my $output = `sh -c '. "$script"; find_postgres $what && echo "\$pg_config" || echo "\$problem"' 2>&1`;
	chomp($output);
	$output =~ s/\Q$tree\E\///g;
	return $output;
}

machine();
is(found(''), 'No PostgreSQL was found; install postgresql-NN and postgresql-server-dev-NN, or set PG_CONFIG', 'nothing is installed');

postgres(15, client => '15.18', server => '15.18');
my $lacking = 'PostgreSQL 15 of 15/bin/pg_config comes without headers; install postgresql-server-dev-15, or set PG_CONFIG';
is(found(''), $lacking, 'a server and a client with its makefiles, but no headers');
is(found('build'), $lacking, 'make says the same');
headers("$tree/15/include/server", '14.9');
is(found(''), $lacking, 'headers of another release');
headers("$tree/15/include/server", '15.20');
is(found(''), $lacking, 'headers of a newer minor release than the server');
headers("$tree/15/include/server", '15.17');
is(found(''), '15/bin/pg_config', 'headers of an older minor release');

postgres(17, client => '17.12');
is(found(''), '15/bin/pg_config', 'a newer client next to a complete release');
postgres(17, client => '17.12', headers => '17.12');
is(found(''), '15/bin/pg_config', 'a newer development package without a server');
is(found('build'), '15/bin/pg_config', 'nothing is built for a release that has no server');
is(found('', PG_CONFIG => "$tree/17/bin/pg_config"),
	"PostgreSQL 17 of 17/bin/pg_config comes without server; install postgresql-17, or set PG_CONFIG", 'PG_CONFIG of one without a server');
is(found('build', PG_CONFIG => "$tree/17/bin/pg_config"), '17/bin/pg_config', 'which can still be built with');
postgres(17, client => '17.12', headers => '17.12', server => '17.12');
is(found(''), '17/bin/pg_config', 'the newest of two that are complete');
is(found('', PG_CONFIG => "$tree/15/bin/pg_config"), '15/bin/pg_config', 'PG_CONFIG counts');
postgres(12, client => '12.22', headers => '12.22', server => '12.22');
postgres(20, client => '20.1', headers => '20.1', server => '20.1');
is(found(''), '17/bin/pg_config', 'releases that are too old or not known yet');

machine();
postgres(15, client => '15.18', server => '15.18');
postgres(17, client => '17.12', headers => '17.12');
is(found('build'), $lacking, 'a server without headers, headers without a server');
machine();
postgres(17, client => '17.12', headers => '17.12');
is(found('build'), '17/bin/pg_config', 'building needs no server');
like(found(''), qr/comes without server; install postgresql-17,/, 'running one does');
machine();
postgres(16, client => '16.9', server => '16.9', no_makefiles => 1);
like(found(''), qr/comes without makefiles and headers; install postgresql-server-dev-16,/, 'neither makefiles nor headers');
machine();
postgres(19, client => '19rc1', server => '19rc1', headers => '19');
is(found(''), '19/bin/pg_config', 'a release candidate');

# Headers that bootstrap has unpacked

machine();
postgres(15, client => '15.18', server => '15.18');
my $files = "tmp/webhook-files.$<";
headers("$tree/$files/15/server", '15.18');
program("$tree/$files/15/pg_config",
	"[ \"\$1\" = --includedir-server ] && echo '$tree/$files/15/server' || exec '$tree/15/bin/pg_config' \"\$@\"");
is(found(''), "$files/15/pg_config", 'headers that were downloaded');
headers("$tree/15/include/server", '15.18');
is(found(''), '15/bin/pg_config', 'those of the system take precedence');

# The scripts look for the releases that the sources can be built with.

sub contents
{
	my ($path) = @_;

	open(my $file, '<', $path) or die "could not read $path: $!";
	local $/;
	return scalar(<$file>);
}
my ($newest) = contents($script) =~ /^newest_release=(\d+)$/m;
my ($unknown) = contents(dirname($script) . '/../src/compat.h') =~ /PG_VERSION_NUM >= (\d+)0000 && !defined\(WEBHOOK_UNTESTED_POSTGRESQL\)/;
is($unknown, $newest + 1, 'the newest release of the scripts is that of the sources');

# An invalid PG_CONFIG

is(found('', PG_CONFIG => '/nonexistent'), 'PG_CONFIG=/nonexistent is not a pg_config that can be run on this machine', 'a PG_CONFIG that does not exist');
program("$tree/foreign", '');
open(my $foreign, '>', "$tree/foreign") or die $!;
print $foreign "\x7fELF\x02\x01\x01" . ("\0" x 9) . "\x02\x00\xf7\x00" . ("\0" x 64);
close($foreign);
is(found('', PG_CONFIG => "$tree/foreign"), 'PG_CONFIG=foreign is not a pg_config that can be run on this machine',
	'a PG_CONFIG of another architecture');
chmod(0644, "$tree/foreign");
is(found('', PG_CONFIG => "$tree/foreign"), 'PG_CONFIG=foreign is not a pg_config that can be run on this machine',
	'a PG_CONFIG that is not executable');

# The test servers trust every connection to their sockets, so no other user may reach these.

SKIP:
{
	my ($work) = ($ENV{TESTDIR} // '') =~ m{^(.*/work)/tap/};

	skip 'not run by test/run', 1 unless $work;
	is((stat($work))[2] & 077, 0, 'other users cannot access the directory of the servers');
}

done_testing();
