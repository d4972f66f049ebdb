# The README is true: its examples run as printed, its receivers verify what is sent and drop repeats, its reference is
# that of the catalog, and its links have targets.
#
# Mission: M3 M7 M8 M9, W2 W6 W12, X8 X9 X13.

use strict;
use warnings;

use Cwd qw(abs_path);
use Digest::SHA qw(hmac_sha1_hex hmac_sha256_base64 hmac_sha256_hex);
use File::Basename qw(dirname);
use HTTP::Tiny;
use IO::Socket::INET;
use IPC::Run;
use JSON::PP;
use MIME::Base64;
use Needs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use WebhookTest;

my $top = dirname(dirname(dirname(abs_path(__FILE__))));
my $readme = slurp_file("$top/README.md");
my $secrets = PostgreSQL::Test::Utils::tempdir();

mkdir "$secrets/postgres";
append_to_file("$secrets/postgres/shop-token", 'Bearer s3cr3t');

# With a worker for each database none of them rests, which Monitoring would not show as paused.
my $node = WebhookTest::start_node('readme', "webhook.secrets_directory = '$secrets'", 'max_worker_processes = 32');
sql('postgres', q{ALTER SYSTEM SET webhook.history_retention = '1 d'});
$node->reload;
my $receiver = WebhookTest::Receiver->start;

# Chapters have sections, and sections have blocks of code: [ language, text ].  What comes before the first heading is the
# section '' of a chapter.
my (@chapters, %chapter);
{
	my ($fence, $language, $text);

	push @chapters, { title => '', sections => [ { title => '', blocks => [] } ] };
	foreach my $line (split(/\n/, $readme))
	{
		if (defined $text)
		{
			if ($line eq '```')
			{
				push @{ $chapters[-1]{sections}[-1]{blocks} }, [ $language, $text ];
				undef $text;
			}
			else
			{
				$text .= "$line\n";
			}
		}
		elsif ($line =~ /^```(\w*)$/)
		{
			($language, $text) = ($1, '');
		}
		elsif ($line =~ /^## (.*)/)
		{
			push @chapters, { title => $1, sections => [ { title => '', blocks => [] } ] };
		}
		elsif ($line =~ /^### (.*)/)
		{
			push @{ $chapters[-1]{sections} }, { title => $1, blocks => [] };
		}
	}
	%chapter = map { $_->{title} => $_ } @chapters;
}

# The text of a chapter, or of one of its sections.
sub prose
{
	my ($chapter, $section) = @_;
	my ($text) = $readme =~ /^## \Q$chapter\E\n(.*?)(?=^## |\z)/ms;

	($text) = $text =~ /^### \Q$section\E\n(.*?)(?=^### |\z)/ms if defined $section;
	return $text // BAIL_OUT("the README has no chapter $chapter" . ($section // ''));
}

sub blocks
{
	my ($chapter, $language) = @_;

	return map { $_->[1] } grep { $_->[0] eq $language } map { @{ $_->{blocks} } } @{ $chapter{$chapter}{sections} };
}

sub sql
{
	my ($database, $statement) = @_;

	return $node->safe_psql($database, $statement);
}

# Run a piece of the README with psql; returns its output.
sub runs
{
	my ($database, $script, $where) = @_;
	my ($status, $stdout, $stderr) = $node->psql($database, $script, on_error_stop => 1);
	my ($first) = $script =~ /\A(?:--.*\n)*(.*)/;

	is($status, 0, "$where: $first") or diag($stderr);
	return $stdout;
}

# A database with the extension.
sub create_database
{
	my ($database) = @_;

	sql('postgres', "CREATE DATABASE $database");
	sql($database, 'CREATE EXTENSION webhook');
	return;
}

# Start a program that listens on a port.
sub start_program
{
	my ($port, $output, %environment) = @_;
	my @command = @{ delete $environment{command} };
	local %ENV = (%ENV, %environment);
	my $program = IPC::Run::start(\@command, '<', '/dev/null', '>', $output, '2>', "$output.errors");

	foreach (1 .. 100 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return $program if IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
		last unless $program->pumpable;
		usleep(10_000);
	}
	BAIL_OUT("@command did not start: " . slurp_file("$output.errors"));
	return;
}

# The first example, and what it says that is sent

{
	my ($script) = blocks('', 'sql');
	my ($request) = blocks('', 'http');
	my ($head, $body) = split(/\n\n/, $request);
	my $url = $receiver->url;

	create_database('first');
	$script =~ s{https://[^/']+/}{$url} or fail('the first example contains a URL');
	runs('first', $script, 'the first example');
	ok($receiver->wait_for_count(1, '/hook'), 'the first example sends a request');
	my ($arrived) = $receiver->requests('/hook');
	is("$arrived->{method} $arrived->{path}", (split(/\n/, $head))[0], '... with the method and the path that are shown');
	is("$arrived->{body}\n", $body, '... and the body');
	foreach my $line ((split(/\n/, $head))[ 1 .. 4 ])
	{
		my ($name, $shown) = split(/: /, $line);
		my $value = $arrived->{headers}{ lc($name) } // '';

		# Digits and letters differ, their number does not.
		is($value =~ s/[0-9a-zA-Z+\/]/x/gr, $shown =~ s/[0-9a-zA-Z+\/]/x/gr, "... and the header $name");
	}
}

# "Five minutes", with each receiver

sub five_minutes
{
	my ($language, $file, @command) = @_;
	my $database = "five_$language";
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my ($program) = blocks('Five minutes', $language);
	my ($shown) = blocks('Five minutes', 'json');
	my ($log, @statements) = reverse blocks('Five minutes', 'sql');
	my ($insert, @before) = @statements;
	my $secret;

	ok((my $lines = () = $program =~ /^.*\S/mg) <= 25, "$language: the receiver is short");
	$program =~ s/\b8080\b/$port/ or fail("$language: the receiver's port is replaced");
	append_to_file("$dir/$file", $program);

	create_database($database);
	foreach my $script (reverse @before)
	{
		$script =~ s/:8080\b/:$port/;
		my $output = runs($database, $script, 'Five minutes');
		$secret = $1 if $output =~ /^(whsec_\S+)$/m;
	}
	my $receiver = start_program($port, "$dir/output", WEBHOOK_SECRET => $secret, command => [ @command, "$dir/$file" ]);

	# The row arrives as shown, and the log has it.
	runs($database, $insert, 'Five minutes');
	my $delivered = sub { return $node->poll_query_until($database, "SELECT delivered = $_[0] FROM webhook.stat_webhooks"); };
	ok($delivered->(1), "W6: $language: the receiver accepts the request");
	is(slurp_file("$dir/output"), $shown, "W6: $language: it prints what is shown");
	like(runs($database, $log, 'Five minutes'), qr/^order\.create\|1\|204\|delivered\|00:00:\S+$/, "$language: the log shows the request");

	# The same message again is accepted and dropped.
	is(sql($database, 'SELECT webhook.redeliver(1, message_id) FROM webhook.get_webhook_log(1)'), 't', "W2: $language: it is sent again");
	ok($delivered->(2), "W2: $language: the repeat is accepted");
	is(slurp_file("$dir/output"), $shown, "W2: $language: but the work is done once");

	# Two signatures while a secret is rotated, with another message.
	sql($database, q{SELECT webhook.rotate_secret(1); UPDATE orders SET customer = 'Ada Lovelace'});
	ok($delivered->(3), "W6: $language: a request with two signatures is accepted");
	like(slurp_file("$dir/output"), qr/\A\Q$shown\E\{.*"Ada Lovelace".*\}\n\z/, "W6: $language: and the work is done");

	# Forged requests are refused.
	my $http = HTTP::Tiny->new(timeout => $PostgreSQL::Test::Utils::timeout_default);
	my $key = decode_base64($secret =~ s/^whsec_//r);
	my $post = sub {
		my ($id, $time, $body, %headers) = @_;
		my $signature = hmac_sha256_base64("$id.$time.$body", $key);

		$signature .= '=' while length($signature) % 4;
		return $http->post("http://127.0.0.1:$port/hook", { content => $body, headers => { 'webhook-id' => $id,
			'webhook-timestamp' => $time, 'webhook-signature' => "v1,$signature", %headers } })->{status};
	};
	is($post->('a', time, '{"forged":false}'), 204, "W6: $language: a signature made by this test is accepted");
	is($post->('b', time - 600, '{"forged":"old"}'), 401, "W6: $language: an old request is refused");
	is($post->('c', time + 600, '{"forged":"new"}'), 401, "W6: $language: so is one from the future");
	is($post->('d', 'soon', '{"forged":"when"}'), 401, "W6: $language: and one with a malformed timestamp");
	is($post->('e', time, '{"forged":"by"}', 'webhook-signature' => 'v1,' . 'A' x 43 . '='), 401, "W6: $language: and one with a wrong signature");
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
	print $socket "POST /hook HTTP/1.0\r\nContent-Length: 2\r\nwebhook-id: \xc3\xa4\r\nwebhook-timestamp: " . time
	  . "\r\nwebhook-signature: v1,\xc3\xa4 v1a,x  v1\r\n\r\n{}";
	like(scalar(<$socket>), qr{^HTTP/1\.[01] 401 }, "W6: $language: and one with a malformed signature");
	is($http->post("http://127.0.0.1:$port/hook", { content => '{}' })->{status}, 401, "W6: $language: and one without a signature");
	is($post->('g', time, '{"forged":false}'), 204, "W6: $language: the receiver still works");
	unlike(slurp_file("$dir/output"), qr/"forged":"/, "W6: $language: nothing forged is processed");

	$receiver->kill_kill;
	return;
}

five_minutes('python', 'receiver.py', 'python3');
SKIP:
{
	Needs::skip_block('node is not installed', 1) if system('node --version >/dev/null 2>&1');
	five_minutes('js', 'receiver.js', 'node');
}

# The receiver with the lines that unpack batches

{
	my ($program) = blocks('Five minutes', 'python');
	my ($unpacks) = blocks('Webhooks', 'python');
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $database = 'batches';

	$program =~ s/\b8080\b/$port/;
	$program =~ s/^ +if ok and.*\n.*\n.*seen\.add.*\n/$unpacks/m or fail('the receiver has lines to replace');
	$program =~ s/^import /import json, /;
	append_to_file("$dir/receiver.py", $program);
	create_database($database);
	sql($database, q{CREATE TABLE orders (id integer PRIMARY KEY); SELECT webhook.watch('orders', 'order')});
	sql($database, "SELECT webhook.create_webhook('shop', 'order.*', 'http://127.0.0.1:$port/hook', batch_size => 100, batch_wait => '1 s')");
	my $receiver = start_program($port, "$dir/output", command => [ 'python3', "$dir/receiver.py" ],
		WEBHOOK_SECRET => sql($database, 'SELECT webhook.get_secret(id) FROM webhook.webhook'));

	sql($database, 'INSERT INTO orders SELECT generate_series(1, 10)');
	ok($node->poll_query_until($database, 'SELECT delivered = 10 FROM webhook.stat_webhooks'), 'X5: the receiver accepts batches');
	my $first = slurp_file("$dir/output");
	is(join(',', map { decode_json($_)->{result}{id} } split(/\n/, $first)), '1,2,3,4,5,6,7,8,9,10', 'X5: ... and unpacks them');

	# one of the messages again, in a batch of its own, and a new one
	my $again = decode_json((split(/\n/, $first))[2])->{id};
	sql($database, "SELECT webhook.redeliver(1, '$again')");
	ok($node->poll_query_until($database, 'SELECT delivered = 11 FROM webhook.stat_webhooks'), 'X5: a repeat is accepted');
	sql($database, 'INSERT INTO orders VALUES (11)');
	ok($node->poll_query_until($database, 'SELECT delivered = 12 FROM webhook.stat_webhooks'), 'X5: ... and another message');
	like(slurp_file("$dir/output"), qr/\A\Q$first\E\{.*"id": 11\}\}\n\z/, 'X5: ... but the work is done once');
	$receiver->kill_kill;
}

# The outage on one screen: statements after the prompt, and what they return

{
	my ($screen, $bodies) = map { $_->[1] =~ /\A(.*)^The receiver gets:\n(.*)\z/ms }
	  map { @{ $_->{blocks} } } grep { $_->{title} eq 'An outage on one screen' } @{ $chapter{Failures}{sections} };
	my @steps = map { [ split(/\n/, s/ +-- .*//gmr) ] } split(/^=> /m, $screen);
	my ($create, $insert, $unfinished, $kinds, $update, $buffered, $reactivate) = @steps[ 1 .. 7 ];
	my $hook = $receiver->url('/outage');
	my $step = sub {
		my ($statement, @rows) = @{ $_[0] };

		# The number of attempts shown first changes soon.
		return $node->poll_query_until('outage', $statement, join("\n", map { s/^ +//r =~ s/ *\| */|/gr } grep { /\S/ } @rows));
	};

	create_database('outage');
	sql('outage', q{CREATE TABLE orders (id integer PRIMARY KEY, total integer); SELECT webhook.watch('orders', 'order')});
	$receiver->behave('/outage', status => 503);
	$create->[0] =~ s{'http:.*?'}{'$hook', retry_schedule => '{0,1s,1s,1s,1s,1s,1s,1s,1s,1s}'} or fail('the screen has a URL');
	$unfinished->[0] =~ s/max\(attempts\)/least(max(attempts), 5)/;
	runs('outage', $_->[0], 'An outage') foreach $create, $insert;
	ok($step->($unfinished), 'M7: the screen of an outage: the webhook is failing');
	ok($step->($kinds), 'M8: ... the notifications');
	runs('outage', $_, 'An outage') foreach ($update->[0]) x 2;
	ok($step->($buffered), 'M9: ... what is buffered');
	$receiver->behave('/outage');
	is(runs('outage', $reactivate->[0], 'An outage'), $reactivate->[1] =~ s/ //gr, 'M3: ... what will be sent');
	WebhookTest::wait_until_delivered($node, 'outage');
	is(join("\n", (reverse((reverse($receiver->bodies('/outage')))[ 0 .. 5 ])), ''), $bodies, 'M9: ... and what the receiver gets');
}

# X9: "What does my receiver expect?": a webhook for each row, as the row says, and what its receiver gets.  The function of each
# returns the headers besides those of every request, for the request and the secret.

{
	my %gets = (
		'`webhook-signature`' => sub { my ($r, $secret) = @_;
			return ('webhook-signature' => 'v1,' . hmac_sha256_base64("$r->{headers}{'webhook-id'}.$r->{headers}{'webhook-timestamp'}.$r->{body}",
				decode_base64($secret =~ s/^whsec_//r)) . '='); },
		'`X-Hub-Signature-256: sha256=…`' => sub { return ('x-hub-signature-256' => 'sha256=' . hmac_sha256_hex($_[0]{body}, $_[1])); },
		'`Stripe-Signature: t=…,v1=…`' => sub { my $time = $_[0]{headers}{'webhook-timestamp'};
			return ('stripe-signature' => "t=$time,v1=" . hmac_sha256_hex("$time.$_[0]{body}", $_[1])); },
		'`X-Shopify-Hmac-Sha256: …`' => sub { return ('x-shopify-hmac-sha256' => hmac_sha256_base64($_[0]{body}, $_[1]) . '=',
				'x-shopify-webhook-id' => $_[0]{headers}{'webhook-id'}, map { $_ => 'x' } qw(x-shopify-topic x-shopify-api-version x-shopify-shop-domain)); },
		'Debian\'s `webhook`, rule `payload-hmac-sha256`' => sub { return ('x-hub-signature-256' => 'sha256=' . hmac_sha256_hex($_[0]{body}, $_[1])); },
		'Debian\'s `webhook`, rule `payload-hmac-sha1`' => sub { return ('x-hub-signature' => 'sha1=' . hmac_sha1_hex($_[0]{body}, $_[1])); },
		'a challenge before the first message' => sub { return ('x-hub-signature-256' => 'sha256=' . hmac_sha256_hex($_[0]{body}, $_[1])); },
		'Zapier\'s *Webhooks* and Make\'s *Custom webhook*' => sub { return (); },
		'n8n\'s *Webhook* with *Header Auth*' => sub { return ('x-api-key' => 's3cr3t'); },
		'Node-RED\'s `http in`' => sub { return ('x-hub-signature-256' => 'sha256=' . hmac_sha256_hex($_[0]{body}, $_[1]), authorization => 'Basic s3cr3t'); },
		'PostgREST behind a token' => sub { return (authorization => 'Bearer s3cr3t'); },
		'HubSpot\'s API' => sub { return (authorization => 'Bearer token1'); },
		'a token, no signature' => sub { return (authorization => 'Bearer s3cr3t'); },
		'anything else' => sub { my $time = $_[0]{headers}{'webhook-timestamp'};
			return ('x-signature' => "t=$time,v=" . hmac_sha256_hex("$time.$_[0]{body}", $_[1])); });
	my $text = prose('Webhooks', 'Other signatures');
	my ($template) = $text =~ /^A template is .*?^```\n(.*?)\n```$/ms;
	my ($table) = $text =~ /^\| What does my receiver expect\? .*?\n\|---.*?\n(.*?)\n\n/ms;
	my ($asked) = prose('Webhooks', 'Challenge') =~ /^(\{.*"challenge".*\})$/m;
	my $n = 0;

	create_database('expects');
	sql('expects', q{CREATE TABLE taken (body json); CREATE FUNCTION take(json) RETURNS void LANGUAGE sql AS 'INSERT INTO taken VALUES ($1)'});
	foreach my $row (split(/\n/, $table))
	{
		my (undef, $what, $signature, $also) = split(/ *\| ?/, $row);
		my ($name) = grep { index($what, $_) == 0 } keys %gets or fail("X9: the row \"$what\" is tested"), next;
		my $headers_of = delete $gets{$name};
		my @codes = ($also // '') =~ /`([^`]*)`/g;
		my $path = ($also // '') =~ m{`…(/rpc/)`} ? "$1take" : '/expects/' . ++$n;
		my %arguments = (app => 'expects', event => 'order.done', url => $receiver->url($path));
		my @lines = $signature eq 'any' ? ('github') : $signature =~ /`([^`]*)`/ ? ($1) : ($template);
		my %headers;

		foreach my $code (@codes)
		{
			push @lines, $code if $code =~ /^[\w-]+: /;
			%headers = (%headers, %{ decode_json($1 =~ s/…/s3cr3t/r) }) if $code =~ /^headers => '(.*)'$/;
			$headers{$code} = 'x' if $code =~ /^X-Shopify-[\w-]+$/;
			$arguments{challenge} = 'true' if $code eq 'challenge => true';
		}
		$arguments{signature} = join("\n", @lines);
		$arguments{headers} = encode_json(\%headers) if %headers;
		if (grep { $_ eq 'refresh_token' } @codes)
		{
			$receiver->behave('/token', token => 3600);
			$arguments{oauth} = encode_json({ token_url => $receiver->url('/token'), grant => 'refresh_token', client_id => 'c', client_secret => 's3cr3t',
				refresh_token => 'r', (grep { $_ eq '"auth": "body"' } @codes) ? (auth => 'body') : () });
		}
		$receiver->behave($path, challenge => 'json') if $arguments{challenge};
		my $id = sql('expects', 'SELECT webhook.create_webhook(' . join(', ', map { "$_ => '" . ($arguments{$_} =~ s/'/''/gr) . "'" } sort keys %arguments) . ')');
		my $secret = sql('expects', "SELECT webhook.get_secret($id)");
		sql('expects', q{SELECT webhook.emit('order.done', '{"name": "Zürich"}')});
		ok($receiver->wait_for_count($arguments{challenge} ? 2 : 1, $path), "X9: $name: it arrives");
		my ($request) = reverse $receiver->requests($path);
		my %got = %{ $request->{headers} };
		delete @got{qw(host content-type content-length user-agent accept webhook-id webhook-timestamp)};
		is_deeply(\%got, { $headers_of->($request, $secret) }, "X9: $name: with what the row says, and nothing else");
		is("$request->{method} $request->{headers}{'content-type'}", 'POST application/json', "X9: $name: as JSON");
		is(decode_json($request->{body})->{result}{name}, "Z\x{fc}rich", "X9: $name: with the message");
		if ($arguments{challenge})
		{
			my ($question) = $receiver->requests($path);
			is($question->{body} =~ s/[0-9a-f]{32,}/…/r, $asked =~ s/5f0c\.\.\./…/r, 'X13: the question is as shown');
		}
		sql('expects', "SELECT take('" . ($request->{body} =~ s/'/''/gr) . "')") if $path =~ /take/;
		sql('expects', "SELECT webhook.delete_webhook_by_id($id)");
	}
	is(join(', ', sort keys %gets), '', 'X9: all rows are there');
	is(sql('expects', q{SELECT body #>> '{result,name}' FROM taken}), 'Zürich', 'X9: a function with one unnamed parameter of type json takes the body');
	my ($token) = $receiver->requests('/token');
	is($token->{body}, 'grant_type=refresh_token&refresh_token=r&client_id=c&client_secret=s3cr3t', 'X8: HubSpot gets the credentials in the body');
	ok(!exists $token->{headers}{authorization}, 'X8: ... and not in a header');
}

# Monitoring: the queries return nothing while all is well

{
	my @queries = blocks('Monitoring', 'sql');

	is(scalar(@queries), 3, 'there are three queries for monitoring');
	foreach my $query (@queries)
	{
		ok($node->poll_query_until('five_python', $query, ''), "W12: nothing is wrong: $query");
	}
	$node->append_conf('postgresql.conf', 'webhook.dispatch = off');
	$node->reload;
	ok($node->poll_query_until('five_python', $queries[0] =~ s/\*/activity/r, 'paused'), 'W12: dispatch is off, and the query shows it');
	my ($worker) = blocks('Troubleshooting', 'sql');
	like(runs('five_python', $worker, 'Troubleshooting'), qr/^served\|paused\|\d+\|\|$/, 'W12: so does the first query of Troubleshooting');
}

# All other examples, chapter by chapter, each in a database with its own tables; webhook 1 exists in each section

my $tables = q{
	CREATE TABLE orders (id integer PRIMARY KEY, order_number text, shop text, customer text, total numeric, card_token text,
		cancelled_at timestamptz);
	CREATE TABLE order_line (id integer PRIMARY KEY, order_id integer REFERENCES orders);
	CREATE TABLE customer (id integer PRIMARY KEY, name text);
	CREATE VIEW order_view AS SELECT id, customer FROM orders;
	CREATE TABLE shipment (id integer, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
	CREATE SCHEMA "Box ""office""";
	CREATE TABLE "Box ""office"""."Gäste (2025)" (id integer PRIMARY KEY, "select" text, "Über ""uns""" text);
	INSERT INTO orders VALUES (1, 'N1', 'Berlin', 'Ada', 99.90);
	GRANT SELECT ON orders TO app;
	SELECT webhook.watch('orders', 'order');
};
my $webhook = q{
	DO $$ BEGIN
		PERFORM webhook.watch('orders', 'order');
		IF NOT EXISTS (SELECT FROM webhook.webhook WHERE id = 1) THEN
			PERFORM setval('webhook.webhook_id_seq', 1, false);
			PERFORM webhook.create_webhook('shop', 'order.*', 'https://shop.example.com/hook');
			PERFORM setval('webhook.webhook_id_seq', max(id)) FROM webhook.webhook;
		END IF;
	END $$;
};
my %tried = map { $_ => 1 } ('', 'Five minutes', 'Monitoring', 'Appendix: grants');
my @elsewhere;		# need what is not here

sql('postgres', 'CREATE ROLE app; CREATE ROLE monitor; CREATE ROLE operator; CREATE ROLE organiser; CREATE ROLE gateway; CREATE ROLE cashier');
foreach my $n (grep { !$tried{ $chapters[$_]{title} } } 0 .. $#chapters)
{
	my ($title, $database, $copies) = ($chapters[$n]{title}, "chapter_$n", 0);

	next unless blocks($title, 'sql');
	if ($title eq 'Install')
	{
		sql('postgres', "CREATE DATABASE $database");
	}
	else
	{
		create_database($database);
		sql($database, $tables);
	}
	foreach my $section (@{ $chapters[$n]{sections} })
	{
		sql($database, $webhook) unless $title eq 'Install';
		foreach my $script (map { $_->[1] } grep { $_->[0] eq 'sql' } @{ $section->{blocks} })
		{
			my $where = $title . ($section->{title} ne '' ? ", $section->{title}" : '');

			if ($script =~ /partman|CREATE SUBSCRIPTION/)
			{
				push @elsewhere, $script;
			}
			elsif ($script =~ /webhook\.adopt/)
			{
				my $copy = "${database}_copy_" . ++$copies;

				sql('postgres', "CREATE DATABASE $copy TEMPLATE $database");
				runs($copy, $script, $where);
			}
			else
			{
				runs($database, $script, $where);
			}
		}
	}
}
sql('postgres', 'ALTER SYSTEM RESET webhook.history_retention');
$node->reload;
$node->poll_query_until('postgres', q{SELECT current_setting('webhook.history_retention') = '0'}) or fail('the history is off again');
is(scalar(@elsewhere), 2, 'two examples need pg_partman or another server') or diag(@elsewhere);
runs('five_python', $_, 'Appendix: grants') foreach blocks('Appendix: grants', 'sql');

# The reference against the catalog: the same objects

sub compare
{
	my ($shown, $there, $what) = @_;

	is(join("\n", sort @$shown), join("\n", sort @$there), "the README's $what are those of the catalog");
	return;
}

# A default as the README shows it.
my $normal = q{regexp_replace(regexp_replace(%s, 'webhook\.function_name', 'text', 'g'), '::[a-z ]+(\[\])?', '', 'g')};
my $functions = prose('Reference', 'Functions');
my @rows = $functions =~ /^\| `(.*?)` \|/mg;
my ($own) = $functions =~ /serve the extension itself: (.*)/s;
my %own = map { $_ => 1 } $own =~ /`(\w+)`/g;
my $of_ours = q{FROM pg_proc AS p WHERE pronamespace = 'webhook'::regnamespace};

compare([ (map { /^(\w+)\(/ } @rows), keys %own ], [ split(/\n/, sql('first', "SELECT proname $of_ours")) ], 'functions');
compare(
	[ grep { !/^create_webhook\(/ } @rows ],
	[ grep { !/^create_webhook\(/ && /^(\w+)/ && !$own{$1} } split(/\n/, sql('first', sprintf(q{
		SELECT proname || '(' || replace(} . $normal . q{, ' DEFAULT ', ' = ') || ') → ' ||
			CASE WHEN proretset THEN (SELECT '(' || string_agg(name, ', ' ORDER BY n) || ')'
					FROM unnest(proargnames, proargmodes::text[]) WITH ORDINALITY AS a (name, mode, n) WHERE mode IN ('t', 'o'))
				ELSE prorettype::regtype::text END } . $of_ours, 'pg_get_function_arguments(oid)'))) ],
	'signatures');

my $properties = prose('Webhooks', 'Properties');
is( join("\n", map { join(' ', grep { $_ ne '' } (split(/ ?\| ?/))[ 1 .. 3 ]) =~ s/`//gr } grep { /^\| `/ } split(/\n/, $properties)),
	sql('first', q{SELECT string_agg(replace(a, ' DEFAULT', ''), E'\n' ORDER BY n) FROM } . sprintf(
		"regexp_split_to_table($normal, ', ') WITH ORDINALITY AS t (a, n)",
		"(SELECT pg_get_function_arguments(oid) $of_ours AND proname = 'create_webhook')")),
	'the properties of a webhook are the arguments of create_webhook(), in this order');
my ($capture) = prose('Capture') =~ /(\| argument of `watch`.*?)\n\n/s;
is(join(' ', map { /`(\w+)`/g } map { /^\|([^|]*)\|/ } grep { /^\| `/ } split(/\n/, $capture)),
	sql('first', "SELECT array_to_string(proargnames[3:], ' ') $of_ours AND proname = 'watch'"),
	'all optional arguments of watch() are explained');

# Views and tables for users are those whose columns have comments.
compare(
	[ map { s/[`|]//gr =~ s/\s+/ /gr } prose('Reference', 'Views and tables') =~ /^\| (`\w+` \| .*) \|$/mg ],
	[ split(/\n/, sql('first', q{
		SELECT c.relname || ' ' || string_agg(attname, ', ' ORDER BY attnum) FROM pg_class AS c JOIN pg_attribute AS a ON attrelid = c.oid
		WHERE relnamespace = 'webhook'::regnamespace AND relkind IN ('r', 'v') AND attnum > 0 AND NOT attisdropped
		  AND EXISTS (SELECT FROM pg_description AS d WHERE d.objoid = c.oid AND classoid = 'pg_class'::regclass AND objsubid > 0)
		GROUP BY c.oid})) ],
	'views');

my $settings = prose('Reference', 'Settings');
my @settings;
push @settings, "$1 " . ($2 eq "''" ? '' : $2) while $settings =~ /^\| `(webhook\.\w+)` \| `(.*?)` \|/mg;
compare(\@settings, [ split(/\n/, sql('first', q{
	SELECT name || ' ' || CASE vartype WHEN 'string' THEN boot_val WHEN 'bool' THEN boot_val ELSE current_setting(name) END
	FROM pg_settings WHERE name LIKE 'webhook.%'})) ], 'settings');
my ($restart) = $settings =~ /^(.*) needs? a restart/m;
compare([ $restart =~ /`([\w.]+)`/g ], [ split(/\n/, sql('first', q{SELECT name FROM pg_settings WHERE name LIKE 'webhook.%' AND context = 'postmaster'})) ],
	'settings that need a restart');

# Commands

my ($goals) = slurp_file("$top/Makefile") =~ /^own_goals = help ((?:.*\\\n)*.*)/m;
is_deeply([ grep { index($readme, "`make $_`") < 0 } grep { $_ ne '\\' } split(' ', $goals) ], [], 'all goals of the Makefile are in the README');

# Links

my %anchors = map { ('#' . lc($_ =~ s/[^\w -]//gr =~ s/ /-/gr)) => 1 } $readme =~ /^##+ (.*)/mg;
is_deeply([ grep { !$anchors{$_} } $readme =~ /\]\((#.*?)\)/g ], [], 'all links lead to chapters');
is_deeply([ grep { !-e "$top/$_" } grep { !/^https:/ } $readme =~ /\]\(([^#].*?)\)/g ], [], '... and to files');

done_testing();
