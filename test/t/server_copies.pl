# The home of an outbox: restored and copied databases send nothing until adopt() is called; upgraded and
# promoted ones go on.
#
# Mission: W2, W16, X1; R2.

use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest;

my $node = WebhookTest::start_node('home', 'max_worker_processes = 20');
my $receiver = WebhookTest::Receiver->start;
my $activity = q{SELECT activity FROM webhook.stat_workers WHERE database = current_database()};

# All requests for entities from this number on: "entity message-id", in the order of arrival.
sub arrived
{
	my ($from) = @_;

	return [
		grep { /^(\d+)/ && $1 >= $from }
		map { decode_json($_->{body})->{id} . ' ' . $_->{headers}{'webhook-id'} } $receiver->requests('/a') ];
}

sub emit
{
	my ($server, $database, @numbers) = @_;

	return map {
		my $entity = $_ < 10 ? 'early' : 'late';
		my $id = $server->safe_psql($database, qq{SELECT webhook.emit('e', '{"id":$_}', entity_id => '$entity')});
		"$_ $id"
	} @numbers;
}

sub is_foreign
{
	my ($server, $database, $name) = @_;

	ok($server->poll_query_until($database, $activity, 'foreign'), "W16: $name: the worker waits for a decision");
	return;
}

sub sends_nothing
{
	my ($server, $database, $before, $name) = @_;

	# The receiver has got no further request.
	is($receiver->count, $before, "W16: $name: nothing has been sent");
	return;
}

# The original: messages delivered, pending in the outbox, waiting in the delivery table.

WebhookTest::create_webhook(
	$node,
	app => "'a'",
	event => "'e'",
	format => "'rest'",
	url => "'" . $receiver->url('/a') . "'",
	retry_schedule => q{'{0 s, 1 day, 1 day}'});
emit($node, 'postgres', 1, 2);
WebhookTest::wait_until_delivered($node);

$receiver->behave('/a', status => 500);
my @retrying = emit($node, 'postgres', 3);
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM webhook.delivery WHERE state = 'retrying'})
  or BAIL_OUT('the failure is not recorded');
$receiver->behave('/a');
$node->append_conf('postgresql.conf', 'webhook.dispatch = off');
$node->reload;
$node->poll_query_until('postgres', $activity, 'paused') or BAIL_OUT('the worker does not pause');
my @pending = emit($node, 'postgres', 10 .. 14);
my $next_id = $node->safe_psql('postgres', 'SELECT last_value FROM webhook.outbox_id_seq');
my $presets = q{SELECT string_agg(preset, ' ' ORDER BY preset) FILTER (WHERE NOT shipped), count(*) FROM webhook.preset};
my $desk = $receiver->url('/<team>');
$node->safe_psql('postgres', qq{
	CREATE TABLE ticket (id integer PRIMARY KEY, name text);
	INSERT INTO ticket VALUES (1, 'Ada');
	SELECT webhook.watch('ticket', 'ticket');
	INSERT INTO webhook.preset (preset, title, documentation, parameters, example, url, properties, deletions) VALUES ('desk', 'Desk', 'https://example.com/docs',
		'{"team": {"type": "string"}, "token": {"type": "string"}}', '{"team": "sales", "token": "1234"}', '$desk',
		'{"format": "rest", "headers": {"Authorization": "Bearer <token>"}, "template": {"title": "{{name}}"}}', false);
});
my $known = $node->safe_psql('postgres', $presets);
my $dump = $node->basedir . '/dump';
command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('postgres') ], 'the database is dumped');

WebhookTest::fails_with($node, q{SELECT webhook.adopt('send')}, '55000', 'was not restored or copied', 'W16: adopt() is refused where there is nothing to adopt');
WebhookTest::fails_with($node, q{SELECT webhook.adopt('keep')}, '22023', 'pending', 'W16: adopt() accepts two answers only');
WebhookTest::fails_with($node, q{SELECT webhook.adopt(NULL)}, '22023', 'pending', 'W16: NULL is refused');
$node->safe_psql('postgres', 'CREATE ROLE stranger');
WebhookTest::fails_with($node, q{SET ROLE stranger; SELECT webhook.adopt('send')}, '42501', 'permission denied',
	'W14: adopt() is not granted to PUBLIC');

# A dump restored on another server, as the new home

my $other = WebhookTest::new_node('other', 'max_worker_processes = 20');
$other->start;
my $before = $receiver->count;
foreach my $jobs (1, 4)
{
	my $database = "restored$jobs";

	$other->safe_psql('postgres', "CREATE DATABASE $database");
	command_ok([ 'pg_restore', '-j', $jobs, '-d', $other->connstr($database), $dump ], "restored with $jobs jobs");
	is_foreign($other, $database, "restored with $jobs jobs");
	is($other->safe_psql($database, 'SELECT webhook.pending()'), 6, 'W12: messages of the dump are pending');
	is($other->safe_psql($database, $presets), $known, 'I19: presets of one\'s own are part of the dump, and the others there once');
}
sends_nothing($other, 'restored1', $before, 'restored');
$other->wait_for_log(qr/WARNING: .*webhook is not sending from database "restored1"/);
like(slurp_file($other->logfile), qr/HINT: .*webhook\.adopt\('send'\)/, 'W16: the log says what to do');

my @local = emit($other, 'restored1', 20, 21);
sends_nothing($other, 'restored1', $before, 'restored and written to');
is($other->safe_psql('restored1', q{SELECT webhook.adopt('send')}), 6, 'W2: adopt() returns how many will be sent');
ok( $receiver->wait_for(sub { @{ arrived(10) } >= 7 }), 'W2: they are sent');
is_deeply([ sort @{ arrived(10) } ], [ sort @pending, @local ],
	'R2, W2: what was pending in the dump and what was written since are sent, with their ids');
is_deeply(arrived(10), [ @pending, @local ], 'W3: in order');
cmp_ok($other->safe_psql('restored1', 'SELECT last_value FROM webhook.outbox_id_seq'), '>=', $next_id + 2,
	'W3: message ids go on from where the dump ended');
emit($other, 'restored1', 22);
ok($receiver->wait_for(sub { grep { /^22 / } @{ arrived(20) } }), 'W2: the new home works');
like(($other->psql('restored1', q{SELECT webhook.adopt('send')}))[2], qr/was not restored or copied/, 'W16: there is nothing more to adopt');

# A preset that was restored makes a webhook, which is tested with a row that was restored.

my $ticket = $other->safe_psql('restored1', q{SELECT webhook.create_webhook_from_preset('desk', 'tickets', 'ticket.create', (
	SELECT parameters #> '{examples,0}' FROM webhook.get_presets() WHERE preset = 'desk'))});
$other->safe_psql('restored1', "SELECT webhook.test_webhook($ticket)");
ok($receiver->wait_for_count(1, '/sales'), 'I19: a preset that was restored makes webhooks, E6: whose test sends a row that was restored');
my ($sold) = $receiver->requests('/sales');
is("$sold->{headers}{authorization} $sold->{body}", 'Bearer 1234 {"title":"Ada"}', 'I19: as the preset says');
like(($other->psql('restored1', q{SELECT webhook.create_webhook_from_preset('desk', 'tickets', 'ticket.*', '{"team": "sales", "token": "1234"}')}))[2],
	qr/Preset "desk" is not for deletions/, 'I19: all of it');

# ... as a copy

@local = emit($other, 'restored4', 30);
$before = $receiver->count;
is($other->safe_psql('restored4', q{SELECT webhook.adopt('discard')}), 6, 'W16: discard returns how many it drops');
ok($other->poll_query_until('restored4', $activity, 'idle'), 'W16: the worker of the copy works');
is( $other->safe_psql('restored4',
		q{SELECT active, deactivation_reason, webhook.pending(), (SELECT count(*) FROM webhook.delivery) FROM webhook.get_webhooks()}),
	'f|copy|0|0',
	'W16: the webhooks of a copy are deactivated, nothing is pending');
is($receiver->count, $before, 'W16: and nothing was sent');

# ... in a database with another encoding: several messages in one row

$node->safe_psql('postgres', q{CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0});
$node->safe_psql('latin',
	q{CREATE EXTENSION webhook; SELECT webhook.create_webhook('a', 'e', '} . $receiver->url('/latin') . q{', format => 'rest');});
$node->safe_psql('latin', q{SELECT webhook.emit('e', to_jsonb('gr' || chr(252) || i)) FROM generate_series(1, 3) AS i});
is($node->safe_psql('latin', 'SELECT count(*) FROM webhook.outbox_0'), 1, 'they are stored in one row');
foreach my $kind (qw(changed row))
{
	my $url = $receiver->url("/$kind");

	$node->safe_psql('latin', "CREATE TABLE $kind (id integer PRIMARY KEY, name text, long text);
		SELECT webhook.watch('$kind', 'its_$kind'), webhook.create_webhook('a', 'its_$kind.*', '$url', previous => '$kind');
		INSERT INTO $kind VALUES (1, 'M' || chr(252) || 'ller', repeat(chr(228), 5000));
		UPDATE $kind SET name = 'Huber';
		UPDATE $kind SET long = NULL;
		DELETE FROM $kind");
}
command_ok([ 'pg_dump', '-Fc', '-f', "$dump.latin", $node->connstr('latin') ], 'a database in LATIN1 is dumped');
$other->safe_psql('postgres', q{CREATE DATABASE utf8 ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0});
command_ok([ 'pg_restore', '-d', $other->connstr('utf8'), "$dump.latin" ], 'restored in UTF8');
is_foreign($other, 'utf8', 'restored in another encoding');
is($other->safe_psql('utf8', q{SELECT webhook.adopt('send')}), 11, 'W2: messages from another encoding can be sent');
ok($receiver->wait_for(sub { my @requests = $receiver->requests('/latin'); @requests >= 3 }), 'W2: and arrives');
is_deeply([ map { $_->{body} } $receiver->requests('/latin') ],
	[ map { qq{"gr\xc3\xbc$_"} } 1 .. 3 ], 'W2: all of them are sent in UTF-8');

my $row = sub { my ($name, $long) = @_; return qq({"id":1,"name":"$name","long":$long}) };
my $long = '"' . "\xc3\xa4" x 5000 . '"';
my %former = (
	changed => [ '-', qq({"name":"M\xc3\xbcller"}), qq({"long":$long}), '-' ],
	row => [ '-', $row->("M\xc3\xbcller", $long), $row->('Huber', $long), $row->('Huber', 'null') ]);
foreach my $kind (qw(changed row))
{
	ok($receiver->wait_for(sub { my @requests = $receiver->requests("/$kind"); @requests >= 4 }), "X1, R2: those with $kind arrive");
	is_deeply([ map { $_->{body} =~ /"previous":(.*)\}$/ ? $1 : '-' } $receiver->requests("/$kind") ],
		$former{$kind}, "X1, R2: former values ($kind) are part of the dump");
}

$other->stop;

# Copies made with CREATE DATABASE ... TEMPLATE, on the same server

sub count_ids
{
	my ($database) = @_;
	return $node->safe_psql($database, 'SELECT count(message_id), count(DISTINCT message_id) FROM webhook.outbox');
}

$node->safe_psql('postgres', 'CREATE DATABASE template');
$node->safe_psql('template', 'CREATE EXTENSION webhook');
$node->safe_psql('postgres', 'CREATE DATABASE fresh TEMPLATE template');
ok($node->poll_query_until('fresh', $activity, 'paused'),
	'W16: a copy without webhooks does not wait for adopt()');
$node->safe_psql('postgres', "CREATE DATABASE $_ TEMPLATE postgres") foreach qw(moved staging);
is_foreign($node, $_, "copied to $_") foreach qw(moved staging);
$before = $receiver->count;
my @in_moved = emit($node, 'moved', 40, 41);
my @in_staging = emit($node, 'staging', 50);
is(scalar(grep { my $id = (split / /)[1]; "@in_staging" =~ /$id/ } @in_moved), 0, 'W2: copies have message ids of their own');
is($node->safe_psql('moved', q{SELECT webhook.adopt('send')}), 8, 'W2: what is pending in a copy can be sent');
is($node->safe_psql('staging', q{SELECT webhook.adopt('discard')}), 7, 'W16: or dropped');
is($receiver->count, $before, 'W16: nothing has been sent before dispatch is enabled');

# The original is not affected by any of this: it sends its messages.

my %first = map { $_ => 1 } @{ arrived(10) };
$node->append_conf('postgresql.conf', 'webhook.dispatch = on');
$node->reload;
ok($receiver->wait_for(sub { @{ arrived(10) } >= keys(%first) + 12 }), 'W2: the original and the adopted copy send');
my %times;
$times{$_}++ foreach @{ arrived(10) };
is_deeply([ map { $times{$_} } @pending ], [ (3) x @pending ], 'W2: pending messages are sent by each of them, with the same ids');
is_deeply([ map { $times{$_} } @in_moved ], [ (1) x @in_moved ], 'W2: new messages of the copy are sent once');
is_deeply([ grep { /^50 / } @{ arrived(10) } ], [], 'W16: the discarded copy sends nothing');

# DROP EXTENSION, CREATE EXTENSION

$node->safe_psql('staging', 'DROP EXTENSION webhook CASCADE; CREATE EXTENSION webhook');
ok($node->poll_query_until('staging', $activity, 'idle'), 'W16: an extension that is created again need not be adopted');
$node->safe_psql('staging',
	q{SELECT webhook.create_webhook('a', 'e', '} . $receiver->url('/a') . q{', format => 'rest')});
emit($node, 'staging', 60);
ok($receiver->wait_for(sub { grep { /^60 / } @{ arrived(60) } }), 'W16: and sends messages');
$node->safe_psql('staging', 'BEGIN; DROP EXTENSION webhook CASCADE; CREATE EXTENSION webhook; COMMIT');
$node->safe_psql('staging',
	q{SELECT webhook.create_webhook('a', 'e', '} . $receiver->url('/a') . q{', format => 'rest')});
emit($node, 'staging', 61);
ok($receiver->wait_for(sub { grep { /^61 / } @{ arrived(60) } }), 'W16: also when both happen in one transaction');

# Promotion of a standby

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->append_conf('postgresql.conf', 'webhook.dispatch = off');
$node->reload;
$node->poll_query_until('postgres', $activity, 'paused') or BAIL_OUT('the worker does not pause');
@pending = emit($node, 'postgres', 70 .. 74);
$node->wait_for_catchup($standby);
is_deeply(arrived(70), [], 'W16: a standby sends nothing');
$node->stop('immediate');
$standby->promote;
ok($receiver->wait_for(sub { @{ arrived(70) } >= 5 }), 'R2, W2: after its promotion it sends what is pending');
push @pending, emit($standby, 'postgres', 75);
ok($receiver->wait_for(sub { @{ arrived(70) } >= 6 }), 'R2, W2: and what is new');
is_deeply(arrived(70), \@pending, 'R2, W2, W3: with the same ids, in order, once');
$standby->stop;
done_testing();
