# An application under load that records every change in a ledger, in the same transaction: what the receiver got
# must be what the ledger contains.
#
#   my $ledger = Ledger->new($node, $receiver);         # after that: tables item and ledger, a webhook for /ledger
#   $ledger->start_load;
#   ...
#   $ledger->stop_load;
#   $ledger->check('R1: next to something');

package Ledger;

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest;

use constant ENTITIES => 20;

# The change made by a transaction; a fifth of these are rolled back, another fifth to a savepoint.  :e is the entity.
my $change = q{UPDATE item SET n = n + 1, tag = gen_random_uuid() WHERE id = :e;
INSERT INTO ledger SELECT id, n, tag FROM item WHERE id = :e;};
my %scripts = (
	commit => [ 3, "BEGIN; $change COMMIT;" ],
	rollback => [ 1, "BEGIN; $change ROLLBACK;" ],
	savepoint => [ 1, "BEGIN; $change SAVEPOINT a; $change ROLLBACK TO a; COMMIT;" ]);

sub new
{
	my ($class, $node, $receiver) = @_;
	my $self = bless { node => $node, receiver => $receiver, dir => PostgreSQL::Test::Utils::tempdir() }, $class;

	$node->safe_psql('postgres', tables() . 'INSERT INTO item SELECT i, 0, gen_random_uuid() FROM generate_series(1, ' . ENTITIES . q{) AS i;
		SELECT webhook.watch('item', 'item')});
	WebhookTest::create_webhook($node, app => q{'ledger'}, event => q{'item.*'}, url => "'" . $receiver->url('/ledger') . "'");
	foreach my $name (keys %scripts)
	{
		append_to_file("$self->{dir}/$name", '\set e random(1, ' . ENTITIES . ")\n$scripts{$name}[1]\n");
	}
	return $self;
}

sub tables
{
	return q{CREATE TABLE item (id integer PRIMARY KEY, n integer NOT NULL, tag uuid NOT NULL);
		CREATE TABLE ledger (id integer, n integer, tag uuid PRIMARY KEY);};
}

# Start four sessions, which run until stop_load(), or until the server goes away.  Options: more arguments for pgbench, and host and port
# if they differ from the server's.
sub start_load
{
	my ($self, %options) = @_;
	my @scripts = map { ('-f', "$self->{dir}/$_\@$scripts{$_}[0]") } sort keys %scripts;
	local $ENV{PGAPPNAME} = 'ledger';

	$self->{output} = '';
	$self->{load} = IPC::Run::start(
		[   'pgbench', '-n', '-c', 4, '-R', 300, '-T', 3600, @scripts, @{ $options{arguments} // [] },
			'-h', $options{host} // $self->{node}->host, '-p', $options{port} // $self->{node}->port, 'postgres' ],
		'>', '/dev/null', '2>', \$self->{output});
	return;
}

# End the load; returns when the last transaction has ended.
sub stop_load
{
	my ($self, $node) = @_;

	$self->{load}->signal('TERM');
	eval { $self->{load}->finish };
	($node // $self->{node})->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'ledger' AND state <> 'idle'})
	  or BAIL_OUT('the load does not end');
	return;
}

# Wait until this many more messages have arrived.
sub wait_for_load
{
	my ($self, $count) = @_;

	$self->{receiver}->wait_for_count($self->{receiver}->count('/ledger') + ($count // 100), '/ledger')
	  or BAIL_OUT("the load does not go on: $self->{output}");
	return;
}

# Compare what has arrived with the ledger.  Options: repeats => 1 if there may be some, and node, the server that has the ledger now.
sub check
{
	my ($self, $title, %options) = @_;
	my $node = $options{node} // $self->{node};
	my (%arrived, %last, @disordered, @unequal);
	my $repeats = 0;

	WebhookTest::wait_until_delivered($node);
	my %committed = map { $_ => 1 } split(/\n/, $node->safe_psql('postgres', 'SELECT tag FROM ledger'));

	# The receiver's ledger is too long for a JSON parser written in Perl.
	foreach my $line (split(/\n/, slurp_file($self->{receiver}{ledger})))
	{
		next unless $line =~ m{"path": "/ledger"};
		my ($message_id) = $line =~ /"webhook-id": "([^"]+)"/ or die $line;
		my ($entity, $n, $tag) = $line =~ /\{\\"id\\":(\d+),\\"n\\":(\d+),\\"tag\\":\\"([^"\\]+)/ or die $line;

		if (defined $arrived{$tag})
		{
			$repeats++;
			push @unequal, $tag if $arrived{$tag} ne $message_id;
			next;
		}
		$arrived{$tag} = $message_id;
		push @disordered, "$entity: $n after $last{$entity}" if $n <= ($last{$entity} // -1);
		$last{$entity} = $n;
	}
	is_deeply([ grep { !$arrived{$_} } keys %committed ], [], "W2: $title: no committed message is lost");
	is_deeply([ grep { !$committed{$_} } keys %arrived ], [], "W1: $title: nothing that was not committed is sent");
	is_deeply(\@disordered, [], "W3: $title: the messages of an entity came in order");
	is_deeply(\@unequal, [], "W2: $title: repeats have the same id");
	is($repeats, 0, "W2: $title: nothing is repeated") unless $options{repeats};
	note("$title: " . keys(%arrived) . " messages, $repeats repeats");
	return scalar(keys %arrived);
}

1;
