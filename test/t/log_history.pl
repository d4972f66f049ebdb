# The history: who may see which messages and columns, what dumps contain of it, and that a search by time or message id
# reads a part of it.
#
# Mission: X4.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql becomes);

use constant ROWS => 3000;

my $node = WebhookTest::start_node('history', 'webhook.history_retention = 1d', 'webhook.partition_size = 64kB', 'log_statement = none');
my $receiver = WebhookTest::Receiver->start;
my $as_seller = 'SET SESSION AUTHORIZATION seller;';
my $seen = 'SELECT count(*), count(payload), count(payload ->> $$note$$) FROM webhook.message_history';
my $moved = join(' + ', map { "(SELECT count(*) FROM webhook.history_$_)" } 0 .. 7);

sub fill
{
	sql(sprintf q{INSERT INTO guest SELECT (SELECT coalesce(max(id), 0) FROM guest) + i, 0, 'secret' FROM generate_series(1, %d) AS i}, ROWS)
	  foreach 1 .. 2;
	WebhookTest::wait_until_delivered($node);
	return;
}

sql(q{
	CREATE ROLE seller; CREATE ROLE other;
	CREATE TABLE guest (id integer PRIMARY KEY, n integer, note text);
	CREATE TABLE gone (id integer PRIMARY KEY, note text);
	GRANT SELECT ON guest, gone TO seller;
	GRANT USAGE ON SCHEMA webhook TO seller, other;
	GRANT EXECUTE ON FUNCTION webhook.create_webhook, webhook.run_followers, webhook.history_payload TO seller, other;
	GRANT SELECT ON webhook.message_history TO seller, other;
	SELECT webhook.watch('guest', 'guest'), webhook.watch('gone', 'gone');
});
my $url = $receiver->url('/history');
sql("SET SESSION AUTHORIZATION $_->[0]; SELECT webhook.create_webhook('app', '$_->[1]', '$url')") foreach [ 'seller', 'guest.*,gone.*' ], [ 'other', 'thing.*' ];
$receiver->webhook('/own', event => "'own.*'");
fill() foreach 1 .. 3;
becomes("SELECT $moved > 0 AND (SELECT count(*) FROM webhook.outbox) < 1000", 't', 'X4: messages are moved to the history');

# These are probably still in the outbox afterwards, which makes no difference.
sql(q{SELECT webhook.emit('thing.done', '{"note": "of other"}'), webhook.emit('own.done', '{"note": "of nobody else"}')});
sql(q{INSERT INTO gone VALUES (1, 'x')});
WebhookTest::wait_until_delivered($node);
note(sql("SELECT (SELECT count(*) FROM webhook.captured) - ($moved)") . ' messages are in the outbox alone');

# ---------- who sees what ----------

my $guests = 6 * ROWS;

is(sql($seen), join('|', ($guests + 3) x 3), 'X4: the owner of the extension sees all messages');
is(sql($as_seller, $seen), join('|', ($guests + 1) x 3), 'X4: another role those that were for its webhooks');
is(sql('SET SESSION AUTHORIZATION other;', 'SELECT event, payload FROM webhook.message_history'), 'thing.done|{"note":"of other"}', 'X4: and no others');
sql('REVOKE SELECT ON guest FROM seller; GRANT SELECT (id, n) ON guest TO seller');
is(sql($as_seller, "$seen WHERE event LIKE 'guest.%'"), "$guests|$guests|0", 'X4: a column that it may not read any more is left out');
is(sql($as_seller, "SELECT payload FROM webhook.message_history WHERE event LIKE 'guest.%' AND entity_id = '1'"), '{ "id" : 1, "n" : 0 }', 'X4: and no other column');
is(sql($as_seller, "SELECT count(*) FROM webhook.message_history WHERE payload ->> 'note' = 'secret'"), 0, 'X4: nor can it be searched for');
sql(q{CREATE FUNCTION spy(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN RAISE WARNING 'spied: %', $1; RETURN true; END $$});
my (undef, undef, $warnings) = $node->psql('postgres', "$as_seller SELECT count(*) FROM webhook.message_history WHERE spy(event)");
unlike($warnings, qr/spied: (?:thing|own)/, 'X4: a function in a condition is not called for the messages of others');
like($warnings, qr/spied: guest/, 'but for its own');
sql('REVOKE SELECT (id, n) ON guest FROM seller');
is(sql($as_seller, "$seen WHERE event LIKE 'guest.%'"), "$guests|0|0", 'X4: of a table that it may not read any more it sees no rows');
sql(q{SELECT webhook.unwatch('guest')});
is(sql($as_seller, "$seen WHERE event LIKE 'guest.%'"), "$guests|0|0", 'X4: also when that is not watched any more');
sql('GRANT SELECT ON guest TO seller');
is(sql($as_seller, "$seen WHERE event LIKE 'guest.%'"), join('|', ($guests) x 3), 'X4: a privilege that is granted again counts');
sql('DROP TABLE gone');
is(sql($as_seller, "$seen WHERE event = 'gone.create'"), '1|1|1', 'X4: of a dropped table it sees what it was sent');

# ---------- searches ----------

sql(q{CREATE FUNCTION pages_read(condition text) RETURNS bigint LANGUAGE plpgsql SET enable_seqscan = off AS $$
	DECLARE
		plan json;
	BEGIN
		EXECUTE 'EXPLAIN (ANALYZE, FORMAT JSON) SELECT FROM webhook.message_history WHERE ' || condition INTO plan;
		IF plan::text ~ 'Seq Scan"[^{}]*"history_[0-7]"' THEN
			RETURN NULL;
		END IF;
		RETURN (SELECT sum(m[1]::bigint) FROM regexp_matches(plan::text, '(?:Lossy|Exact) Heap Blocks": ([0-9]+)', 'g') AS m);
	END $$});
my $all_pages = join(' + ', map { "pg_relation_size('webhook.history_$_') / 8192" } 0 .. 7);

cmp_ok(sql("SELECT $all_pages"), '>', 300, 'the history is not small');
becomes(q{SELECT pages_read('created_at < now() - interval $$1 day$$')}, 0, 'X4: a search by time reads the pages that can have it, for which the worker brings the index up to date');
my ($message) = split(/\|/, sql(q{SELECT message_id FROM webhook.history_rows ORDER BY id LIMIT 1}));

is(sql("SELECT count(*) FROM webhook.message_history WHERE message_id = '$message'"), 1, 'X4: a message is found by its id');
is(sql("SELECT pages_read('message_id = \$\$$message\$\$') <= 150"), 't', 'X4: and a part of the pages is read for it');

# ---------- dumps ----------

foreach my $dump ([ 'with', '' ], [ 'without', '--exclude-table-data=webhook.history_*' ])
{
	my ($name, @options) = grep { $_ ne '' } @$dump;
	my $file = $node->basedir . "/$name";

	command_ok([ 'pg_dump', '-f', $file, @options, $node->connstr('postgres') ], "a dump $name the history");
	sql("CREATE DATABASE dumped_$name");
	command_ok([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', $file, $node->connstr("dumped_$name") ], 'is restored');
}
is($node->safe_psql('dumped_with', "SELECT $moved"), sql("SELECT $moved"), 'X4: a dump contains the history');
$node->safe_psql('dumped_with', q{SELECT webhook.adopt('discard')});
is($node->safe_psql('dumped_with', q{SELECT count(*) FROM webhook.message_history WHERE event = 'guest.create' AND entity_id = '1'}), 1,
	'X4: which can be searched there');
is($node->safe_psql('dumped_without', "SELECT $moved"), 0, 'X4: it can be left out');

$node->stop;
done_testing();
