# Secrets in the database appear nowhere: neither in the log of requests nor in errors, statistics or the server's log.
#
# Mission: W14, W6, X8, X9, X13, X15.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql);

# The server logs everything except users' statements, which may contain anything.
my $node = WebhookTest::start_node('secrets', 'log_statement = none', 'log_min_error_statement = panic',
	'log_min_messages = debug2', "webhook.timeout = '2s'");
my $receiver = WebhookTest::Receiver->start;
my $secret = 'whsec_' . 'czNjcjN0' x 4;		# "s3cr3t" again and again
my $anywhere = qr/s3cr3t|czNjcjN0/;

sub create
{
	my ($path, %more) = @_;

	return WebhookTest::create_webhook($node, app => "'app'", event => "'thing.done'", url => "'$path'", secret => "'$secret'",
		headers => q('{"Authorization": "Bearer s3cr3t", "X-Key": "s3cr3t"}'), %more);
}

sub log_of
{
	my ($id) = @_;

	$node->poll_query_until('postgres', "SELECT count(*) > 0 FROM webhook.get_webhook_log($id)") or BAIL_OUT('no log');
	return sql("SELECT string_agg(l::text, '') FROM webhook.get_webhook_log($id) l");
}

sql(q{CREATE ROLE other; GRANT USAGE ON SCHEMA webhook TO other; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA webhook TO other;
	GRANT SELECT ON webhook.stat_webhooks, webhook.stat_workers, webhook.undelivered, webhook.withheld TO other;
	CREATE TABLE thing (id integer PRIMARY KEY); SELECT webhook.watch('thing', 'thing')});

# The argument of a webhook whose token server is the receiver.
sub oauth
{
	my ($path) = @_;

	return q('{"grant": "refresh_token", "client_id": "shop", "client_secret": "s3cr3t", "refresh_token": "s3cr3t-0", "token_url": ")
	  . $receiver->url($path) . q("}');
}

# While a request is in flight

my $id = create($receiver->url('/held'));
$receiver->behave('/held', hold => 1);
sql(q{SELECT webhook.emit('thing.done', '{}')});
ok($receiver->wait_for_count(1, '/held'), 'a request is in flight');
is(($receiver->requests('/held'))[0]{headers}{authorization}, 'Bearer s3cr3t', 'W14: it contains the secret');
unlike(sql(q{SELECT string_agg(a::text, '') FROM pg_stat_activity AS a WHERE backend_type LIKE 'webhook%'}), $anywhere,
	'W14: pg_stat_activity does not show it');
$receiver->behave('/held');
WebhookTest::wait_until_delivered($node);

# In the log of requests, successful or not

my @ids = ($id, create('http://127.0.0.1:1/'), create($receiver->url('/status/503')), create($receiver->url('/reset')),
	create('https://127.0.0.1:' . $receiver->port . '/tls'), create('http://nowhere.invalid/'),
	create($receiver->url('/hang')), create($receiver->url('/asked'), handshake => 'true'),
	create($receiver->url('/signed'), signature => q(E'github\nX-Sig: {hmac_sha1_hex:{url}{body}}'), secret => q('a s3cr3t text')),
	create($receiver->url('/challenged'), signature => q('stripe'), secret => q('a s3cr3t text'), challenge => 'true'));
$receiver->behave('/reset', reset => 1);
$receiver->behave('/hang', hang => 'headers');
sql(q{SELECT webhook.emit('thing.done', '{}')});
foreach my $webhook (@ids)
{
	my $log = log_of($webhook);

	unlike($log, $anywhere, "W14: nor does the log of webhook $webhook") or diag($log);
	like($log, qr/Authorization: \*\*\*/, 'W14: which shows that there is one');
}

# In requests to a token server, and its responses

my %answers = (
	'/granted' => { body => '{"access_token": "s3cr3t-a", "refresh_token": "s3cr3t-1"}' },
	'/denied' => { status => 400, body => '{"error": "s3cr3t", "error_description": "the secret s3cr3t is wrong"}', location => '/s3cr3t' },
	'/invalid' => { body => '{"access_token": "s3cr3t', headers => 10 },
	'/no-server' => { reset => 1 });
foreach my $path (sort keys %answers)
{
	$receiver->behave($path, %{ $answers{$path} });
	my $webhook = create($receiver->url('/api'), headers => q('{"X-Key": "s3cr3t"}'), oauth => oauth($path), event => "'thing.token'");

	push @ids, $webhook;
	sql(q{SELECT webhook.emit('thing.token', '{}')});
	my $log = log_of($webhook);
	unlike($log, $anywhere, "W14: $path: nor does the log of tokens") or diag($log);
	$path eq '/granted' ? like($log, qr/Authorization: \*\*\*/, 'W14: which shows that there is one')
	  : like($log, qr/no access token/, "W14: $path: which shows that there is none");
}
is(($receiver->requests('/api'))[0]{headers}{authorization}, 'Bearer s3cr3t-a', 'X8: the granted token is sent');
$node->poll_query_until('postgres', "SELECT count(*) >= 3 FROM webhook.notification WHERE kind = 'oauth'") or BAIL_OUT('no notification');
is(sql('SELECT token FROM webhook.refresh_token'), 's3cr3t-1', 'X8: a refresh token is saved');
my ($status, $stdout, $stderr) = $node->psql('postgres', 'SET ROLE other; SELECT * FROM webhook.refresh_token');
like($stderr, qr/permission denied/, 'W14: which no role can read');
foreach my $what ('webhook.get_webhooks()', 'webhook.stat_webhooks', 'webhook.undelivered', 'webhook.notification', 'webhook.stat_workers')
{
	unlike(sql("SELECT string_agg(x::text, '') FROM $what AS x"), $anywhere, "W14: nor does $what");
}
unlike(sql('SELECT webhook.export_config()'), $anywhere, 'X15: nor does a document, unless secrets are requested');
my $other_secret = q[jsonb_set(webhook.export_config(), '{webhooks,0}', webhook.export_config() #> '{webhooks,0}' || '{"secret": "s3cr3t 2"}')];
my ($changed) = $node->psql('postgres', "SELECT * FROM webhook.apply_config($other_secret)", stderr => \my $refusal);
like($refusal, qr/ERROR:  webhooks\[0\]: invalid value for argument "secret"/, 'X15: an invalid secret in a document is refused');
unlike($refusal =~ s/^LINE.*//msr, $anywhere, 'X15: and not shown in the error');
unlike(sql(q[SELECT string_agg(d::text, '') FROM webhook.apply_config(replace(webhook.export_config(true)::text, 'Bearer s3cr3t', 'Basic s3cr3t')::jsonb, true) AS d]),
	$anywhere, 'X15: nor in the result of a dry run');
unlike(sql("SET ROLE other; SELECT string_agg(x::text, '') FROM pg_stat_activity AS x"), $anywhere, 'W14: nor in the activity of others');
is(sql("SET ROLE other; SELECT count(*) FROM webhook.get_webhook_log($id)"), 0, 'W14: nor in the log of others');

# In errors, whatever is wrong with the secret or with other arguments

my %refusals = (
	'a secret that is none' => [ "secret => 's3cr3t'", '22023' ],
	'one that is too short' => [ "secret => 'whsec_czNjcjN0'", '22023' ],
	'one in bad base64' => [ "secret => 'whsec_czNjcjN0!czNjcjN0'", '22023' ],
	'a text with a line break' => [ q(signature => 'github', secret => E's3cr3t\n'), '22023' ],
	'a text with Standard Webhooks' => [ q(signature => E'github\nstandard', secret => 's3cr3t'), '22023' ],
	'a private key that is none' => [ "secret => 'whsk_czNjcjN0'", '22023' ],
	'a header with a line break' => [ q(headers => '{"Authorization": "Bearer s3cr3t\\r\\nHost: x"}'), '22023' ],
	'a header that is no string' => [ q(headers => '{"Authorization": ["s3cr3t"]}'), '22023' ],
	'a client secret with a line break' => [ q(oauth => '{"token_url": "https://h/", "grant": "client_credentials", "client_id": "a", "client_secret": "s3cr3t\\n"}'), '22023' ],
	'a client secret without a grant' => [ q(oauth => '{"token_url": "https://h/", "client_id": "a", "client_secret": "s3cr3t"}'), '22023' ],
	'a refresh token that is no string' => [ q(oauth => '{"refresh_token": ["s3cr3t"]}'), '22023' ],
	'a password in a token URL' => [ q(oauth => '{"token_url": "https://a:s3cr3t@h/"}'), '22023' ],
	'no object' => [ q(headers => '["s3cr3t"]'), '22023' ],
	'a key that is none' => [ "client_cert => 's3cr3t', client_key => 's3cr3t'", '22023' ],
	'a key of another kind' => [ "client_key => '-----BEGIN s3cr3t----- -----END'", '22023' ],
	'something else that is wrong' => [ "secret => '$secret', method => 'TRACE'", '22023' ]);
foreach my $what (sort keys %refusals)
{
	my ($arguments, $sqlstate) = @{ $refusals{$what} };
	my ($status, $stdout, $stderr) = $node->psql('postgres',
		"\\set VERBOSITY verbose\nSELECT webhook.create_webhook('a', 'b.c', 'https://example.com/', $arguments)");

	# psql repeats the line of the statement for errors of syntax only.
	like($stderr, qr/ERROR:  $sqlstate/, "R6: $what is refused");
	unlike($stderr, $anywhere, "W14: $what is not shown in the error");
}

# In the server's log, at a verbose level

sql("SELECT webhook.rotate_secret($id)");
sql('SELECT pg_terminate_backend(pid, 60000) FROM webhook.stat_workers WHERE pid IS NOT NULL');
sql("SELECT webhook.update_webhook($id, '{\"headers\": {\"X\": \"s3cr3t\"}}')");
sql(q{SELECT webhook.emit('thing.done', '{}')});
ok($receiver->wait_for_count(3, '/held'), 'the worker goes on');
my @lines = grep { /$anywhere/ } split(/\n/, slurp_file($node->logfile));
is(join("\n", @lines), '', 'W14: no secret is in the server log');

done_testing();
