# DAViCal, a CalDAV server that was not written for webhook: calendar items are events, their attendees are guests.
#
# Its own script creates the database, and its tables are not changed; its pages run in PHP's built-in server.  A
# trigger of this test records every row that DAViCal touches, in addition to ours, and what the receivers must get is
# computed from these records alone, byte for byte.
#
# Mission: I1 I6, E1 E2 E3, W1 W3, W15 (composite key, key to the event, another schema's owner).

use strict;
use warnings;

use Cwd qw(abs_path);
use HTTP::Tiny;
use IPC::Run;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use WebhookTest;

my $davical = '/usr/share/davical';
my $password = 'secret';

# It is skipped only on request, not because a package is missing.
plan skip_all => 'WEBHOOK_WITHOUT_DAVICAL is set' if $ENV{WEBHOOK_WITHOUT_DAVICAL};
foreach my $file ("$davical/dba/create-database.sh", '/usr/share/awl/dba/awl-tables.sql')
{
	-e $file
	  or die "$file is missing: install the packages davical, php-cli, php-pgsql, php-curl and php-xml, "
	  . "or set WEBHOOK_WITHOUT_DAVICAL=1\n";
}

my $node = WebhookTest::new_node('davical');
$node->start;
create_database();
my $server = start_server();
my $receiver = WebhookTest::Receiver->start;

END
{
	local $?;
	$server->kill_kill if $server;
}

sub sql
{
	return $node->safe_psql('davical', join('', @_));
}

sub create_database
{
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGUSER => scalar getpwuid($<));
	my ($out, $err);

	IPC::Run::run([ "$davical/dba/create-database.sh", 'davical', $password ], '>', \$out, '2>', \$err)
	  or die "DAViCal's create-database.sh failed: $out$err";
	return;
}

# DAViCal looks for its configuration in /etc/davical/<name of the server>-conf.php.  So we use a name that
# leads to ours, and an ordinary one once the configuration has been found.
sub start_server
{
	my $dir = abs_path(PostgreSQL::Test::Utils::tempdir());
	my $port = PostgreSQL::Test::Cluster::get_free_port();

	append_to_file("$dir/prepend.php", "<?php\n\$_SERVER['SERVER_NAME'] = '../..' . __DIR__ . '/davical';\n");
	append_to_file("$dir/davical-conf.php",
		"<?php\n"
		  . "\$_SERVER['SERVER_NAME'] = \$c->domain_name = 'localhost';\n"
		  . "\$c->pg_connect[] = 'host=@{[ $node->host ]} port=@{[ $node->port ]} dbname=davical user=davical_app';\n");
	# DAViCal sends mail to attendees, except here.
	my $process = IPC::Run::start(
		[   'php', '-d', "auto_prepend_file=$dir/prepend.php", '-d', 'sendmail_path=/bin/true',
			'-S', "127.0.0.1:$port", '-t', "$davical/htdocs" ],
		'<', \undef, '>&', "$PostgreSQL::Test::Utils::log_path/davical_php.log");
	$node->{davical_url} = "http://127.0.0.1:$port/caldav.php";
	foreach (1 .. 20 * $PostgreSQL::Test::Utils::timeout_default)
	{
		my $response = caldav('OPTIONS', 'admin', '/');
		return $process if $response->{success};

		# 599 is HTTP::Tiny's own: no connection yet
		die "DAViCal does not work: $response->{content}" if $response->{status} != 599;
		usleep(50_000);
	}
	die 'DAViCal did not start';
}

sub caldav
{
	my ($method, $user, $path, $content, %headers) = @_;

	$headers{'Authorization'} = 'Basic ' . encode_base64("$user:$password", '');
	$headers{'Content-Type'} = 'text/calendar; charset=utf-8' if defined $content;
	return HTTP::Tiny->new->request($method, "$node->{davical_url}$path",
		{ headers => \%headers, defined $content ? (content => $content) : () });
}

sub caldav_ok
{
	my ($name, @request) = @_;
	my $response = caldav(@request);

	like($response->{status}, qr/^20[0-9]$/, $name) or diag($response->{content});
	return;
}

# An iCalendar file.
sub calendar
{
	my ($uid, $summary, %with) = @_;
	my @lines = (
		'BEGIN:VCALENDAR', 'VERSION:2.0', 'PRODID:-//webhook//test//EN', 'BEGIN:VEVENT', "UID:$uid",
		'DTSTAMP:20260101T000000Z', 'DTSTART:' . ($with{start} // '20260601T090000Z'),
		'DTEND:20260601T170000Z', "SUMMARY:$summary", 'ORGANIZER:mailto:organizer@example.net');
	push @lines, map { "ATTENDEE;CN=$_;RSVP=TRUE:mailto:\L$_\E\@example.org" } @{ $with{attendees} // [] };
	return join("\r\n", @lines, 'END:VEVENT', 'END:VCALENDAR', '');
}

# Users, created as base-data.sql creates the administrator.

sql(qq{
	INSERT INTO usr (user_no, active, email_ok, updated, username, password, fullname, email)
	SELECT 10 + n, true, current_date, current_date, name, '**$password', name, email
	FROM (VALUES (1, 'organizer', 'organizer\@example.net'), (2, 'ada', 'ada\@example.org')) u (n, name, email);
	INSERT INTO principal (principal_id, type_id, user_no, displayname, default_privileges)
	SELECT user_no, 1, user_no, fullname, privilege_to_bits(ARRAY['DAV::read', 'caldav:schedule-deliver'])
	FROM usr WHERE user_no IN (11, 12);
});
caldav_ok("$_ has a calendar", 'MKCALENDAR', $_, "/$_/calendar/") foreach 'organizer', 'ada';

# An audit of both tables, row by row, without updates that change nothing, which send no message.

sql(q{
	CREATE TABLE public.audit (
		seq serial, entity_type text, action text, dav_id bigint, attendee text, uid text, result text);
	GRANT INSERT ON audit TO PUBLIC;
	GRANT USAGE ON SEQUENCE audit_seq_seq TO PUBLIC;

	CREATE FUNCTION public.audit() RETURNS trigger LANGUAGE plpgsql AS $$
	DECLARE
		r record := CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
		j jsonb := to_jsonb(r);
	BEGIN
		IF TG_OP <> 'UPDATE' OR OLD IS DISTINCT FROM NEW THEN
			INSERT INTO public.audit (entity_type, action, dav_id, attendee, uid, result)
			VALUES (TG_ARGV[0], CASE TG_OP WHEN 'INSERT' THEN 'new' ELSE lower(TG_OP) END, (j->>'dav_id')::bigint,
				j->>'attendee', j->>'uid', CASE WHEN TG_OP <> 'DELETE' THEN row_to_json(r) END);
		END IF;
		RETURN NULL;
	END $$;
	CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON calendar_item
		FOR EACH ROW EXECUTE FUNCTION audit('event');
	CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON calendar_attendee
		FOR EACH ROW EXECUTE FUNCTION audit('guest');
});

# The attendees of a new item come before the item itself: their event UID is found at the end of the transaction.

sql(q{
	CREATE EXTENSION webhook;
	SELECT webhook.watch('calendar_item', 'event', id => 'dav_id', event_uid => 'uid');
	SELECT webhook.watch('calendar_attendee', 'guest',
		event_uid => '(SELECT i.uid FROM calendar_item i WHERE i.dav_id = calendar_attendee.dav_id)');
});

# The webhooks by the path of their URL: trigger names, and UIDs of events.
my %webhooks = (
	'/all'     => { event => 'event.*,guest.*' },
	'/second'  => { event => 'event.*,guest.*', uids => [ 'second@example.net', 'unknown@example.net' ] },
	'/deletes' => { event => 'guest.delete, event.delete' },
	'/first'   => { event => 'guest.create', uids => ['first@example.net'] });

foreach my $path (sort keys %webhooks)
{
	my $uids = $webhooks{$path}{uids} ? "'" . join(', ', @{ $webhooks{$path}{uids} }) . "'" : 'NULL';
	sql("SELECT webhook.create_webhook('davical', '$webhooks{$path}{event}', '",
		$receiver->url($path), "', event_uids => $uids)");
}

# The users' actions

my ($first, $second, $third) = map { "/organizer/calendar/$_.ics" } qw(first second third);

caldav_ok('an event with three attendees, one of them with a calendar here',
	'PUT', 'organizer', $first, calendar('first@example.net', 'Conference', attendees => ['Ada', 'Bob', 'Eve']));
caldav_ok('a second one', 'PUT', 'organizer', $second,
	calendar('second@example.net', "Stra\xc3\x9fenfest \"Z\xc3\xbcrich\"\\, 100 %", attendees => ['Bob', "Zo\xc3\xab"]));
caldav_ok('one without attendees', 'PUT', 'organizer', $third, calendar('third@example.net', 'Alone'));
caldav_ok('another summary', 'PUT', 'organizer', $first,
	calendar('first@example.net', 'Great Conference', attendees => ['Ada', 'Bob', 'Eve']));
caldav_ok('an attendee removed', 'PUT', 'organizer', $first,
	calendar('first@example.net', 'Great Conference', attendees => ['Ada', 'Eve']));
caldav_ok('another day', 'PUT', 'organizer', $second,
	calendar('second@example.net', 'Later', start => '20260601T100000Z', attendees => ['Bob', 'Frank']));
is(caldav('PUT', 'organizer', $first, calendar('first@example.net', 'No'), 'If-None-Match' => '*')->{status},
	412, 'one that is refused');
caldav_ok('an event deleted', 'DELETE', 'organizer', $second);
caldav_ok('another one deleted', 'DELETE', 'organizer', $third);

# Compare what the receivers got with the audit

my @audit = map { [ split /\t/, $_, -1 ] } split /\n/, $node->safe_psql(
	'davical',
	q{SELECT a.entity_type, a.action, coalesce(a.attendee, ''), a.dav_id, a.result,
		(SELECT DISTINCT i.uid FROM audit i WHERE i.entity_type = 'event' AND i.dav_id = a.dav_id)
	  FROM audit a ORDER BY a.seq},
	extra_params => [ '-F', "\t" ]);
my %names = (new => 'create', update => 'update', delete => 'delete');
my %expected = map { $_ => [] } keys %webhooks;

foreach my $row (@audit)
{
	my ($entity_type, $action, $attendee, $dav_id, $result, $uid) = @$row;
	my $id = $entity_type eq 'event' ? $dav_id : qq("$dav_id,$attendee");
	my $body = qq({"entity_id":$id,"entity_type":"$entity_type","action_type":"$action")
	  . ($action eq 'delete' ? '}' : qq(,"result":$result}));

	foreach my $path (keys %webhooks)
	{
		my $webhook = $webhooks{$path};
		next unless "$entity_type.$names{$action}" =~ wanted($webhook->{event});
		next if $webhook->{uids} && !grep { $_ eq $uid } @{ $webhook->{uids} };
		push @{ $expected{$path} }, { id => "$entity_type $id", body => $body };
	}
}

sub wanted
{
	my $names = join '|', map { quotemeta =~ s/\\\*/.*/r } split /\s*,\s*/, $_[0];
	return qr/^(?:$names)$/;
}

# Make sure that there is something to compare.
foreach my $what ('event new', 'event update', 'event delete', 'guest new', 'guest delete')
{
	ok(scalar(grep { "$_->[0] $_->[1]" eq $what } @audit), "DAViCal did a $what");
}
ok(!(grep { $_->[5] eq '' } @audit), 'every row belongs to an event with a UID');
cmp_ok(scalar(grep { $_->[0] eq 'event' && $_->[1] eq 'new' } @audit),
	'>', 3, 'DAViCal put a copy into the calendar of an attendee');

WebhookTest::wait_until_delivered($node, 'davical');
foreach my $path (sort keys %webhooks)
{
	my @received = map { { id => entity($_), body => $_ } } $receiver->bodies($path);

	is_deeply(
		[ sort map { $_->{body} } @received ],
		[ sort map { $_->{body} } @{ $expected{$path} } ],
		"I1, I6, E1 - E3, W15: $path got exactly the messages it wants, " . @{ $expected{$path} });
	is_deeply(by_entity(@received), by_entity(@{ $expected{$path} }), "W3: $path, each entity in order");
}

# Entity type and id as written in a body.
sub entity
{
	my ($body) = @_;

	$body =~ /^\{"entity_id":("(?:[^"\\]|\\.)*"|\d+),"entity_type":"(\w+)"/ or return 'neither event nor guest';
	return "$2 $1";
}

# The bodies of each entity, in order.
sub by_entity
{
	my %bodies;

	push @{ $bodies{ $_->{id} } }, $_->{body} foreach @_;
	return \%bodies;
}

done_testing();
