# No setting of a server, a database or a role, no hook of another library and no event trigger reaches the worker's own work.
#
# Every setting that a session may change is set to its worst value for the role that the worker runs as.
#
# Mission: W2, W16; cases: C3.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql);

my $receiver = WebhookTest::Receiver->start;
my $node = WebhookTest::start_node('island', 'max_worker_processes = 20');

# The application's role does not get the harmful settings, so it is not affected.
sql(q{CREATE ROLE shop SUPERUSER LOGIN});
sql(q{CREATE ROLE shop_owner});
sql(q{CREATE DATABASE app});

sub app
{
	my ($sql) = @_;

	local $ENV{PGUSER} = 'shop';
	return $node->safe_psql('app', $sql);
}

sub app_becomes
{
	my ($query, $expected, $name) = @_;
	local $ENV{PGUSER} = 'shop';
	ok($node->poll_query_until('app', $query, $expected), $name);
	return;
}

app(q{CREATE EXTENSION webhook; CREATE TABLE guest (id integer PRIMARY KEY, at interval)});
app(q{SELECT webhook.watch('guest', 'guest')});
app("SELECT webhook.create_webhook('a', 'guest.*', '" . $receiver->url('/a') . q{', format => 'rest',
	retry_schedule => '{0, 0.1 s, 1 day}')});
app(q{CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no'; END$$});
app("CREATE EVENT TRIGGER refuse_$_ ON $_ EXECUTE FUNCTION refuse()") foreach qw(ddl_command_start ddl_command_end sql_drop table_rewrite);

# Sending and logging: a failure, its retry, a success.
my $n = 0;

sub works
{
	my ($name) = @_;

	$n++;
	$receiver->behave('/a', status => 500, times => 1);
	app("INSERT INTO guest VALUES ($n, '1 day')");
	ok($receiver->wait_for_count(2 * $n, '/a'), "C3: $name: a message is sent and retried");
	is(($receiver->requests('/a'))[-1]->{body}, qq({"id":$n,"at":"1 day"}), "C3: $name: as it was written");
	app_becomes('SELECT webhook.pending() = 0', 't', "C3: $name: nothing is pending");
	app_becomes("SELECT delivered FROM webhook.stat_webhooks", $n, "C3: $name: the delivery is counted");
	return;
}

sub restart
{
	$node->restart;
	app_becomes(q{SELECT state FROM webhook.stat_workers WHERE database = 'app'}, 'served', 'C3: the database is served');
	return;
}

works('before');

# Harmful values.  Those that cannot be derived are listed; booleans are inverted, numbers are as small or as large as possible.

my %worst = (role => 'shop_owner', search_path => 'nowhere', default_tablespace => 'nowhere', temp_tablespaces => 'nowhere',
	client_encoding => 'LATIN1', DateStyle => 'German, DMY', IntervalStyle => 'iso_8601', TimeZone => 'Asia/Kathmandu',
	session_replication_role => 'replica', default_transaction_isolation => 'serializable', lc_messages => 'C');
my $settings = q{FROM pg_settings WHERE context IN ('user', 'superuser') AND name !~ '^(webhook\.|role$|session_authorization$|transaction_|seed$)'};
my @others = map { [ split /\|/ ] } split(/\n/, sql("SELECT name, vartype, boot_val, min_val, max_val, array_to_string(enumvals, ',') $settings"));

# These stop any process, or fill its memory; the tests use the last two.
my %left = map { $_ => 1 } qw(local_preload_libraries session_preload_libraries max_stack_depth log_min_messages log_min_error_statement
  track_activities track_counts dynamic_library_path extension_destdir client_min_messages debug_discard_caches commit_delay);

sub set_worst
{
	my ($large) = @_;

	foreach my $other (@others)
	{
		my ($name, $type, $default, $min, $max, $choices) = map { $_ // '' } @$other;
		my $value = $worst{$name};

		# Since 19 the first cannot be turned off, and the other depends on the machine.
		next if $name =~ /^(standard_conforming_strings|timing_clock_source)$/ && sql('SHOW server_version_num') >= 190000;
		next if $left{$name} || ($large && $name =~ /_(buffers|mem|limit)$/);
		$value //= $default eq 'on' ? 'off' : 'on' if $type eq 'bool';
		$value //= $large ? $max : $min if $type =~ /integer|real/;
		$value //= (grep { $_ ne $default } split(/,/, $choices))[-1] if $type eq 'enum';
		next unless defined $value;
		$value = 1 if $value eq '0' && $name =~ /_timeout$/;
		sql("ALTER ROLE postgres IN DATABASE app SET $name = '$value'");
	}
	sql("ALTER ROLE postgres IN DATABASE app SET role = 'shop_owner'");
	return;
}

foreach my $large (0, 1)
{
	set_worst($large);
	restart();
	works($large ? 'the largest values' : 'the smallest values');
}
sql('ALTER ROLE postgres IN DATABASE app RESET ALL');
sql('ALTER DATABASE app SET SESSION AUTHORIZATION shop_owner');
sql('ALTER DATABASE app SET role = shop_owner');
sql('ALTER ROLE shop IN DATABASE app SET SESSION AUTHORIZATION shop');
sql('ALTER ROLE shop IN DATABASE app SET role = shop');
restart();
works('another identity');

# Other libraries, loaded before and after ours

foreach my $libraries ('auto_explain, pg_stat_statements, webhook', 'webhook, pg_stat_statements, auto_explain')
{
	$node->append_conf('postgresql.conf', "shared_preload_libraries = '$libraries'\nauto_explain.log_min_duration = 0\n"
		  . "auto_explain.log_analyze = on\nauto_explain.log_nested_statements = on\npg_stat_statements.track = all\n"
		  . "default_transaction_read_only = on\nstatement_timeout = 1\nlock_timeout = 1\n");
	sql('SET default_transaction_read_only = off; ALTER ROLE shop SET default_transaction_read_only = off') if $n == 4;
	sql('SET default_transaction_read_only = off; ALTER ROLE shop SET statement_timeout = 0') if $n == 4;
	restart();
	works($libraries);
}

$node->stop;
$receiver->stop;
done_testing();
