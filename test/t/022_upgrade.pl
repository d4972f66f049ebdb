# ALTER EXTENSION webhook UPDATE: an upgraded extension is the same as a new one, and sends what was pending.
#
# Case C40; mission W2, R2; design.md, "A library newer or older than its SQL".

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Copy qw(copy);
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql becomes);

my $fixtures = dirname(dirname(abs_path(__FILE__))) . '/fixtures';
my $node = WebhookTest::start_node('upgrade', 'webhook.dispatch = off');
my $receiver = WebhookTest::Receiver->start;

# The script of the old release is there for this test only.

my $directory = sql(q{SELECT setting || '/extension' FROM pg_config WHERE name = 'SHAREDIR'});
plan skip_all => "$directory cannot be written to" if !-w $directory;
my @added;

sub add_script
{
	my ($name, $text) = @_;

	push @added, "$directory/$name";
	append_to_file("$directory/$name", $text);
	return;
}

END
{
	unlink @added;
}

my $version = sql(q{SELECT extversion FROM pg_extension WHERE extname = 'webhook'});
ok(!-e "$directory/webhook--0.1.0.sql", 'the script of an old release is not installed');
add_script('webhook--0.1.0.sql', slurp_file("$fixtures/webhook--0.1.0.sql"));

# The catalog: see catalog.sql.

sub catalog
{
	my ($database) = @_;

	return decode_json($node->safe_psql($database, slurp_file(dirname($fixtures) . '/catalog.sql')));
}

# Lines of the one that are not in the other.
sub only_in
{
	my ($one, $other) = @_;
	my %there = map { $_ => 1 } split(/\n/, $other // '');

	return grep { !$there{$_} } split(/\n/, $one // '');
}

# Expect two catalogs to be the same; else show what is different.
sub same_catalog
{
	my ($updated, $fresh, $name) = @_;
	my @differences;

	foreach my $object (sort keys %{ { %$updated, %$fresh } })
	{
		my ($is, $should) = ($updated->{$object}, $fresh->{$object});

		if (!defined $is || !defined $should)
		{
			push @differences, defined $is ? "$object: in the updated one alone" : "$object: missing in the updated one";
		}
		elsif ($is ne $should)
		{
			push @differences, "$object:", map({ "    updated: $_" } only_in($is, $should)), map({ "    fresh:   $_" } only_in($should, $is));
			push @differences, '    the same lines in another order' if $differences[-1] eq "$object:";
		}
	}
	is(scalar(@differences), 0, $name) or diag(join("\n", @differences));
	return;
}

sql('CREATE DATABASE fresh; CREATE DATABASE old');
$node->safe_psql('fresh', 'CREATE EXTENSION webhook');
sql('DROP EXTENSION webhook; DROP SCHEMA webhook; CREATE EXTENSION webhook VERSION \'0.1.0\'');

my $fresh = catalog('fresh');
cmp_ok(scalar(grep { /^column/ } keys %$fresh), '>', 100, 'the catalog has columns');
cmp_ok(scalar(grep { /^function/ } keys %$fresh), '>', 50, '... and functions');

# Something in every table

$node->psql(
	'postgres', slurp_file("$fixtures/data--0.1.0.sql"),
	on_error_die => 1, extra_params => [ '-v', 'receiver=' . $receiver->url('') ]);

# Sessions that have captured something before the update go on after it.
my $session = WebhookTest::session($node);
$session->query_safe(q{INSERT INTO event VALUES ('ball', 'balls'), ('gala', 'parties'), ('party', 'parties');
	INSERT INTO guest VALUES (100, 'gala', 'Ada'), (101, 'ball', 'Ada'), (102, 'party', 'Grace'); UPDATE guest SET name = 'Ada' WHERE id = 102;
	INSERT INTO payment VALUES (100); SELECT webhook.notify_payment('guest', '100')});
sql(q{SELECT webhook.emit('thing.done', jsonb_build_object('n', n), '8') FROM generate_series(6, 9) AS n});
sql(q{SELECT webhook.emit('thing.done', jsonb_build_object('n', n), (n % 5)::text) FROM generate_series(10, 20) AS n});

is( sql(q{SELECT string_agg(c.relname, ' ' ORDER BY c.relname) FROM pg_class c
		   WHERE relnamespace = 'webhook'::regnamespace AND relkind = 'r'
		     AND (xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM %s', c.oid::regclass), true, true, '')))[1]::text = '0'}),
	'outbox_1 outbox_2 outbox_3',
	'there is something in every table but those partitions of the outbox that are not in use');
my $pending = sql('SELECT string_agg(webhook_id || state || message_id, chr(10) ORDER BY webhook_id, message_id) FROM webhook.undelivered');

# The update

sql('ALTER EXTENSION webhook UPDATE');
is(sql(q{SELECT extversion FROM pg_extension WHERE extname = 'webhook'}), $version, 'the extension is updated');
same_catalog(catalog('postgres'), $fresh, 'C40: an updated extension is the same as a new one');
is(sql('SELECT string_agg(webhook_id || state || message_id, chr(10) ORDER BY webhook_id, message_id) FROM webhook.undelivered'),
	$pending, 'W2: what was pending still is');

# Everything arrives

$session->query_safe(q{INSERT INTO guest VALUES (103, 'ball', 'Ada'); SELECT webhook.emit('thing.done', '{"n": 21}', '8')});
$session->quit;
$node->append_conf('postgresql.conf', 'webhook.dispatch = on');
$node->reload;
WebhookTest::wait_until_delivered($node);

# Numbers, in the order of arrival, of the requests for which this is true.
sub numbers
{
	my ($path, $condition) = @_;

	return [ grep { !$condition || $condition->($_) } map { decode_json($_->{body})->{n} } $receiver->requests($path) ];
}

is_deeply([ sort { $a <=> $b } @{ numbers('/things') } ], [ 1, 2, 6 .. 21 ], 'R2, W2: every message arrives once');
is_deeply(numbers('/things', sub { $_[0] < 10 || $_[0] == 21 }), [ 1, 2, 6 .. 9, 21 ], 'W3: in order');
is_deeply([ sort map { decode_json($_->{body})->{Number} } $receiver->requests('/guests') ], [ 100, 102, 102 ],
	'I10: what the integration wants arrives in its shape');
is_deeply([ sort map { decode_json($_->{body})->{entity_id} } $receiver->requests('/ball') ], [ 100, 100, 101, 103 ],
	'what is restricted to events, columns and values arrives');
is($receiver->count('/buffering') + $receiver->count('/off') + $receiver->count('/withheld'), 0, 'nothing is sent that should not');
is(sql('SELECT webhook.activate_webhook(2, replay_events => true)'), 18, 'M8: the buffer is there');
WebhookTest::wait_until_delivered($node);
is_deeply(numbers('/buffering'), [ 4 .. 21 ], 'M8: and is replayed, oldest first');
is(sql(q{SELECT webhook.redeliver(1, '01a21fa5-4088-7868-98b9-000000000003')}), 't', 'what failed before can be redelivered');
WebhookTest::wait_until_delivered($node);
is(numbers('/things')->[-1], 3, 'and arrives');
cmp_ok(sql('SELECT count(*) FROM webhook.get_webhook_log(1)'), '>', 9, 'the log goes on');

done_testing();
