# The main job: a row changes, the transaction commits, a receiver gets a request.
#
# Mission: M1 M2 M4 M6, E1 E2 E3 E7, I4 I5 I6, W1.

use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql becomes);

my $node = WebhookTest::start_node('main');
my $receiver = WebhookTest::Receiver->start;

# What arrived at a path since the last call, once everything has been delivered.
sub arrived
{
	my ($path) = @_;

	WebhookTest::wait_until_delivered($node);
	return $receiver->new_requests($path);
}

sub arrived_bodies
{
	return [ map { $_->{body} } arrived(@_) ];
}

# The entities that arrived; messages of different ones may overtake each other.
sub arrived_ids
{
	return [ sort { $a <=> $b } map { decode_json($_->{body})->{entity_id} } arrived(@_) ];
}

# Two unmodified tables of an application.

sql(q{
	CREATE TABLE event (id integer PRIMARY KEY, uid text NOT NULL UNIQUE, title text, starts date);
	CREATE TABLE guest (id integer PRIMARY KEY, event_id integer NOT NULL REFERENCES event,
						name text, email text, paid boolean);
	SELECT webhook.watch('event', 'event', event_uid => 'uid');
	SELECT webhook.watch('guest', 'guest',
						 event_uid => '(SELECT e.uid FROM event e WHERE e.id = event_id)');
});

# M1, M2: creating and finding webhooks

my $url = $receiver->url('/main');
my $id = sql("SELECT webhook.create_webhook('crm', 'event.*,guest.*', '$url')");

like($id, qr/^\d+$/, 'M1: create_webhook returns an id');
is( sql('SELECT id, app, event, url, method, active FROM webhook.get_webhooks()'),
	"$id|crm|event.*,guest.*|$url|POST|t",
	'M1, M2: the webhook exists, is active and has its properties');
is(sql("SELECT count(*) FROM webhook.get_webhooks(app => 'crm')"), 1, 'M2: found by app');
is(sql("SELECT count(*) FROM webhook.get_webhooks('other')"), 0, 'M2: not found by another app');
is(sql("SELECT count(*) FROM webhook.get_webhooks(event => 'event.*,guest.*')"),
	1, 'M2: found by event');
is(sql("SELECT count(*) FROM webhook.get_webhooks(event => 'user.create')"),
	0, 'M2: not found by another event');

# M6, E1 - E3: what is sent

sql(q{INSERT INTO event VALUES (7, 'EV-7', 'Café "Zürich"', '2026-03-01')});
my @requests = arrived('/main');
is(scalar(@requests), 1, 'one row, one request');
is( $requests[0]{body},
	'{"entity_id":7,"entity_type":"event","action_type":"new","result":'
	  . '{"id":7,"uid":"EV-7","title":"Café \"Zürich\"","starts":"2026-03-01"}}',
	'E1, E2, E3: new');
is($requests[0]{method}, 'POST', 'M6: POST');
is($requests[0]{headers}{'content-type'}, 'application/json', 'M6: Content-Type with nothing appended');
like($requests[0]{headers}{'webhook-id'}, qr/\S/, 'W2: the message has an id');

sql(q{INSERT INTO guest VALUES (1, 7, 'Ada', NULL, false)});
is_deeply(
	arrived_bodies('/main'),
	[   '{"entity_id":1,"entity_type":"guest","action_type":"new","result":'
		  . '{"id":1,"event_id":7,"name":"Ada","email":null,"paid":false}}'
	],
	'E3: NULLs are kept');

sql(q{UPDATE guest SET paid = true WHERE id = 1});
is_deeply(
	arrived_bodies('/main'),
	[   '{"entity_id":1,"entity_type":"guest","action_type":"update","result":'
		  . '{"id":1,"event_id":7,"name":"Ada","email":null,"paid":true}}'
	],
	'E2: update');

sql(q{UPDATE guest SET paid = true WHERE id = 1});
is_deeply(arrived_bodies('/main'), [], 'W8: an update that changes nothing sends nothing');

sql(q{DELETE FROM guest WHERE id = 1});
is_deeply(
	arrived_bodies('/main'),
	['{"entity_id":1,"entity_type":"guest","action_type":"delete"}'],
	'E2, E3: delete has no result');

# W1: commit and rollback

sql(q{BEGIN; INSERT INTO guest VALUES (2, 7, 'Bob'); ROLLBACK;});
sql(q{
	BEGIN;
	INSERT INTO guest VALUES (3, 7, 'kept');
	SAVEPOINT s;
	INSERT INTO guest VALUES (4, 7, 'rolled back');
	ROLLBACK TO s;
	SAVEPOINT s;
	INSERT INTO guest VALUES (5, 7, 'kept as well');
	RELEASE s;
	COMMIT;
});
$node->psql('postgres', q{INSERT INTO guest VALUES (6, 7, 'no event'), (7, 8, 'no such event')});
is_deeply(arrived_ids('/main'), [ 3, 5 ], 'W1: only what was committed is sent');

sql(q{BEGIN; INSERT INTO guest VALUES (8, 7, 'prepared'); PREPARE TRANSACTION 'p';});
is_deeply(arrived_bodies('/main'), [], 'W1: nothing is sent of a prepared transaction');
sql(q{COMMIT PREPARED 'p'});
is_deeply(arrived_ids('/main'), [8], 'W1: it is sent when committed');

# E7: the log

is( sql("SELECT count(*), bool_and(outcome = 'delivered'), bool_and(status = 200) FROM webhook.get_webhook_log($id)"),
	'7|t|t', 'E7: every request is in the log as soon as nothing is pending');
is(sql("SELECT delivered, attempts FROM webhook.stat_webhooks WHERE webhook_id = $id"),
	'7|7', 'W12: and is counted');
becomes("SELECT delivered, failed FROM webhook.stat_workers WHERE database = 'postgres'",
	'7|0', 'W12: also by database');
sql(q{
	INSERT INTO guest VALUES (100, 7);
	DO $$ BEGIN FOR i IN 1..30 LOOP UPDATE guest SET name = i WHERE id = 100; END LOOP; END $$;
});
is_deeply([ map { decode_json($_->{body})->{result}{name} } arrived('/main') ],
	[ undef, 1 .. 30 ], 'W3: the changes of one guest, in order');
is( sql("SELECT string_agg(request_body::json #>> '{result,name}', ' ') FROM webhook.get_webhook_log($id)"),
	join(' ', reverse 21 .. 30),
	'E7: the last ten requests are kept, no more, newest first');
like(
	sql("SELECT method, url, attempt, response_body, error IS NULL OR error = '' FROM webhook.get_webhook_log($id) LIMIT 1"),
	qr{^POST\|\Q$url\E\|1\|ok\|t$},
	'E7: a request and its response');

# I4: methods and placeholders

foreach my $method (qw(PUT PATCH DELETE))
{
	WebhookTest::create_webhook($node,
		app => "'methods'", event => "'guest.create'", method => "'$method'",
		url => "'" . $receiver->url("/$method/{event_uid}/{entity_id}/{action}") . "'");
}
WebhookTest::create_webhook($node,
	app => "'methods'", event => "'guest.create'", method => "'GET'",
	url => "'" . $receiver->url('/get?fixed=1') . "'");

sql(q{
	INSERT INTO event VALUES (9, 'a/../b c@ü', 'odd');
	INSERT INTO guest VALUES (200, 9, 'Eve');
});
foreach my $method (qw(PUT PATCH DELETE))
{
	my @got = arrived("/$method/a%2F..%2Fb%20c%40%C3%BC/200/new");
	is(scalar(@got), 1, "I4: $method with placeholders, percent-encoded");
	is($got[0]{method}, $method, "I4: $method");
	like($got[0]{body}, qr/^\{"entity_id":200,/, "I4: $method has the body");
}

my ($get) = arrived('/get');
is($get->{method}, 'GET', 'I4: GET');
is($get->{body}, '', 'I4: GET has no body');
is($get->{query}, 'fixed=1&entity_id=200&entity_type=guest&action_type=new',
	'I4: scalars are sent in the query string');
sql("SELECT webhook.delete_webhook_by_id(id) FROM webhook.get_webhooks('methods')");

# I5: headers, which the log does not show

my $secretive = WebhookTest::create_webhook($node,
	app => "'headers'", event => "'guest.create'", url => "'" . $receiver->url('/headers') . "'",
	headers => q{'{"Authorization": "Bearer s3cr3t", "X-Team": "blue"}'});
sql(q{INSERT INTO guest VALUES (300, 7, 'Hal')});
my ($with_headers) = arrived('/headers');
is($with_headers->{headers}{authorization}, 'Bearer s3cr3t', 'I5: the header is sent');
is($with_headers->{headers}{'x-team'}, 'blue', 'I5: so is the other one');
becomes("SELECT request_headers ~ 'Authorization: [*]{3}' FROM webhook.get_webhook_log($secretive)",
	't', 'I5: the log hides its value');
unlike(sql("SELECT * FROM webhook.get_webhook_log($secretive)"), qr/s3cr3t/, 'I5: and shows nothing of it');
unlike(sql("SELECT * FROM webhook.get_webhooks('headers')"), qr/s3cr3t/, 'I5: get_webhooks() too');
sql(qq{SELECT webhook.update_webhook($secretive,
	'{"headers": {"content-type": "application/vnd.guest+json", "User-Agent": "our own"}}')});
sql(q{INSERT INTO guest VALUES (301, 7, 'Ida')});
my ($with_own) = arrived('/headers');
is($with_own->{headers}{'content-type'}, 'application/vnd.guest+json', 'I5: a default header that is specified is sent once, as given');
is($with_own->{headers}{'user-agent'}, 'our own', 'I5: so is the other one that is specified');

# I6: only certain events

WebhookTest::create_webhook($node,
	app => "'uids'", event => "'guest.create,event.update'", url => "'" . $receiver->url('/uids') . "'",
	event_uids => q{'EV-8 , EV-9'});
sql(q{
	INSERT INTO event VALUES (18, 'EV-8', 'eight'), (19, 'EV-9', 'nine');
	INSERT INTO guest VALUES (401, 7), (402, 18), (403, 19);
	UPDATE event SET title = title || '!' WHERE id IN (7, 18);
});
is_deeply(arrived_ids('/uids'), [ 18, 402, 403 ], 'I6: only what belongs to the chosen events is sent');

# M4: nothing is sent after the deletion

arrived('/main');
sql(q{BEGIN; INSERT INTO guest VALUES (500, 7, 'captured before'); PREPARE TRANSACTION 'late';});
is(sql("SELECT webhook.delete_webhook_by_id($id)"), 't', 'M4: deleted');
sql(q{COMMIT PREPARED 'late'; INSERT INTO guest VALUES (501, 7, 'captured after');});
is_deeply(arrived_bodies('/main'), [], 'M4: nothing is sent once it is deleted');
is(sql("SELECT count(*) FROM webhook.get_webhooks('crm')"), 0, 'M4: the webhook is gone');
becomes("SELECT count(*) FROM webhook.get_webhook_log($secretive)", 7, 'M4: the logs of others are kept');

$receiver->behave('/down', status => 503);
my $down = WebhookTest::create_webhook($node,
	app => "'down'", event => "'guest.create'", url => "'" . $receiver->url('/down') . "'");
sql(q{INSERT INTO guest VALUES (502, 7, 'waits for a retry')});
ok( $node->poll_query_until('postgres',
		"SELECT count(*) = 1 AND min(attempts) >= 1 FROM webhook.undelivered WHERE webhook_id = $down"),
	'W2: a failed delivery waits');
sql("SELECT webhook.delete_webhook_by_id($down)");
is(sql("SELECT count(*) FROM webhook.undelivered WHERE webhook_id = $down"),
	0, 'M4: what was waiting goes with the webhook');
is(sql('SELECT webhook.pending()'), 0, 'M4: nothing is pending any more');

$node->stop;
$receiver->stop;
done_testing();
