# What capturing costs the application: P4, P5, P6, P16, P18.
#
# Nothing is sent while rows are written, so that only the writer works; P6 shows both.

package Bench::Capture;

use strict;
use warnings;

use Bench::Cluster;
use Bench::Guests;
use Bench::Nginx;
use Bench::Report qw(median percentile rounds);

my $rows = $ENV{BENCH_MESSAGES} || 200_000;

# P4: bulk INSERT with a matching webhook, against the outbox that people write by hand.
sub outbox_trigger
{
	my $report = shift;
	my $cluster = Bench::Cluster->new;
	my $hook = q{SELECT webhook.create_webhook('bench', 'guest.create', 'http://127.0.0.1:9/')};
	my %seconds = _alternate(
		$cluster, 5,
		plain   => [],
		plpgsql => [ _plpgsql_outbox() ],
		(Bench::Cluster::pg_net() ? (pg_net => [ _pg_net_trigger() ]) : ()),
		ours => [ q{SELECT webhook.watch('guest', 'guest', event_uid => 'event_uid')}, $hook ]);

	my %added = map { $_ => ($seconds{$_} - $seconds{plain}) / $rows * 1e6 } keys %seconds;
	$report->note('   P4: a row of the bulk INSERT without any trigger takes %.2f us', $seconds{plain} / $rows * 1e6);
	for my $kind (grep { $added{$_} } qw(ours pg_net))
	{
		$report->add(
			id       => 'P4',
			what     => ($kind eq 'ours' ? '' : "   $kind: ") . 'added per row, against a plpgsql outbox trigger',
			ours     => sprintf('%.2f us', $added{$kind}),
			baseline => sprintf('%.2f us', $added{plpgsql}),
			value    => $added{$kind} / $added{plpgsql},
			goal     => $kind eq 'ours' ? '<= 0.3' : undef);
	}
}

# P5: 10,000 webhooks none of which wants the message: by its trigger name, by its event's UID alone, or because their
# integrations are not active for its profile.
sub none_matching
{
	my $report = shift;
	my $cluster = Bench::Cluster->new;
	my $watch = q{SELECT webhook.watch('guest', 'guest', event_uid => 'event_uid')};
	my $create = q{SELECT count(webhook.create_webhook('bench', '%s', 'http://127.0.0.1:9/', event_uids => %s))
		FROM generate_series(1, 10000) i};
	# the difference to be seen is small, so more rounds
	my %seconds = _alternate(
		$cluster, 15,
		plain => [],
		name  => [ $watch, sprintf $create, 'company.create', 'NULL' ],
		uid   => [ $watch, sprintf $create, 'guest.create', q{'other-' || i} ],
		integration => [
			q{SELECT webhook.watch('guest', 'guest', event_uid => 'event_uid', profile => 'event_uid')},
			q{SELECT count(webhook.create_integration('integration ' || i)) FROM generate_series(1, 1000) i},
			q{SELECT webhook.connect_profile('integration 1', 'other'), webhook.activate_integration('other', 'integration 1')},
			q{SELECT count(webhook.create_webhook('bench', 'guest.create', 'http://127.0.0.1:9/',
				integration => 'integration ' || (1 + i % 1000))) FROM generate_series(1, 10000) i} ]);

	for ([ name => 'another trigger name' ], [ uid => 'another event UID' ],
		[ integration => '1000 other integrations' ])
	{
		my ($kind, $what) = @$_;
		$report->add(
			id       => 'P5',
			what     => "bulk INSERT, 10000 webhooks with $what, against no trigger",
			ours     => sprintf('%.2f us', $seconds{$kind} / $rows * 1e6),
			baseline => sprintf('%.2f us', $seconds{plain} / $rows * 1e6),
			value    => $seconds{$kind} / $seconds{plain},
			goal     => '<= 1.10');
	}
}

# P6: single-row commits of four clients.
sub single_rows
{
	my $report = shift;
	my $nginx = Bench::Nginx->new;
	my $cluster = Bench::Cluster->new;
	my (%tps, %cpu);

	Bench::Guests::create_table($cluster);
	$cluster->sql('CREATE SEQUENCE guest_number',
		q{CREATE TABLE unwatched (LIKE guest INCLUDING ALL)},
		sprintf q{SELECT webhook.create_webhook('bench', 'guest.create', '%s')}, $nginx->url);
	Bench::Guests::watch($cluster);
	for (1 .. rounds(3))
	{
		for ([ unwatched => 'off' ], [ guest => 'off' ], [ unwatched => 'on' ], [ guest => 'on' ])
		{
			my ($table, $dispatch) = @$_;
			$cluster->set('webhook.dispatch', $dispatch);
			# what waits from the round before is not part of this one
			$cluster->wait_for('SELECT webhook.pending() = 0') if $dispatch eq 'on';
			my $script =
			  "INSERT INTO $table VALUES (nextval('guest_number'), 'event-0000', 'Guest', repeat('x', 100));\n";
			my $before = $cluster->ticks_of_ended;
			my $output = $cluster->pgbench($script, '-c', 4, '-T', $ENV{BENCH_SECONDS} || 10);
			my $tps = Bench::Cluster::tps($output);
			my ($commits) = $output =~ /actually processed: (\d+)/ or die "no transactions in: $output";
			my $us = ($cluster->ticks_of_ended - $before) * 10_000 / $commits;
			printf "  %s, dispatch %s: %.0f/s, %.1f us of CPU each\n", $table, $dispatch, $tps, $us;
			push @{ $tps{"$table $dispatch"} }, $tps;
			push @{ $cpu{"$table $dispatch"} }, $us;
		}
	}
	for my $dispatch (qw(on off))
	{
		my ($ours, $baseline) = map { median(@{ $tps{"$_ $dispatch"} }) } qw(guest unwatched);
		$report->add(
			id       => 'P6',
			what     => "single-row commits/s, 4 clients, dispatch $dispatch, against no trigger",
			ours     => sprintf('%.0f/s', $ours),
			baseline => sprintf('%.0f/s', $baseline),
			value    => $ours / $baseline,
			goal     => $dispatch eq 'off' ? '>= 0.95' : undef);
	}
	my ($ours, $baseline) = map { median(@{ $cpu{"$_ off"} }) } qw(guest unwatched);
	$report->add(
		id       => 'P6',
		what     => 'CPU of the sessions per commit, dispatch off, against no trigger',
		ours     => sprintf('%.1f us', $ours),
		baseline => sprintf('%.1f us', $baseline),
		value    => $ours / $baseline,
		goal     => '<= 1.08');
}

# P18: CPU time of a bulk UPDATE of tickets, beyond an unwatched table, against a plpgsql trigger with two SELECTs.
sub expressions
{
	my $report = shift;
	my $cluster = Bench::Cluster->new;
	my $tickets = int($rows / 4);
	my $create = q{SELECT webhook.create_webhook('bench', 'ticket.*', 'http://127.0.0.1:9/'%s)};
	my $watch = q{SELECT webhook.watch('ticket', 'ticket', deleted => 'deleted_at IS NOT NULL', exclude => '{deleted_at,search}'%s)};
	my $four = sprintf $watch, q{, event_uid => '(SELECT e.uid FROM event e WHERE e.id = event_id)',
		profile => '(SELECT p.name FROM event e JOIN profile p ON p.id = e.profile_id WHERE e.id = event_id)',
		paid => 'EXISTS (SELECT FROM payment p WHERE p.ticket_id = ticket.id AND p.state = ''received'')'};
	my @setups = (
		plain   => [],
		plpgsql => [ _plpgsql_ticket_outbox() ],
		deleted => [ sprintf($watch, ''), sprintf($create, '') ],
		four    => [ $four, sprintf($create, '') ],
		uid     => [ $four, sprintf($create, q{, event_uids => (SELECT string_agg(uid, ',') FROM event)}) ],
		integration => [
			$four, q{SELECT webhook.create_integration('bench')},
			q{SELECT webhook.connect_profile('bench', name), webhook.activate_integration(name, 'bench') FROM profile},
			sprintf($create, q{, integration => 'bench'}) ],
		unwanted => [ $four, sprintf($create, q{, columns => '{seat}'}) ]);
	my %added = _added_to_update($cluster, $tickets, q{UPDATE ticket SET name = name || 'x', changed_at = now()}, @setups);
	for (
		[ deleted => '"deleted" over the row alone', '<= 0.15' ],
		[ four => 'four expressions, three sub-selects, which nobody asks for', '<= 0.5' ],
		[ uid => 'the same, webhook with event UIDs', '<= 0.5' ],
		[ integration => 'the same, webhook of an integration', '<= 0.5' ],
		[ unwanted => 'the same, webhook for another column', '<= 0.05' ])
	{
		my ($kind, $what, $goal) = @$_;
		$report->add(
			id       => 'P18',
			what     => "CPU added per updated row, $what, against a plpgsql outbox trigger",
			ours     => sprintf('%.2f us', $added{$kind}),
			baseline => sprintf('%.2f us', $added{plpgsql}),
			value    => $added{$kind} / $added{plpgsql},
			goal     => $goal);
	}
}

# P16: the former values and a condition that one change in a hundred meets, against a plpgsql trigger that builds both rows.
sub former_values
{
	my $report = shift;
	my $cluster = Bench::Cluster->new;
	my %added = _added_to_update(
		$cluster, $rows, q{UPDATE ticket SET state = CASE WHEN id % 100 = 0 THEN state || 'x' ELSE state END, changed_at = now()},
		plain   => [],
		plpgsql => [
			'CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload jsonb NOT NULL)',
			q{CREATE FUNCTION to_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
				DECLARE o jsonb := to_jsonb(OLD); n jsonb := to_jsonb(NEW);
				BEGIN
					IF o ->> 'state' <> n ->> 'state' THEN
						INSERT INTO outbox (payload) VALUES (jsonb_build_object('new', n, 'old', o));
					END IF;
					RETURN NULL;
				END $$},
			'CREATE TRIGGER to_outbox AFTER UPDATE ON ticket FOR EACH ROW EXECUTE FUNCTION to_outbox()' ],
		ours => [
			q{SELECT webhook.watch('ticket', 'ticket')},
			q{SELECT webhook.create_webhook('bench', 'ticket.*', 'http://127.0.0.1:9/', previous => 'changed',
				condition => '$.new.state != $.old.state')} ]);

	$report->add(
		id       => 'P16',
		what     => 'CPU added per updated row, former values, condition that 1 % meet, against a plpgsql trigger',
		ours     => sprintf('%.2f us', $added{ours}),
		baseline => sprintf('%.2f us', $added{plpgsql}),
		value    => $added{ours} / $added{plpgsql},
		goal     => '<= 0.5');
}

# The CPU time in microseconds that each set-up adds to a row of an update of all tickets, by name; "plain" is the one
# without anything.
sub _added_to_update
{
	my ($cluster, $tickets, $update, @setups) = @_;
	my (@names, %seconds);

	while (my ($name, $statements) = splice @setups, 0, 2)
	{
		push @names, $name;
		$cluster->sql("CREATE DATABASE $name");
		_create_tickets($cluster->in($name), $tickets, @$statements);
	}
	for (1 .. rounds(7))
	{
		for my $name (@names)
		{
			my $time = $cluster->in($name)->cpu('UPDATE ticket SET name = name WHERE id = 1', $update);
			printf "  %s: %.0f ms\n", $name, $time * 1000;
			push @{ $seconds{$name} }, $time;
			$cluster->in($name)->sql('VACUUM ticket', 'CHECKPOINT');
		}
	}
	# the least is what the statement takes when nothing else disturbs it
	return map { $_ => (percentile(0, @{ $seconds{$_} }) - percentile(0, @{ $seconds{plain} })) / $tickets * 1e6 } @names;
}

sub _create_tickets
{
	my ($database, $count, @statements) = @_;
	$database->sql(
		'CREATE EXTENSION webhook',
		'CREATE TABLE profile (id integer PRIMARY KEY, name text NOT NULL)',
		'CREATE TABLE event (id integer PRIMARY KEY, uid text NOT NULL, profile_id integer NOT NULL)',
		'CREATE TABLE payment (id integer PRIMARY KEY, ticket_id bigint NOT NULL, state text NOT NULL)',
		'CREATE INDEX ON payment (ticket_id)',
		'CREATE TABLE ticket (id bigint PRIMARY KEY, uid text NOT NULL UNIQUE, event_id integer NOT NULL, seat text, state text,
			name text, email text, answers jsonb, price numeric(8, 2), search text, changed_at timestamptz, deleted_at timestamptz)',
		q{INSERT INTO profile SELECT i, 'profile ' || i FROM generate_series(1, 20) i},
		q{INSERT INTO event SELECT i, 'event-' || i, 1 + i % 20 FROM generate_series(1, 1000) i},
		qq{INSERT INTO ticket SELECT i, 't-' || i, 1 + i % 1000, 'seat ' || i, 'sold', 'Guest ' || i, 'guest' || i || '\@example.org',
			'{"diet": "none", "shirt": "L"}', 49.90, 'guest ' || i, now() FROM generate_series(1, $count) i},
		qq{INSERT INTO payment SELECT i, i, 'received' FROM generate_series(1, $count, 2) i},
		'VACUUM ANALYZE', @statements);
}

sub _plpgsql_ticket_outbox
{
	return (
		'CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload jsonb NOT NULL, event_uid text, paid boolean)',
		q{CREATE FUNCTION to_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
			DECLARE u text; p boolean;
			BEGIN
				SELECT e.uid INTO u FROM event e WHERE e.id = NEW.event_id;
				SELECT EXISTS (SELECT FROM payment p WHERE p.ticket_id = NEW.id AND p.state = 'received') INTO p;
				INSERT INTO outbox (payload, event_uid, paid) VALUES (to_jsonb(NEW) - 'deleted_at' - 'search', u, p);
				RETURN NULL;
			END $$},
		'CREATE TRIGGER to_outbox AFTER UPDATE ON ticket FOR EACH ROW EXECUTE FUNCTION to_outbox()');
}

# Times the same bulk INSERT with each set-up in turn, so many times round; returns the median seconds by name.
# Every set-up has a table and a database of its own, so that only its own trigger and its own webhooks are met.
sub _alternate
{
	my ($cluster, $rounds, @setups) = @_;
	my (@names, %seconds);

	while (my ($name, $statements) = splice @setups, 0, 2)
	{
		push @names, $name;
		$cluster->sql("CREATE DATABASE $name");
		$cluster->in($name)->sql('CREATE EXTENSION webhook');
		Bench::Guests::create_table($cluster->in($name));
		$cluster->in($name)->sql(@$statements) if @$statements;
	}
	for (1 .. rounds($rounds))
	{
		for my $name (@names)
		{
			my $database = $cluster->in($name);
			$database->sql('TRUNCATE guest', 'CHECKPOINT');
			my $time = $database->timed(Bench::Guests::insert($rows));
			printf "  %s: %.0f ms\n", $name, $time * 1000;
			push @{ $seconds{$name} }, $time;
		}
	}
	return map { $_ => median(@{ $seconds{$_} }) } @names;
}

sub _plpgsql_outbox
{
	return (
		'CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload jsonb NOT NULL)',
		q{CREATE FUNCTION to_outbox() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN INSERT INTO outbox (payload) VALUES (to_jsonb(NEW)); RETURN NULL; END $$},
		'CREATE TRIGGER to_outbox AFTER INSERT ON guest FOR EACH ROW EXECUTE FUNCTION to_outbox()');
}

# pg_net lives in one database only, but its queue can be written in any.
sub _pg_net_trigger
{
	return (
		'CREATE EXTENSION pg_net',
		q{CREATE FUNCTION to_pg_net() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN PERFORM net.http_post('http://127.0.0.1:9/', to_jsonb(NEW)); RETURN NULL; END $$},
		'CREATE TRIGGER to_pg_net AFTER INSERT ON guest FOR EACH ROW EXECUTE FUNCTION to_pg_net()');
}

1;
