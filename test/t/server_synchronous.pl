# Synchronous replication: nothing is sent that the synchronous standbys do not have.
#
# A commit that waits for a standby becomes visible when its backend gives up waiting: at a fast shutdown, when it is
# terminated, when its statement is canceled.  WEBHOOK_STANDBY_ROUNDS is how many times the server is shut down under waiting commits.
#
# Mission: W1; cases: C39, C4.

use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql becomes);

use constant SESSIONS => 10;
my $rounds = $ENV{WEBHOOK_STANDBY_ROUNDS} || 1;
my $receiver = WebhookTest::Receiver->start;
my $activity = q{SELECT activity FROM webhook.stat_workers WHERE database = current_database()};
my $waiting = q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'};

sub arrived
{
	my ($path) = @_;

	return [ sort { $a <=> $b } map { decode_json($_->{body})->{id} } $receiver->requests($path) ];
}

# A primary and its synchronous standby, with a webhook.
sub start_pair
{
	my ($name) = @_;
	my $primary = WebhookTest::start_node("primary$name", 'max_connections = 50');
	my $standby = PostgreSQL::Test::Cluster->new("standby$name");

	$primary->backup('base');
	$standby->init_from_backup($primary, 'base', has_streaming => 1);
	$standby->start;
	$primary->append_conf('postgresql.conf', "synchronous_standby_names = '*'");
	$primary->reload;
	sql(q{CREATE TABLE guest (id integer PRIMARY KEY); SELECT webhook.watch('guest', 'guest')});
	WebhookTest::create_webhook($primary, app => "'a'", event => "'guest.create'", format => "'rest'",
		url => "'" . $receiver->url("/$name") . "'");
	return ($primary, $standby);
}

# Sessions that insert a guest each and wait for a standby that is gone.
sub insert_in_vain
{
	my ($primary, @ids) = @_;
	my @sessions = map { WebhookTest::session($primary) } @ids;

	foreach my $i (0 .. $#ids)
	{
		$sessions[$i]->query_until(qr/begun/, "\\echo begun\nINSERT INTO guest VALUES ($ids[$i]);\n");
	}
	becomes($waiting, scalar(@ids), 'the commits wait');
	return @sessions;
}

my ($primary, $standby) = start_pair('cut');

sql('INSERT INTO guest VALUES (1)');
ok($receiver->wait_for_count(1, '/cut'), 'C39: a server with its standby sends messages');

# The standby is cut off; a statement is canceled, another session terminated, a third does not wait for standbys

$standby->stop;
my @sessions = insert_in_vain($primary, 2, 3);
is($receiver->count('/cut'), 1, 'C39: waiting commits are not visible');
sql(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query ~ '^INSERT INTO guest VALUES .2.' AND wait_event = 'SyncRep'});
sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ '^INSERT INTO guest VALUES .3.' AND wait_event = 'SyncRep'});
sql('SET synchronous_commit = local; INSERT INTO guest VALUES (4)');
becomes('SELECT count(*) FROM guest', 4, 'C39: commits that the standby does not have become visible');
becomes($activity, 'unconfirmed', 'C39: the worker waits for the standby');
is($receiver->count('/cut'), 1, 'C39: and sends nothing');

# Another worker sends nothing either

sql('SELECT pg_terminate_backend(pid) FROM webhook.stat_workers');
becomes($activity, 'unconfirmed', 'C39: the next worker waits, too');
is($receiver->count('/cut'), 1, 'C39: and sends nothing');
$standby->start;
ok($receiver->wait_for_count(4, '/cut'), 'C39: they are sent as soon as the standby has them');
is_deeply(arrived('/cut'), [ 1 .. 4 ], 'C39: all of them, once');
becomes($activity, 'idle', 'C39: the worker goes on');

# Nothing is sent while no synchronous standby is connected

$standby->stop;
sql('SET synchronous_commit = off; INSERT INTO guest VALUES (5)');
becomes($activity, 'unconfirmed', 'C39: a commit that does not wait is not sent without the standby');
$primary->append_conf('postgresql.conf', "synchronous_standby_names = ''");
$primary->reload;
ok($receiver->wait_for_count(5, '/cut'), 'C39: it is when no standby is synchronous any more');
eval { $_->quit } foreach @sessions;

# The table of positions is truncated when it has grown, but later if a standby may have readers that are not visible here

my $file = q{SELECT pg_relation_filenode('webhook.cursor')};
$standby->start;
becomes('SELECT count(*) FROM pg_stat_replication', 1, 'C4: the standby is back');
sql(q{ALTER TABLE webhook.cursor DISABLE TRIGGER restored});
sql(q{INSERT INTO webhook.cursor SELECT k.* FROM webhook.cursor AS k, generate_series(1, 1500)
	WHERE k.seq = (SELECT max(seq) FROM webhook.cursor)});
sql(q{ALTER TABLE webhook.cursor ENABLE ALWAYS TRIGGER restored});
my $pid = WebhookTest::worker_pid();
sql("SELECT pg_terminate_backend($pid)");
becomes("SELECT pid <> $pid AND state = 'served' FROM webhook.stat_workers WHERE pid IS NOT NULL", 't', 'C4: another worker has counted the rows');
my $before = sql($file);
my $seq = sql('SELECT max(seq) FROM webhook.cursor');
sql('INSERT INTO guest VALUES (6)');
ok($receiver->wait_for_count(6, '/cut'), 'C4: a message is delivered');
becomes("SELECT max(seq) > $seq FROM webhook.cursor", 't', 'C4: the position is saved');
is(sql($file), $before, 'C4: without a lock that the standby would have to replay');
$standby->stop;
becomes('SELECT count(*) FROM pg_stat_replication', 0, 'C4: the standby is gone');
sql('INSERT INTO guest VALUES (7)');
ok($receiver->wait_for_count(7, '/cut'), 'C4: another message is delivered');
becomes('SELECT count(*) < 100 FROM webhook.cursor', 't', 'C4: now the table is truncated');
$primary->stop;

# A fast shutdown while commits wait, and the standby takes over

foreach my $round (1 .. $rounds)
{
	my $path = "round$round";
	($primary, $standby) = start_pair($path);
	sql('INSERT INTO guest VALUES (1)');
	ok($receiver->wait_for_count(1, "/$path"), "C39: round $round: the server sends");
	$standby->stop('immediate');
	@sessions = insert_in_vain($primary, 2 .. SESSIONS + 1);
	$primary->stop('fast');
	eval { $_->quit } foreach @sessions;
	$standby->start;
	$standby->append_conf('postgresql.conf', "synchronous_standby_names = ''");
	$standby->promote;
	$standby->poll_query_until('postgres', 'SELECT webhook.pending() = 0') or BAIL_OUT('the new primary does not send');
	my %has = map { $_ => 1 } split(/\n/, $standby->safe_psql('postgres', 'SELECT id FROM guest'));
	is_deeply([ grep { !$has{$_} } @{ arrived("/$path") } ], [], "C39: round $round: the new primary has all that was sent");
	$standby->stop;
}

$receiver->stop;
done_testing();
