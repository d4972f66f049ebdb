# Several servers: application databases feed dispatchers by logical replication, and a dispatcher has a standby.
#
# Mission: W17, X1, X2; W1, W2 and W3 across servers.  R2.

use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest;

my @applications = qw(north south);
my $receiver = WebhookTest::Receiver->start;

# The server of the applications has neither the extension nor the library.
my $apps = PostgreSQL::Test::Cluster->new('apps');
$apps->init(allows_streaming => 'logical');
$apps->append_conf('postgresql.conf', 'max_prepared_transactions = 10');
$apps->start;

# Every application has a schema with its name; events that are not rows of a table are rows of occurrence.
sub tables
{
	my ($application) = @_;

	return "CREATE SCHEMA $application;
		CREATE TABLE $application.guest (id integer PRIMARY KEY, name text, visits integer NOT NULL DEFAULT 0);
		CREATE TABLE $application.occurrence (id integer PRIMARY KEY, event text NOT NULL, payload jsonb NOT NULL);";
}

foreach my $application (@applications)
{
	$apps->safe_psql('postgres', "CREATE DATABASE $application");
	$apps->safe_psql($application, tables($application) . "
		INSERT INTO $application.guest VALUES (1, 'was there before');
		CREATE PUBLICATION guests FOR TABLE $application.guest;
		CREATE PUBLICATION occurrences FOR TABLE $application.occurrence;");
}

# Subscribe a dispatcher to a publication of every application, and wait until the tables have been copied.
sub subscribe
{
	my ($dispatcher, $publication) = @_;

	foreach my $application (@applications)
	{
		my $connection = $apps->connstr($application);

		$connection =~ s/'/''/g;
		$dispatcher->safe_psql('postgres', tables($application));
		$dispatcher->safe_psql('postgres', "CREATE SUBSCRIPTION ${application}_$publication
			CONNECTION '$connection' PUBLICATION $publication WITH (synchronous_commit = on)");
	}
	$dispatcher->poll_query_until('postgres',
		q{SELECT count(*) = 2 AND bool_and(srsubstate = 'r') FROM pg_subscription_rel})
	  or BAIL_OUT('the tables are not copied');
	return;
}

# The bodies that arrived at a path, in order, without those whose message had arrived before.
sub arrived
{
	my ($path) = @_;
	my (@bodies, %seen);

	foreach my $request ($receiver->requests($path))
	{
		push @bodies, $request->{body} unless $seen{ $request->{headers}{'webhook-id'} }++;
	}
	return @bodies;
}

sub arrive
{
	my ($path, $expected, $name) = @_;

	ok($receiver->wait_for(sub { arrived($path) >= @$expected }), "$name: the expected number of messages arrives");
	is_deeply([ arrived($path) ], $expected, $name);
	return;
}

sub guest
{
	my ($id, $action, $visits) = @_;
	my $result = defined $visits ? qq(,"result":{"id":$id,"name":"g","visits":$visits}) : '';

	return qq({"entity_id":$id,"entity_type":"guest","action_type":"$action"$result});
}

# Two dispatchers: one for the guests of both applications, one for what they emit

my $guests = WebhookTest::start_node('guests', 'max_worker_processes = 30');
my $occurrences = WebhookTest::start_node('occurrences', 'max_worker_processes = 30');

subscribe($guests, 'guests');
subscribe($occurrences, 'occurrences');
foreach my $application (@applications)
{
	$guests->safe_psql('postgres', "SELECT webhook.watch('$application.guest', 'guest', event_uid => '''$application''');
		ALTER TABLE $application.guest ENABLE ALWAYS TRIGGER \"00_webhook_capture\";");
	WebhookTest::create_webhook($guests, app => "'$application'", event => "'guest.*'",
		event_uids => "'$application'", retry_schedule => q{'{0, 1 s, 1 day}'},
		url => "'" . $receiver->url('/{event_uid}/guests') . "'");
	$occurrences->safe_psql('postgres', "
		CREATE FUNCTION $application.emit() RETURNS trigger LANGUAGE plpgsql AS \$\$
		BEGIN
			PERFORM webhook.emit(NEW.event, NEW.payload, event_uid => '$application');
			RETURN NULL;
		END \$\$;
		CREATE TRIGGER emit AFTER INSERT ON $application.occurrence FOR EACH ROW EXECUTE FUNCTION $application.emit();
		ALTER TABLE $application.occurrence ENABLE ALWAYS TRIGGER emit;");
}
WebhookTest::create_webhook($occurrences, app => q{'all'}, event => q{'optin_finalized'}, format => q{'rest'},
	url => "'" . $receiver->url('/{event_uid}/occurrences') . "'");

foreach my $application (@applications)
{
	$apps->safe_psql($application, "
		BEGIN;
		INSERT INTO $application.guest VALUES (2, 'g');
		SAVEPOINT s;
		INSERT INTO $application.guest VALUES (3, 'g');
		ROLLBACK TO s;
		UPDATE $application.guest SET visits = 1 WHERE id = 2;
		INSERT INTO $application.occurrence VALUES (1, 'optin_finalized', '{\"id\": 371}'), (2, 'nobody_listens', '{}');
		COMMIT;
		BEGIN;
		INSERT INTO $application.guest VALUES (4, 'g');
		ROLLBACK;
		DELETE FROM $application.guest WHERE id = 2;");
	arrive("/$application/guests", [ guest(2, 'new', 0), guest(2, 'update', 1), guest(2, 'delete') ],
		"W17, W1, W3: the committed changes of $application arrive, in order, and not the initial copy");
	arrive("/$application/occurrences", ['{"id":371}'], "W17: what $application emits arrives");
}

$apps->safe_psql('north', q{BEGIN; INSERT INTO north.guest VALUES (5, 'g'); PREPARE TRANSACTION 'later'});
$apps->safe_psql('north', q{INSERT INTO north.guest VALUES (6, 'g')});
ok($receiver->wait_for(sub { arrived('/north/guests') == 4 }), 'W17: a later transaction does not wait');
$apps->safe_psql('north', q{COMMIT PREPARED 'later'});
ok($receiver->wait_for(sub { (arrived('/north/guests'))[4] // '' eq guest(5, 'new', 0) }),
	'W17, W1: a prepared transaction is sent when it commits');

# X1, X2: with REPLICA IDENTITY DEFAULT the publisher sends no former values but the key, and no values that are stored out
# of line and have not changed.  The subscriber has them all in its own row.

$_->[0]->safe_psql($_->[1],
	'CREATE TABLE north.letter (id integer PRIMARY KEY, status text, body text, size integer GENERATED ALWAYS AS (length(body)) STORED);
	 ALTER TABLE north.letter ALTER COLUMN body SET STORAGE EXTERNAL') foreach [ $apps, 'north' ], [ $guests, 'postgres' ];
$apps->safe_psql('north', 'ALTER PUBLICATION guests ADD TABLE north.letter');
$guests->safe_psql('postgres', q{ALTER SUBSCRIPTION north_guests REFRESH PUBLICATION});
$guests->poll_query_until('postgres', q{SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel})
  or BAIL_OUT('the letters are not copied');
$guests->safe_psql('postgres', q{SELECT webhook.watch('north.letter', 'letter');
	ALTER TABLE north.letter ENABLE ALWAYS TRIGGER "00_webhook_capture"});
WebhookTest::create_webhook($guests, app => q{'letters'}, event => q{'letter.*'}, previous => "'$_'", url => "'" . $receiver->url("/letter-$_") . "'")
  foreach qw(changed row);
WebhookTest::create_webhook($guests, app => q{'letters'}, event => q{'letter.*'}, url => "'" . $receiver->url('/letter-sent') . "'",
	condition => q{'$.new.status == "sent" && $.old.status == "new" && $.old.size == 9000'});
$apps->safe_psql('north', $_) foreach q{INSERT INTO north.letter VALUES (1, 'new', repeat('x', 9000))}, q{UPDATE north.letter SET status = 'sent'},
  q{UPDATE north.letter SET body = 'short'}, q{DELETE FROM north.letter};
my $body = '"' . 'x' x 9000 . '"';
my %letters = (
	changed => [ '-', '{"status":"new"}', qq({"body":$body,"size":9000}), '-' ],
	row => [ '-', qq({"id":1,"status":"new","body":$body,"size":9000}), qq({"id":1,"status":"sent","body":$body,"size":9000}),
		'{"id":1,"status":"sent","body":"short","size":5}' ]);
foreach my $kind (qw(changed row))
{
	ok($receiver->wait_for(sub { arrived("/letter-$kind") >= 4 }), "W17, X1: all letters arrive with $kind");
	is_deeply([ map { /"previous":(.*)\}$/ ? $1 : '-' } arrived("/letter-$kind") ], $letters{$kind}, "W17, X1: with their former values ($kind)");
}
WebhookTest::wait_until_delivered($guests);
is(join(' ', map { /"action_type":"(\w+)"/ } arrived('/letter-sent')), 'update', 'W17, X2: the condition sees both rows');

# A publication of all tables, as created by tools for change data capture, does no harm.  One message fills a partition.

$guests->append_conf('postgresql.conf', 'webhook.partition_size = 64kB');
$guests->safe_psql('postgres', q{
	CREATE PUBLICATION everything FOR ALL TABLES;
	SELECT webhook.create_integration('i');
	SELECT webhook.set_field_mapping('[{"name": "a", "value": 1}]', 'i');
	SELECT webhook.set_field_mapping('[]', 'i');
	SELECT webhook.delete_integration('i')});
is( $guests->safe_psql('postgres', q{
		SELECT count(*) FROM pg_class AS c WHERE relnamespace = 'webhook'::regnamespace AND relkind = 'r'
			AND relreplident = 'd' AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary)}),
	0,
	'W17: every table has a replica identity');
$guests->reload;
foreach my $turn (1 .. 2)
{
	my $current = $guests->safe_psql('postgres', 'SELECT current FROM webhook.ring');

	$guests->safe_psql('postgres',
		q{SELECT webhook.emit('guest.big', to_jsonb(string_agg(md5(i::text), '')), event_uid => 'north') FROM generate_series(1, 20000) AS i});
	ok($guests->poll_query_until('postgres', "SELECT current <> $current FROM webhook.ring"),
		"W17: the outbox goes on to its next partition: $turn");
}
WebhookTest::wait_until_delivered($guests);
$guests->safe_psql('postgres', 'DROP PUBLICATION everything');

# A dispatcher is killed while changes arrive

foreach my $id (map { 10 * $_ } 1 .. 20)
{
	$apps->safe_psql('south', "INSERT INTO south.guest SELECT g, 'g' FROM generate_series($id, $id + 9) AS g");
	$guests->stop('immediate') if $id == 100;
	$guests->start if $id == 150;
}
my @expected = map { guest($_, 'new', 0) } 10 .. 209;
ok( $receiver->wait_for(sub { arrived('/south/guests') >= 3 + @expected }), 'W17: after a crash of the dispatcher all messages arrive');
is_deeply([ sort(grep { !/"entity_id":2,/ } arrived('/south/guests')) ], [ sort @expected ],
	'W17, W2: none is lost, and repeats have the same id');

# Failover of a dispatcher to its standby, with undelivered messages and applications that go on

$guests->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($guests, 'base', has_streaming => 1);
$standby->start;
$guests->append_conf('postgresql.conf', q{synchronous_standby_names = '*'});
$guests->reload;
$guests->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'})
  or BAIL_OUT('the standby is not synchronous');

$receiver->behave('/north/guests', status => 503);
$apps->safe_psql('north', q{UPDATE north.guest SET visits = 1 WHERE id = 5});
$guests->poll_query_until('postgres', q{SELECT count(*) = 1 FROM webhook.undelivered WHERE attempts = 2})
  or BAIL_OUT('the message is not tried twice');
$guests->stop('immediate');
$apps->safe_psql('north', q{UPDATE north.guest SET visits = 2 WHERE id = 5});
$apps->safe_psql('south', q{INSERT INTO south.guest VALUES (900, 'g')});
$receiver->behave('/north/guests');
$standby->promote;

ok($receiver->wait_for(sub { grep { $_ eq guest(900, 'new', 0) } arrived('/south/guests') }),
	'W17: the promoted standby goes on where the subscription ended');
$standby->poll_query_until('postgres', q{SELECT count(*) = 2 FROM webhook.undelivered})
  or BAIL_OUT('the promoted server does not have what was not delivered');
$standby->safe_psql('postgres', q{SELECT webhook.update_webhook(id, '{}') FROM webhook.get_webhooks('north')});
ok( $receiver->wait_for(sub { grep { $_ eq guest(5, 'update', 2) } arrived('/north/guests') }),
	'W17: and sends undelivered messages');
is_deeply([ grep { /"entity_id":5,/ } arrived('/north/guests') ],
	[ guest(5, 'new', 0), guest(5, 'update', 1), guest(5, 'update', 2) ],
	'W17, W3: messages are in order, also across the failover');

$standby->stop('fast');
$occurrences->stop('fast');
$apps->stop('fast');
done_testing();
