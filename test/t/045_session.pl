# What sessions do to themselves and to each other: statements that are cancelled half-way, old snapshots, settings
# that have come to name nothing, locks that are held for long.
#
# Mission: W1 W5 W14 W16 I8 I14 I15; goals: R6.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest;

my $node = WebhookTest::start_node('session', "webhook.retry_schedule = '0, 300ms, 300ms, 300ms, 300ms, 300ms, 300ms, 300ms'",
	'restart_after_crash = off');
my $receiver = WebhookTest::Receiver->start;

sub sql
{
	return $node->safe_psql('postgres', join('', @_));
}

# A session that is asked more than once.
sub session
{
	return $node->background_psql('postgres', on_error_stop => 0);
}

# W1: a session that was cancelled while it read who subscribes to what reads it again.

sql('CREATE TABLE guest (id int PRIMARY KEY, name text, password text)');
sql(q{SELECT webhook.watch('guest', 'guest', exclude => '{password}')});
WebhookTest::create_webhook($node, app => "'app'", event => "'guest.*'", url => "'" . $receiver->url('/guest') . "'");
{
	my $locker = session();
	my $writer = session();

	$locker->query_safe('BEGIN; LOCK TABLE webhook.webhook IN ACCESS EXCLUSIVE MODE');
	$writer->query("SET statement_timeout = '100ms'; INSERT INTO guest VALUES (1)");
	$locker->query_safe('COMMIT');
	$writer->query("SET statement_timeout = 0; INSERT INTO guest VALUES (2)");
	is($writer->query('SELECT id FROM guest'), '2', 'W1: the statement after the cancelled one works');
	ok($receiver->wait_for_count(1, '/guest'), 'W1: and is told');
	$locker->quit;
	$writer->quit;
}

# W5: a table whose settings name a column that has another name now is refused to those who change it, and stops
# nobody else.

{
	sql('CREATE TABLE other (id int PRIMARY KEY)', q{; SELECT webhook.watch('other', 'other')});
	sql('ALTER TABLE guest RENAME COLUMN password TO pw');
	my $all = WebhookTest::create_webhook($node, app => "'app'", event => "'*'", url => "'" . $receiver->url('/all') . "'");

	WebhookTest::fails_with($node, 'INSERT INTO guest VALUES (3)', '42703', 'watched column "password" has been renamed to "pw"',
		'W14: rows of the table itself are refused');
	sql('INSERT INTO other VALUES (1)');
	ok($receiver->wait_for_count(1, '/all'), 'W5: a renamed column of one table does not stop the others');
	sql(q{SELECT webhook.watch('guest', 'guest', exclude => '{pw}')});
	sql('INSERT INTO guest VALUES (3)');
	ok($receiver->wait_for_count(2, '/all'), 'W5: the table works again when it is watched with the new name');
	sql("SELECT webhook.delete_webhook_by_id($all)");
}

$node->stop;
done_testing();
