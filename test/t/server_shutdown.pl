# A shutdown records what has been done, and does not wait for receivers or locks.
#
# Mission: R1, W2, W5, W16.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use WebhookTest;

my $node = WebhookTest::start_node('shutdown');
my $receiver = WebhookTest::Receiver->start;

# The worker waits a second for requests in flight; the rest allows for slow machines.
my $patience = 15;

sub emit
{
	return $node->safe_psql('postgres', join(';', map { "SELECT webhook.emit('e', '{}', entity_id => '$_')" } @_));
}

sub seconds
{
	my ($code) = @_;
	my $start = time();

	$code->();
	return time() - $start;
}

sub ids
{
	return [ map { $_->{headers}{'webhook-id'} } $receiver->requests($_[0]) ];
}

WebhookTest::create_webhook($node, app => "'a'", event => "'e'", url => "'" . $receiver->url($_) . "'") foreach qw(/a /b);

# One receiver does not answer.  What others have received meanwhile is not sent again.

$receiver->behave('/b', hold => 1);
my @ids = split(/\n/, emit(1 .. 5));
ok($receiver->wait_for_count(5, $_), "five requests at $_") foreach qw(/a /b);
cmp_ok(seconds(sub { $node->stop('fast') }), '<', $patience, 'W16: a receiver that does not answer does not delay a shutdown');
$receiver->behave('/b');
$node->start;
WebhookTest::wait_until_delivered($node);
is_deeply([ sort @{ ids('/a') } ], [ sort @ids ], 'W2: after a clean shutdown nothing that was delivered is sent again');
is_deeply([ sort @{ ids('/b') } ], [ sort @ids, @ids ], 'W2: only unanswered requests are');

# A response within that second is awaited.

$receiver->behave('/b', delay => 250);
push @ids, split(/\n/, emit(6));
ok($receiver->wait_for_count(11, '/b'), 'a request is in flight');
$node->stop('fast');
$receiver->behave('/b');
$node->start;
WebhookTest::wait_until_delivered($node);
is(scalar(grep { $_ eq $ids[5] } @{ ids('/b') }), 1, 'W2: a request that is answered during the shutdown is not sent again');

# The worker waits for a lock that is never released.

$node->safe_psql('postgres', q{BEGIN; LOCK TABLE webhook.delivery; PREPARE TRANSACTION 'lock'});
$receiver->behave('/b', status => 500);
emit(7);
$node->poll_query_until('postgres',
	q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'webhook worker' AND wait_event_type = 'Lock'})
  or BAIL_OUT('the worker does not wait for the lock');
cmp_ok(seconds(sub { $node->stop('fast') }), '<', $patience, 'W16: a lock does not delay a shutdown');
$receiver->behave('/b');
$node->start;
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'lock'});
WebhookTest::wait_until_delivered($node);
is(scalar(@{ ids('/a') }) >= 7, 1, 'W2: the message is delivered afterwards');

# The counters of thousands of webhooks are written before the worker exits.

my $many = 2500;
$node->safe_psql('postgres', "SELECT count(webhook.create_webhook('many', 'wide', '" . $receiver->url('/many') . "')) FROM generate_series(1, $many)");
$node->safe_psql('postgres', q{SELECT webhook.emit('wide', '{}')});
ok($receiver->wait_for_count($many, '/many'), 'a message has arrived for thousands of webhooks');
$node->stop('fast');
$node->start;
is($node->safe_psql('postgres', q{SELECT sum(delivered), sum(attempts) FROM webhook.stat_webhooks WHERE app = 'many'}),
	"$many|$many", 'W12: a clean shutdown loses no counters');

# DDL on the database does not wait either.

$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION webhook');
$receiver->behave('/c', hold => 1);
$node->safe_psql('other', q{SELECT webhook.create_webhook('a', 'e', '} . $receiver->url('/c') . q{')});
$node->safe_psql('other', q{SELECT webhook.emit('e', '{}')});
ok($receiver->wait_for_count(1, '/c'), 'a request of another database is in flight');
cmp_ok(seconds(sub { $node->safe_psql('postgres', 'DROP DATABASE other') }), '<', 5, 'W16: DROP DATABASE is not delayed');

$node->stop;
done_testing();
