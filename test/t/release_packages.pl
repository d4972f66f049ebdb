# What is released: the Debian package has the right files and dependencies, and all versions are the same.
#
# Goal "release"; design.md, "A library newer or older than its SQL".

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = dirname(dirname(dirname(abs_path(__FILE__))));

# The version

my ($version) = slurp_file("$top/webhook.control") =~ /^default_version *= *'(.*)'/m;
my $meta = decode_json(slurp_file("$top/META.json"));
my ($newest) = slurp_file("$top/CHANGELOG.md") =~ /^## \[(.*?)\]/m;

is($meta->{version}, $version, 'META.json has the version of webhook.control');
is($meta->{provides}{webhook}{version}, $version, '... and provides it');
is($newest, $version, 'the newest entry of CHANGELOG.md is that version');
ok(-e "$top/$meta->{provides}{webhook}{$_}", "META.json: the $_ is there") foreach qw(file docfile);

# The package

my $pg_config = $ENV{WEBHOOK_PG_CONFIG};
SKIP:
{
	skip 'the package is made of what test/run has built, with dpkg-deb', 1
	  if !$pg_config || system('command -v dpkg-deb >/dev/null') != 0;

	my $target = PostgreSQL::Test::Utils::tempdir();
	local $ENV{TMPDIR} = PostgreSQL::Test::Utils::tempdir();
	my $make = "PG_CONFIG='$pg_config' SOURCE_DATE_EPOCH=1700000000 sh '$top/test/deb' '$target'";
	my ($name) = run_command([ 'sh', '-c', "$make 2>'$target/log'" ]);
	like($name, qr/^postgresql-\d+-webhook_\Q$version\E_\w+\.deb$/, 'a package is made')
	  or diag(slurp_file("$target/log"));

	my ($release) = $name =~ /^postgresql-(\d+)/;
	my ($library) = run_command([ $pg_config, '--pkglibdir' ]);
	my ($share) = run_command([ $pg_config, '--sharedir' ]);
	my $documents = "/usr/share/doc/postgresql-$release-webhook";
	my ($list) = run_command([ 'dpkg-deb', '-c', "$target/$name" ]);
	my @upgrades = map { s/.*\///r } glob("$top/sql/upgrade/*.sql");
	is_deeply(
		[ sort map { /^(\S+ \S+) .* \.(\/\S+)$/ ? "$1 $2" : $_ } grep { !/\/$/ } split(/\n/, $list) ],
		[ sort map { "-rw-r--r-- root/root $_" } "$library/webhook.so", "$share/extension/webhook.control",
			"$share/extension/webhook--$version.sql", map({ "$share/extension/$_" } @upgrades),
			map { "$documents/$_" } qw(copyright changelog.gz README.md.gz) ],
		'with the library, the scripts, the control file and the documents, and nothing else');
	my ($fields) = run_command([ 'dpkg-deb', '-f', "$target/$name" ]);
	like($fields, qr/^Version: \Q$version\E$/m, 'its version');
	like($fields, qr/^Depends: postgresql-$release \(>= $release[.~]\w+\), .*\blibc6\b/m, 'it depends on the server');
	like($fields, qr/^Depends: .*\blibcurl/m, '... on libcurl');
	like($fields, qr/^Depends: .*\blibssl/m, '... and on OpenSSL');
	like($fields, qr/^Maintainer: .* <.*>$/m, 'it has a maintainer');

	my $bytes = slurp_file("$target/$name");
	run_command([ 'sh', '-c', $make ]);
	ok(slurp_file("$target/$name") eq $bytes, 'made again, it is the same');
}

done_testing();
