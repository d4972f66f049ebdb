# A ticketing system under a random workload of several sessions: what seven receivers got, against a ledger that triggers of
# this test keep.
#
# test/fixtures/ticketing.sql has the tables, the ledger, and what the sessions do; it says what is peculiar to such schemas.
# Each entity is compared, in order and byte by byte, in five formats.  The sixth receiver is a shop that for
# every third event is sent paid tickets only; the seventh is sent every fourth event.
#
# WEBHOOK_TICKETING_CHANGES is the number of changes, WEBHOOK_TICKETING_SEED the seed of the random numbers.
#
# Mission: W1 W3 W7 W15, I12, E1 - E3.  Cases: C7 C13 C19 C20 C22 C23.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql);

my $changes = $ENV{WEBHOOK_TICKETING_CHANGES} || 1500;
my $seed = $ENV{WEBHOOK_TICKETING_SEED} || 20261128;
my $sessions = 4;
my $organisers = 2;

diag("WEBHOOK_TICKETING_CHANGES=$changes WEBHOOK_TICKETING_SEED=$seed");
srand($seed);

my $node = WebhookTest::start_node('ticketing', 'deadlock_timeout = 20ms');
my $receiver = WebhookTest::Receiver->start;

# The tables are watched by their owner, to which their row-level security applies, too.

sql(slurp_file(dirname(dirname(abs_path(__FILE__))) . '/fixtures/ticketing.sql'));
sql(q{
	GRANT USAGE ON SCHEMA webhook TO ticketing_owner, ticketing_app;
	GRANT EXECUTE ON FUNCTION webhook.watch TO ticketing_owner;
	GRANT EXECUTE ON FUNCTION webhook.notify_payment TO ticketing_app;
	SET ROLE ticketing_owner;
	SET search_path = ticketing;
	SELECT webhook.watch('event', 'event', event_uid => 'uid', deleted => 'deleted_at IS NOT NULL', exclude => '{deleted_at}');
	SELECT webhook.watch('reservation', 'reservation', event_uid => '(SELECT e.uid FROM event e WHERE e.id = event_id)',
		deleted => 'released_at IS NOT NULL', exclude => '{card_token, released_at}');
	SELECT webhook.watch('ticket', 'ticket', id => 'uid', event_uid => '(SELECT e.uid FROM event e WHERE e.id = event_id)',
		paid => $$EXISTS (SELECT FROM payment p WHERE p.ticket_uid = ticket.uid AND p.state = 'received')$$,
		deleted => 'deleted_at IS NOT NULL', exclude => '{access_code, deleted_at}');
	SELECT webhook.watch('ticket_option', 'option',
		event_uid => '(SELECT e.uid FROM ticket t JOIN event e ON e.id = t.event_id WHERE t.id = ticket_id)');
});

# For the shop one event in three is paid tickets only, and one in three sends no update for a payment that changes
# nothing else.
sql(q{SELECT webhook.create_integration('shop')});
sql(sprintf q{SELECT count(webhook.override_event('ev-' || n, 'shop', only_paid => n %% 3 = 0, send_on_payment => n %% 3 = 2))
	FROM generate_series(1, %d) AS n}, $changes);

my %paths = (
	'entity' => '/entity',
	'rest' => '/rest/{action}/{event_uid}/{entity_id}',
	'standard' => '/standard/{event_uid}/{entity_id}',
	'cloudevents' => '/cloudevents',
	'cloudevents-binary' => '/cloudevents-binary');

foreach my $format (sort keys %paths)
{
	WebhookTest::create_webhook($node, app => "'all'", event => "'*'", format => "'$format'", url => "'" . $receiver->url($paths{$format}) . "'");
}
WebhookTest::create_webhook($node, app => "'shop'", event => "'ticket.*'", integration => "'shop'", url => "'" . $receiver->url('/shop') . "'");
WebhookTest::create_webhook($node, app => "'fourth'", event => "'*'", event_uids => "'" . join(',', map { 'ev-' . 4 * $_ } 1 .. $changes / 4) . "'",
	url => "'" . $receiver->url('/fourth') . "'");

# What one session does, as a script: transactions of a few changes each, with savepoints, some of them rolled back.
sub script
{
	my ($number, $changes) = @_;
	# What is sent must not depend on these.
	my @settings = (
		"SET datestyle = 'German'; SET timezone = 'Asia/Kathmandu'; SET intervalstyle = 'iso_8601'",
		"SET extra_float_digits = -3; SET timezone = 'America/New_York'",
		"SET datestyle = 'SQL, DMY'");
	my @script = ('SELECT setseed(' . rand() . ')', 'SET SESSION AUTHORIZATION ticketing_app', $settings[ $number % @settings ]);

	while ($changes > 0)
	{
		my @transaction = ('SELECT ticketing.change()') x (1 + int(rand(5)));
		my $identifier = "'session $number, $changes'";
		my $end = rand();

		$changes -= @transaction;
		if (rand() < 0.3)
		{
			my $savepoint = int(rand(@transaction));

			splice(@transaction, $savepoint + 1 + int(rand(@transaction - $savepoint)), 0, rand() < 0.5 ? 'ROLLBACK TO s' : 'RELEASE s');
			splice(@transaction, $savepoint, 0, 'SAVEPOINT s');
		}
		push @script, 'SET ticketing.organiser = ' . (1 + int(rand($organisers)));
		push @script, 'SELECT ticketing.seats_first()' if rand() < 0.03;
		push @script, rand() < 0.1 ? 'BEGIN ISOLATION LEVEL REPEATABLE READ' : 'BEGIN', @transaction,
		  $end < 0.85 ? 'COMMIT'
		  : $end < 0.95 ? 'ROLLBACK'
		  : ("PREPARE TRANSACTION $identifier", "COMMIT PREPARED $identifier");
	}
	return join(";\n", @script, '');
}

# Some events to start with.
sql(map { "SET ticketing.organiser = $_; SELECT setseed(0.$_); SELECT count(ticketing.seats_first()) FROM generate_series(1, 6);\n" } 1 .. $organisers);

my @errors;
my @running = map {
	my $file = PostgreSQL::Test::Utils::tempdir() . "/session_$_";

	append_to_file($file, script($_, $changes / $sessions));
	push @errors, "$file.errors";
	IPC::Run::start([ 'psql', '-XAtq', '-o', '/dev/null', '-d', $node->connstr('postgres'), '-f', $file ], '<', \undef, '2>', "$file.errors");
} 0 .. $sessions - 1;
IPC::Run::finish($_) foreach @running;

# A transaction that conflicts with another one is rolled back, as in production; no other error may occur.
my @lines = grep { /ERROR/ } map { split /\n/, slurp_file($_) } @errors;
my @unexpected = grep { !/deadlock detected|could not serialize|violates foreign key constraint|current transaction is aborted|(savepoint|prepared transaction) .* does not exist/ } @lines;
is(join("\n", @unexpected), '', 'W15: no statement of the application fails because it is watched');

WebhookTest::wait_until_delivered($node);
sql("COPY ledger.request (line) FROM '$receiver->{ledger}' (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')");
sql("REFRESH MATERIALIZED VIEW ledger.$_") foreach 'received', 'difference', 'fault';
diag(sql(q{SELECT count(*) || ' messages, ' || (SELECT count(*) FROM ledger.request) || ' requests' FROM ledger.message}), ', ', scalar(@lines), ' errors');

# Make sure that there is something to compare.
is( sql(q{SELECT string_agg(kind, ' ' ORDER BY kind) FROM (SELECT DISTINCT audience || '.' || type || '.' || action AS kind FROM ledger.message) AS k}),
	join(' ', map { my $type = $_; map { "$type.$_" } qw(create delete update) } qw(all.event all.option all.reservation all.ticket shop.ticket)),
	'every action on every type of entity');

# The number of them for each format, and an example.
sub count_by_format
{
	return map { my ($format, $count, $example) = split /\|/, $_, 3; $format => { count => $count, example => $example } }
	  split /\n/, sql("SELECT format, count(*), min(d::text) FROM ledger.$_[0] AS d GROUP BY 1");
}

my %difference = count_by_format('difference');
my %fault = count_by_format('fault');

foreach my $format (sort(keys %paths), 'shop', 'fourth')
{
	is($difference{$format}{count} // 0, 0, "W3, W7, W15: $format: for each entity the messages of the ledger, in order, and no others")
	  or diag($difference{$format}{example});
	# An entity that moves to another event is not deleted for a webhook for certain events.
	next if $format eq 'fourth';
	is($fault{$format}{count} // 0, 0, "C7, W15: $format: a copy kept by the ids equals the tables")
	  or diag($fault{$format}{example});
}

done_testing();
