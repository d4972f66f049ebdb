# The install script: nothing unqualified, nothing granted, nothing without a comment.  It is not misled by
# objects that others have created.
#
# Mission: W14.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql);

my $node = WebhookTest::start_node('install');

# Expect that no object fails a rule; the query lists those that do.
sub none
{
	my ($query, $name) = @_;

	is(sql($query), '', $name);
	return;
}

# Functions that are inlined into functions with a search_path; no other role may execute them.
my $inlined = '(page_style|page_header|page_code|page_tile|page_title|page_list|page_history_sections|activity_counters|metrics_label)';

# What exists after CREATE EXTENSION

my $ours = "webhook'::regnamespace";
none("SELECT oid::regprocedure FROM pg_proc p WHERE pronamespace = '$ours AND prosecdef
		AND NOT coalesce(proconfig @> '{\"search_path=pg_catalog, pg_temp\"}', false)",
	'W14: every SECURITY DEFINER function has a safe search_path');
none("SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_language l ON l.oid = prolang
	   WHERE pronamespace = '$ours AND lanname NOT IN ('c', 'internal')
		AND proname !~ '^$inlined\$' AND NOT coalesce(proconfig @> '{\"search_path=pg_catalog, pg_temp\"}', false)",
	'W14: so does every function that is not in C');
none("SELECT oid::regprocedure FROM pg_proc p WHERE pronamespace = '$ours AND obj_description(oid, 'pg_proc') IS NULL",
	'every function has a comment');
none("SELECT oid::regclass FROM pg_class WHERE relnamespace = '$ours AND relkind IN ('r', 'v', 'm', 'p')
		AND obj_description(oid, 'pg_class') IS NULL",
	'every table and view has a comment');
none("SELECT attrelid::regclass || '.' || attname FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped
		AND attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = '$ours AND (relname LIKE 'stat\\_%' OR relname LIKE '%history'
			OR relname IN ('undelivered', 'notification', 'withheld'))) AND col_description(attrelid, attnum) IS NULL",
	'every column of the tables and views for users has a comment');
none("SELECT nspname FROM pg_namespace WHERE oid = '$ours AND obj_description(oid, 'pg_namespace') IS NULL",
	'so does the schema');
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

# The script itself: tables, types and the like are named with their schema everywhere, because of pg_temp; functions
# outside of function bodies, in which only pg_catalog can have them.  A SECURITY DEFINER function has a search_path.

my $syntax = join('|', qw(all and any array as between cast check coalesce else exists extract filter foreign from greatest in join key lateral least
	like not nullif on operator or over partition primary reset row select set setof some table then unique using values when where with));

sub flaws
{
	my ($script) = @_;
	my @found;
	my %known = map { $_ => 1 } qw(public current_user only lateral select rows);

	$script =~ s/--[^\n]*|\/\*.*?\*\///gs;
	$script =~ s/^\\.*//gm;
	$script =~ s/'(?:[^']|'')*'/''/g;
	while ($script =~ /\bCREATE\s+(?:OR\s+REPLACE\s+)?(?:FUNCTION|PROCEDURE)\b((?:(\$\w*\$).*?\2|[^;])*);/gis)
	{
		my $function = $1;

		next if $function =~ /\bLANGUAGE\s+(?:c|internal)\b/i && $function !~ /\bSECURITY\s+DEFINER\b/i;
		next if $function =~ /^\s*webhook\.$inlined\(/ && $function !~ /\bSECURITY\s+DEFINER\b/i;
		push @found, 'function without search_path:' . substr($function, 0, 40)
		  unless $function =~ /\bSET\s+search_path\s*(?:=|TO)\s*pg_catalog,\s*pg_temp\b/i;
	}
	$known{ lc($1) } = 1 while $script =~ /\b(\w+)\s*(?:\([\w\s,]*\)\s*)?AS\s+(?:(?:NOT\s+)?MATERIALIZED\s*)?\(/gi;
	while ($script =~ /\b((?:CREATE|ALTER|DROP|COMMENT\s+ON|(?:GRANT|REVOKE)\s+[\w\s,]+\sON)\s+(?:OR\s+REPLACE\s+)?(?:UNIQUE\s+)?
						 (?:TABLE|VIEW|FUNCTION|PROCEDURE|SEQUENCE|TYPE|DOMAIN|AGGREGATE)\s+(?:IF\s+\w+\s+(?:EXISTS\s+)?)?
						 |INSERT\s+INTO\s+|UPDATE\s+|DELETE\s+FROM\s+|REFERENCES\s+|TRUNCATE\s+|EXECUTE\s+FUNCTION\s+
						 |(?<!DISTINCT\s)(?<!epoch\s)FROM\s+|JOIN\s+)([A-Za-z_]\w*)(\.|\s*\()?/gisx)
	{
		my ($command, $name, $next) = ($1, $2, $3 // '');

		next if $next eq '.' && $name =~ /^(webhook|pg_catalog)$/;
		next if $command =~ /^(UPDATE|TRUNCATE)/i && $name =~ /^(OR|SET|ON|SKIP|OF|CASCADE|RESTRICT|NO|DELETE|INSERT)$/i;
		next if $command =~ /^(FROM|JOIN)/i && ($known{ lc($name) } || $next =~ /\(/);
		push @found, "$command$name";
	}
	push @found, $1 while $script =~ /\b(SET\s+(?:SESSION\s+|LOCAL\s+)?search_path\b(?!\s*(?:=|TO)\s*pg_catalog,\s*pg_temp).*)/gi;

	# Access methods have no schema.
	$script =~ s/\bUSING\s+(?:gin|brin|hash)\b//gi;

	# Function calls, without the bodies that have a search_path of their own.
	$script =~ s/(\bCREATE\s+(?:OR\s+REPLACE\s+)?(?:FUNCTION|PROCEDURE)\b(?:(?!\$\w*\$)[^;])*)(\$\w*\$).*?\2/$1/gis;
	while ($script =~ /(?<![\w."\x24])([A-Za-z_]\w*)\s*\(/g)
	{
		my $name = $1;

		push @found, "$name()" unless $name =~ /^(?:$syntax)$/i || $script =~ /\b(?:AS|INTO)\s+(?:[\w.]+\.)?\Q$name\E\s*\(/i;
	}
	return join("\n", @found);
}

# The check itself

foreach my $bad (
	'CREATE TABLE t (id int)', 'create table if not exists t (id int)', 'CREATE OR REPLACE VIEW v AS SELECT 1',
	'CREATE FUNCTION f() RETURNS int LANGUAGE c AS \'x\';', 'ALTER TABLE t ADD c int', 'DROP TYPE t', 'COMMENT ON TABLE t IS \'\'',
	'GRANT SELECT, INSERT ON TABLE t TO webhook_user', 'INSERT INTO t VALUES (1)', 'UPDATE t SET a = 1', 'DELETE FROM t',
	'CREATE VIEW webhook.v AS SELECT * FROM t', 'CREATE VIEW webhook.v AS SELECT * FROM webhook.a AS a JOIN t ON true',
	'CREATE VIEW webhook.v AS SELECT * FROM other.t', 'CREATE VIEW webhook.v AS SELECT now()',
	'CREATE TABLE webhook.t (id int DEFAULT nextval(\'webhook.s\'))', 'CREATE TABLE webhook.t (id int REFERENCES t)',
	'DO $$ BEGIN PERFORM set_config(\'a\', \'b\', true); END $$', 'SET search_path = webhook', 'SET LOCAL search_path TO public',
	'CREATE FUNCTION webhook.f() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$;',
	'CREATE FUNCTION webhook.f() RETURNS int LANGUAGE plpgsql SET search_path = webhook AS $$ BEGIN RETURN 1; END $$;',
	'CREATE FUNCTION webhook.f() RETURNS int LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$ SELECT id FROM t $$;',
	'CREATE FUNCTION webhook.f() RETURNS int LANGUAGE sql SET search_path = pg_temp AS \'SELECT 1\';',
	'CREATE FUNCTION webhook.f() RETURNS int LANGUAGE c SECURITY DEFINER AS \'x\';',
	'CREATE TRIGGER t AFTER INSERT ON webhook.t EXECUTE FUNCTION f()')
{
	isnt(flaws($bad), '', "the check finds: $bad");
}
is(flaws(q{
	CREATE FUNCTION webhook.f(a int) RETURNS TABLE (b int) LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
		$$ WITH c AS (SELECT count(*) FROM webhook.t) SELECT 1 FROM c, unnest(ARRAY[1]) WHERE 1 IS DISTINCT FROM a $$;
	CREATE VIEW webhook.v AS SELECT pg_catalog.now(), COALESCE(x, y) FROM webhook.t WHERE z IN (1, 2); -- FROM t
	CREATE FUNCTION webhook.g() RETURNS int LANGUAGE c AS 'g';
	REVOKE ALL ON ALL TABLES IN SCHEMA webhook FROM PUBLIC;
}), '', 'the check finds nothing else');

my $sources = dirname(dirname(dirname(abs_path(__FILE__)))) . '/sql';
foreach my $file (sort glob("$sources/install/*.sql"), glob("$sources/upgrade/*.sql"))
{
	is(flaws(slurp_file($file)), '', 'W14: nothing unqualified in ' . (split(/\//, $file))[-1]);
}

# Without the library preloaded, CREATE EXTENSION says what is missing

{
	my $bare = PostgreSQL::Test::Cluster->new('bare');

	$bare->init;
	$bare->start;
	my ($result, $out, $err) = $bare->psql('postgres', 'CREATE EXTENSION webhook');
	is($result, 0, 'the extension can be created without the library being preloaded');
	like($err, qr/WARNING:  webhook is not loaded via shared_preload_libraries\n.*\nHINT:  Add webhook to shared_preload_libraries/,
		'with a warning that says what to do');
	$bare->stop;
}

# A role that may create schemas sets traps before the extension is created

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
like($stderr, qr/ERROR:  42P06: schema "webhook" already exists/, 'W14: a schema of another role is refused');
($status, $stdout, $stderr) = hostile('traps', 'CREATE SCHEMA webhook;' . sprintf($trap, 'webhook'));
like($stderr, qr/ERROR:  42P06: schema "webhook" already exists/, 'W14: so is one that contains traps');
$node->safe_psql('traps', 'ALTER SCHEMA webhook OWNER TO CURRENT_USER');
($status, $stdout, $stderr) = $node->psql('traps', 'CREATE EXTENSION webhook');
like($stderr, qr/already exists/, 'W14: although we own the schema');
($status, $stdout, $stderr) = hostile('public', sprintf($trap, 'public'));
is("$status $stderr", '0 ', 'W14: traps in another schema are not called');
$node->safe_psql('public', "CREATE TABLE t (id bigint PRIMARY KEY); SELECT webhook.watch('t', 't');
	SELECT webhook.create_webhook('a', 't.*', 'http://127.0.0.1:1/', retry_schedule => '{0}'); INSERT INTO t VALUES (1)");
ok( $node->poll_query_until('public', 'SELECT count(*) > 0 FROM webhook.get_webhooks() w, webhook.get_webhook_log(w.id) l'),
	'W14: nor by the worker');
is(sql("SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'"), 'f', 'W14: no role became superuser');
unlike(slurp_file($node->logfile), qr/ALTER ROLE mallory SUPERUSER.*\n.*must be superuser/, 'W14: no trap was called');
sql('CREATE DATABASE empty');
$node->safe_psql('empty', 'CREATE SCHEMA webhook; CREATE EXTENSION webhook');
pass('an empty schema of our own is accepted');

# Untested releases of PostgreSQL do not compile, unless that is overridden

sub compiler_says
{
	my ($release, @options) = @_;
	my ($output, $errors);

	IPC::Run::run([ 'cc', '-E', '-x', 'c', "-DPG_VERSION_NUM=$release", @options, '-include', "$sources/../src/compat.h", '/dev/null' ],
		'>', \$output, '2>', \$errors);
	return join(' ', $errors =~ /#error "webhook ([^"]*)"/g);
}

like(compiler_says(120022), qr/^needs PostgreSQL 13 or newer\b/, 'PostgreSQL 12 is refused');
is(compiler_says(190099), '', 'PostgreSQL 19 is not');
like(compiler_says(200000), qr/^is tested with PostgreSQL 13 to 19;.*WEBHOOK_UNTESTED_POSTGRESQL/, 'PostgreSQL 20 is');
is(compiler_says(200000, '-DWEBHOOK_UNTESTED_POSTGRESQL'), '', 'unless it is overridden');

done_testing();
