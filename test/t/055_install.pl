# The install script: nothing unqualified, nothing granted, nothing without a comment; and it does not fall for what
# others have put in its way.
#
# Mission: W14.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest;

my $node = WebhookTest::start_node('install');

sub sql
{
	return $node->safe_psql('postgres', join('', @_));
}

# Expect that no object fails a rule; the query lists those that do.
sub none
{
	my ($query, $name) = @_;

	is(sql($query), '', $name);
	return;
}

# What is there after CREATE EXTENSION

my $ours = "webhook'::regnamespace";
none("SELECT oid::regprocedure FROM pg_proc p WHERE pronamespace = '$ours AND prosecdef
		AND NOT coalesce(proconfig @> '{\"search_path=pg_catalog, pg_temp\"}', false)",
	'W14: every SECURITY DEFINER function has a safe search_path');
none("SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_language l ON l.oid = prolang
	   WHERE pronamespace = '$ours AND lanname NOT IN ('c', 'internal')
		AND NOT coalesce(proconfig @> '{\"search_path=pg_catalog, pg_temp\"}', false)",
	'W14: so has every function that is not in C');
none("SELECT oid::regprocedure FROM pg_proc p WHERE pronamespace = '$ours AND obj_description(oid, 'pg_proc') IS NULL",
	'every function has a comment');
none("SELECT oid::regclass FROM pg_class WHERE relnamespace = '$ours AND relkind IN ('r', 'v', 'm', 'p')
		AND obj_description(oid, 'pg_class') IS NULL",
	'every table and view has a comment');
none("SELECT oid::regprocedure FROM pg_proc p, aclexplode(coalesce(proacl, acldefault('f', proowner))) a
	   WHERE pronamespace = '$ours AND a.grantee = 0",
	'W14: no function is granted to PUBLIC');
none("SELECT oid::regclass FROM pg_class c, aclexplode(relacl) a WHERE relnamespace = '$ours AND a.grantee = 0",
	'W14: no table, view or sequence is granted to PUBLIC');
none("SELECT nspname FROM pg_namespace, aclexplode(nspacl) a WHERE nspname = 'webhook' AND a.grantee = 0",
	'W14: nor is the schema');
none("SELECT attrelid::regclass || '.' || attname FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
	   WHERE relnamespace = '$ours AND attacl IS NOT NULL",
	'W14: nor any column');
none("SELECT objid::regclass FROM pg_depend d JOIN pg_class c ON c.oid = objid
	   WHERE refobjid = '$ours AND d.classid = 'pg_class'::regclass AND relkind IN ('r', 'v', 'S')
		AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = d.objid AND e.deptype IN ('e', 'i', 'a'))",
	'everything belongs to the extension');

# The script itself: whatever is named after one of these words must name its schema, as must functions called outside
# of function bodies, whose search_path is set.

my $sources = dirname(dirname(dirname(abs_path(__FILE__)))) . '/sql/install';
foreach my $file (sort glob("$sources/*.sql"))
{
	my $script = slurp_file($file);
	my @found;

	$script =~ s/--[^\n]*//g;
	# Strings, then bodies of functions and of EXECUTE.
	$script =~ s/'(?:[^']|'')*'/''/g;
	while ($script =~ /\b((?:CREATE|ALTER|DROP|COMMENT ON|GRANT [A-Z, ]+ ON|REVOKE [A-Z, ]+ ON)\s+(?:OR REPLACE\s+)?
						 (?:UNIQUE\s+)?(?:TABLE|VIEW|FUNCTION|PROCEDURE|SEQUENCE|TYPE|DOMAIN)\s+(?:IF\s+\w+\s+\w*\s*)?
						 |\bINSERT\s+INTO\s+|\bUPDATE\s+|\bDELETE\s+FROM\s+|\bREFERENCES\s+)([A-Za-z_]\w*)(\.?)/gx)
	{
		my ($command, $name, $dot) = ($1, $2, $3);

		next if $dot && $name =~ /^(webhook|pg_catalog)$/;
		next if $command =~ /^UPDATE/ && $name =~ /^(OR|SET|ON|SKIP|OF|CASCADE|RESTRICT|NO)$/i;
		push @found, "$command$name";
	}
	is(join("\n", @found), '', 'no unqualified name in ' . (split(/\//, $file))[-1]);
	unlike($script, qr/\bSET\s+(SESSION\s+|LOCAL\s+)?search_path\b(?!\s*=\s*pg_catalog,\s*pg_temp)/i,
		'no other search_path in ' . (split(/\//, $file))[-1]);
}

# A role that may create schemas waits for the extension to come

sub hostile
{
	my ($database, $what) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $database; GRANT CREATE ON DATABASE $database TO mallory");
	$node->safe_psql($database, "GRANT CREATE ON SCHEMA public TO mallory; SET ROLE mallory; $what");
	return $node->psql($database, 'CREATE EXTENSION webhook', extra_params => [ '-v', 'VERBOSITY=verbose' ]);
}

my $trap = q{
	CREATE FUNCTION %1$s.trap() RETURNS boolean LANGUAGE plpgsql AS
		$f$ BEGIN EXECUTE 'ALTER ROLE mallory SUPERUSER'; RETURN true; END $f$;
	CREATE FUNCTION %1$s.equal(name, name) RETURNS boolean LANGUAGE sql AS 'SELECT %1$s.trap()';
	CREATE FUNCTION %1$s.equal(oid, oid) RETURNS boolean LANGUAGE sql AS 'SELECT %1$s.trap()';
	CREATE FUNCTION %1$s.equal(bigint, bigint) RETURNS boolean LANGUAGE sql AS 'SELECT %1$s.trap()';
	CREATE OPERATOR %1$s.= (LEFTARG = name, RIGHTARG = name, FUNCTION = %1$s.equal);
	CREATE OPERATOR %1$s.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = %1$s.equal);
	CREATE OPERATOR %1$s.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = %1$s.equal);
	CREATE FUNCTION %1$s.format(text, integer) RETURNS text LANGUAGE sql AS 'SELECT $1 WHERE %1$s.trap()';
	CREATE FUNCTION %1$s.current_database() RETURNS name LANGUAGE sql AS 'SELECT name ''x'' WHERE %1$s.trap()';
	CREATE FUNCTION %1$s.string_to_array(text, text) RETURNS text[] LANGUAGE sql IMMUTABLE AS 'SELECT ''{}''::text[]';
};

sql('CREATE ROLE mallory');
my ($status, $stdout, $stderr) = hostile('theirs', 'CREATE SCHEMA webhook');
like($stderr, qr/ERROR:  42P06: schema "webhook" exists already/, 'W14: a schema of somebody else is refused');
($status, $stdout, $stderr) = hostile('traps', 'CREATE SCHEMA webhook;' . sprintf($trap, 'webhook'));
like($stderr, qr/ERROR:  42P06: schema "webhook" exists already/, 'W14: so is one full of traps');
$node->safe_psql('traps', 'ALTER SCHEMA webhook OWNER TO CURRENT_USER');
($status, $stdout, $stderr) = $node->psql('traps', 'CREATE EXTENSION webhook');
like($stderr, qr/exists already/, 'W14: though the schema is ours');
($status, $stdout, $stderr) = hostile('public', sprintf($trap, 'public'));
is("$status $stderr", '0 ', 'W14: traps in another schema are not stepped on');
$node->safe_psql('public', "CREATE TABLE t (id bigint PRIMARY KEY); SELECT webhook.watch('t', 't');
	SELECT webhook.create_webhook('a', 't.*', 'http://127.0.0.1:1/', retry_schedule => '{0}'); INSERT INTO t VALUES (1)");
ok( $node->poll_query_until('public', 'SELECT count(*) > 0 FROM webhook.get_webhooks() w, webhook.get_webhook_log(w.id) l'),
	'W14: nor by the worker');
is(sql("SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'"), 'f', 'W14: nobody became superuser');
unlike(slurp_file($node->logfile), qr/ALTER ROLE mallory SUPERUSER.*\n.*must be superuser/, 'W14: nor tried');
sql('CREATE DATABASE empty');
$node->safe_psql('empty', 'CREATE SCHEMA webhook; CREATE EXTENSION webhook');
pass('an empty schema of our own is accepted');

done_testing();
