# Mutual TLS with a receiver that requires it, configured in SQL; secrets in files.
#
# Mission: I18, R3, W9, W14, X16.

use strict;
use warnings;

use JSON::PP;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(becomes sql);

my $dir = PostgreSQL::Test::Utils::tempdir();

sub openssl
{
	my ($command) = @_;

	system("cd '$dir' && openssl $command >openssl.log 2>&1") == 0
	  or die "openssl $command: " . slurp_file("$dir/openssl.log");
	return;
}

sub key_options
{
	return '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes';
}

sub make_ca
{
	my ($name) = @_;

	openssl("req -x509 " . key_options() . " -keyout $name.key -out $name.crt -subj '/CN=$name' -days 2 "
		  . "-addext 'basicConstraints=critical,CA:TRUE'");
	return;
}

sub make_certificate
{
	my ($name, $ca, $validity, $names) = @_;

	WebhookTest::make_certificate($dir, $name, $ca, $validity, "subjectAltName=$names");
	return;
}

make_ca('ca');
make_ca('foreign');
make_certificate('server', 'ca', 'valid', 'IP:127.0.0.1');
make_certificate('late', 'ca', 'expired', 'IP:127.0.0.1');
make_certificate('elsewhere', 'ca', 'valid', 'DNS:elsewhere.test');
make_certificate('client', 'ca', 'valid', 'DNS:client');
make_certificate('expired', 'ca', 'expired', 'DNS:client');
make_certificate('stranger', 'foreign', 'valid', 'DNS:client');

my $secrets = "$dir/secrets";
mkdir($secrets) or die $!;
my $node = WebhookTest::start_node('tls', "webhook.secrets_directory = '$secrets'", 'webhook.timeout = 10s');

sub tls
{
	my ($name) = @_;

	return [ "$dir/$name.crt", "$dir/$name.key" ];
}

my $plain = WebhookTest::Receiver->start;
my $one_way = WebhookTest::Receiver->start(tls => tls('server'));
my $two_way = WebhookTest::Receiver->start(tls => tls('server'), client_ca => "$dir/ca.crt");
my $late = WebhookTest::Receiver->start(tls => tls('late'));
my $elsewhere = WebhookTest::Receiver->start(tls => tls('elsewhere'));

sub pem
{
	my ($file) = @_;

	return "'" . slurp_file("$dir/$file") . "'";
}

# The outcome of a message sent to a receiver with these arguments, and the error.
my $n = 0;

sub send_to
{
	my ($receiver, %arguments) = @_;
	my $name = 'tls.n' . ++$n;
	my $id = WebhookTest::create_webhook($node,
		app => "'$name'", event => "'$name'", url => "'" . $receiver->url("/$name") . "'",
		retry_schedule => "'{0}'", %arguments);

	sql("SELECT webhook.emit('$name', '{}')");
	WebhookTest::wait_until_delivered($node);
	$node->poll_query_until('postgres', "SELECT count(*) > 0 FROM webhook.get_webhook_log($id)") or BAIL_OUT('no log');
	return sql("SELECT outcome || ' ' || coalesce(error, '') FROM webhook.get_webhook_log($id)");
}

my %client = (ca_cert => pem('ca.crt'), client_cert => pem('client.crt'), client_key => pem('client.key'));

# A libcurl without OpenSSL does not support certificates per webhook, and the error says so

my ($status, $probe, $refusal) = $node->psql('postgres',
	"SELECT webhook.create_webhook('probe', 'probe', 'http://127.0.0.1:9/', ca_cert => " . pem('ca.crt') . ')',
	extra_params => [ '-v', 'VERBOSITY=verbose' ]);
my $warned = slurp_file($node->logfile) =~ /WARNING: +webhooks with certificates cannot be served/;

if ($status != 0)
{
	like($refusal, qr/ERROR:  0A000: argument "ca_cert" is not supported with this libcurl\nDETAIL: .*\nHINT: .*OpenSSL/,
		'I18: certificates are refused');
	ok($warned, 'I18: with a warning when the server starts');
	my $stored = sql("SELECT webhook.create_webhook('probe', 'stored', '", $plain->url('/'), "', retry_schedule => '{0}')");
	sql("UPDATE webhook.webhook SET client_cert = 'x', client_key = 'x' WHERE id = $stored");
	sql("SELECT webhook.emit('stored', '{}')");
	ok($node->poll_query_until('postgres', "SELECT outcome = 'invalid' FROM webhook.get_webhook_log($stored)"),
		'I18: webhooks with a stored certificate are sent nothing without it');
	is(scalar($plain->requests), 0, 'I18: not even in the first attempt');
	done_testing();
	exit;
}
ok(!$warned, 'I18: there is no warning about a libcurl that supports certificates');
sql("SELECT webhook.delete_webhook_by_id($probe)");

# The receiver's certificate

like(send_to($one_way), qr/^tls .*certificate/, 'R3: a certificate of an unknown authority is refused');
like(send_to($one_way, ca_cert => pem('ca.crt')), qr/^delivered/, 'I18: and accepted for the webhook with that authority');
like(send_to($one_way), qr/^tls /, 'I18: and for no other webhook');
like(send_to($one_way, ca_cert => pem('foreign.crt')), qr/^tls /, 'I18: nor for a webhook with another authority');
like(send_to($late, ca_cert => pem('ca.crt')), qr/^tls .*expired/, 'R3: an expired certificate is refused');
like(send_to($elsewhere, ca_cert => pem('ca.crt')), qr/^tls .*name/, 'R3: a certificate for another host is refused');

# The webhook's certificate

like(send_to($two_way, %client), qr/^delivered/, 'I18: a request with a client certificate is accepted');
unlike(send_to($two_way, ca_cert => pem('ca.crt')), qr/^delivered/, 'I18: one without is not');
like(send_to($two_way, %client), qr/^delivered/, 'I18: with it again, it is');
unlike(send_to($two_way, %client, client_cert => pem('expired.crt'), client_key => pem('expired.key')),
	qr/^delivered/, 'I18: with an expired one it is not');
unlike(send_to($two_way, %client, client_cert => pem('stranger.crt'), client_key => pem('stranger.key')),
	qr/^delivered/, 'I18: nor with one of another authority');
like(send_to($two_way, %client, client_key => pem('server.key')), qr/^tls /, 'I18: nor with the key of another certificate');
is(scalar($two_way->requests), 2, 'I18: the receiver has seen two requests');
unlike(sql("SELECT string_agg(w::text, ' ') FROM webhook.get_webhooks() w"), qr/PRIVATE KEY/, 'W14: keys are not shown');

# The log shows what libcurl reports about the connection

{
	my $fresh = WebhookTest::Receiver->start(tls => tls('server'));
	my $id = WebhookTest::create_webhook($node, app => q('detail'), event => q('detail'), ca_cert => pem('ca.crt'),
		url => "'" . $fresh->url('/detail') . "'");
	my $detail = "SELECT messages, remote_address, http_version, dns_time <= connect_time AND connect_time < tls_time
		AND tls_time < first_byte_time AND first_byte_time <= duration,
		connect_time = '0' AND tls_time = '0' AND dns_time = '0' AND first_byte_time > '0' FROM webhook.get_webhook_log($id) LIMIT 1";

	sql("SELECT webhook.emit('detail', '1')");
	becomes($detail, '1|127.0.0.1|1.1|t|f', 'X16: a new connection');
	sql("SELECT webhook.emit('detail', '2')");
	becomes("SELECT count(*) FROM webhook.get_webhook_log($id)", 2, 'X16: the second request');
	is(sql($detail), '1|127.0.0.1|1.1|f|t', 'X16: uses the same connection');

	my $refused = PostgreSQL::Test::Cluster::get_free_port();
	$id = sql("SELECT webhook.create_webhook('detail', 'refused', 'http://127.0.0.1:$refused/')");
	sql("SELECT webhook.emit('refused', '1')");
	becomes("SELECT outcome, messages, remote_address, http_version, tls_time, first_byte_time FROM webhook.get_webhook_log($id) LIMIT 1",
		'refused|1||||', 'X16: no connection');
	sql("SELECT webhook.delete_webhook_by_id($id)");
}

# TLS 1.1 and older are not used

SKIP:
{
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $out = "$dir/s_server.log";
	append_to_file($out, '');
	my $pid = open(my $server, '|-',
		"cd '$dir' && exec openssl s_server -accept 127.0.0.1:$port -cert server.crt -key server.key -tls1_1 "
		  . "-cipher 'ALL:\@SECLEVEL=0' -www >'$out' 2>&1") or die $!;
	foreach (1 .. 100)
	{
		last if slurp_file($out) =~ /ACCEPT/ || !kill(0, $pid);
		select(undef, undef, undef, 0.05);
	}
	skip 'this OpenSSL has no TLS 1.1', 1 unless slurp_file($out) =~ /ACCEPT/;

	my $old = bless { host => '127.0.0.1', scheme => 'https', port => $port }, 'WebhookTest::Receiver';
	like(send_to($old, ca_cert => pem('ca.crt')), qr/^tls .*(version|protocol)/i, 'I18: TLS 1.1 is refused');
	kill('TERM', $pid);
	delete $old->{port};
}

# Secrets in files

sub put
{
	my ($name, $content) = @_;

	unlink("$secrets/$name");
	append_to_file("$secrets/$name", $content);
	return;
}

sql('CREATE ROLE alice; CREATE ROLE bob; CREATE ROLE team; GRANT team TO alice;
	 GRANT USAGE ON SCHEMA webhook TO PUBLIC; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA webhook TO PUBLIC;');
mkdir("$secrets/$_") foreach qw(alice bob team);
put('alice/token', "Bearer s3cr3t\n");
put('alice/whsec', "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
put('team/token', "of the team\n");
put('bob/token', "of bob\n");
put("alice/$_", slurp_file("$dir/$_")) foreach qw(ca.crt client.crt client.key);
put('alice/split', "a\r\nHost: evil\n");
symlink("$dir/ca.key", "$secrets/alice/outside");

sub as_alice
{
	my ($receiver, $path, %arguments) = @_;
	my $list = join(', ', map { "$_ => $arguments{$_}" } sort keys %arguments);
	my $id = sql("SET ROLE alice; SELECT webhook.create_webhook('alice', 'file.$path', '" . $receiver->url("/$path")
		  . "', retry_schedule => '{0}', $list)");

	sql("SELECT webhook.emit('file.$path', '{}')");
	WebhookTest::wait_until_delivered($node);
	$node->poll_query_until('postgres', "SELECT count(*) > 0 FROM webhook.get_webhook_log($id)") or BAIL_OUT('no log');
	return $id;
}

sub log_of
{
	my ($id) = @_;

	return sql("SELECT l::text FROM webhook.get_webhook_log($id) l LIMIT 1");
}

my $id = as_alice($plain, 'header', headers => q('{"Authorization": "file:alice/token", "X-Team": "file:team/token"}'),
	secret => q('file:alice/whsec'));
my ($request) = $plain->requests('/header');
is($request->{headers}{authorization}, 'Bearer s3cr3t', 'W14: the value of a header is read from a file');
is($request->{headers}{'x-team'}, 'of the team', 'W14: also from a directory of a role that the owner is a member of');
like($request->{headers}{'webhook-signature'}, qr/^v1,\S{44}$/, 'W6: so is the signing secret');
unlike(log_of($id), qr/s3cr3t|of the team/, 'W14: the log does not show it');
unlike(sql('SELECT w::text FROM webhook.webhook w'), qr/s3cr3t|of the team|MfKQ9r8/, 'W14: it is not in the database');
is(sql("SET ROLE alice; SELECT webhook.get_secret($id)"), 'file:alice/whsec', 'W6: the owner sees the name of the file');

put('alice/token', 'Bearer n3w');
$node->reload;
ok($plain->wait_for(sub { sql("SELECT webhook.emit('file.header', '{}')"); (grep { ($_->{headers}{authorization} // '') eq 'Bearer n3w' } @_) > 0 }),
	'W14: a reload reads the files again');

as_alice($two_way, 'keys', ca_cert => q('file:alice/ca.crt'), client_cert => q('file:alice/client.crt'),
	client_key => q('file:alice/client.key'));
is(scalar($two_way->requests('/keys')), 1, 'I18: certificates and keys are read from files');

like(log_of(as_alice($plain, 'missing', headers => q('{"X": "file:alice/missing"}'))),
	qr/invalid.*|could not read file/, 'W14: a missing file is an error');
like(log_of(as_alice($plain, 'outside', headers => q('{"X": "file:alice/outside"}'))),
	qr/could not read file/, 'W14: so is a link that leads out of the directory');

# Other things where a file is expected

put('alice/zero', "Bearer z3ro\0more");
put('alice/huge', 'h' x (256 * 1024 + 1));
put('alice/locked', 'Bearer l0cked');
chmod(0, "$secrets/alice/locked");
mkdir("$secrets/alice/directory");
POSIX::mkfifo("$secrets/alice/pipe", 0600) or die $!;
symlink('../bob/token', "$secrets/alice/theirs") or die $!;
symlink('../bob', "$secrets/alice/their_directory") or die $!;
symlink('loop', "$secrets/alice/loop") or die $!;
symlink("$secrets/team/token", "$secrets/alice/ours") or die $!;
foreach my $case ([ 'zero', 'contains a NUL byte' ], [ 'huge', 'Invalid argument' ], [ 'directory', 'Invalid argument' ],
	[ 'pipe', 'Invalid argument' ], [ 'locked', 'Permission denied' ], [ 'token/x', 'Not a directory' ], [ 'theirs', 'Permission denied' ],
	[ 'their_directory/token', 'Permission denied' ], [ 'loop', 'Too many levels' ], [ 'outside', 'Permission denied' ])
{
	my ($name, $error) = @$case;

	like(log_of(as_alice($plain, 'odd', headers => qq('{"X": "file:alice/$name"}'))), qr{alice/$name"+:? $error},
		"W14: a file that cannot be used: $name");
}
is(scalar($plain->requests('/odd')), 0, 'W14: none of these requests was sent');
as_alice($plain, 'ours', headers => q('{"X-Team": "file:alice/ours"}'));
is(($plain->requests('/ours'))[0]{headers}{'x-team'}, 'of the team', 'W14: a link to a file that the role may use is followed');

like(log_of(as_alice($plain, 'split', headers => q('{"X": "file:alice/split"}'))), qr/line break/, 'R6: a file with a line break for a header is refused');
like(log_of(as_alice($plain, 'unsigned', secret => q('file:alice/token'))), qr/secret: /, 'W6: a file with an invalid secret is refused');
is(scalar(grep { $_->{path} !~ m{^/(header|ours)$} } $plain->requests), 0, 'W6, R6: none of these requests was sent');

foreach my $name ('bob/token', 'token', 'alice/../bob/token', '/etc/passwd', 'alice//token', '../alice/token', 'alice/', '.', '')
{
	WebhookTest::fails_with($node,
		qq(SET ROLE alice; SELECT webhook.create_webhook('x', 'x.y', 'http://h/', headers => '{"X": "file:$name"}')),
		'22023', 'argument "headers"', "W14: file name '$name' is refused");
}
WebhookTest::fails_with($node, "SET ROLE alice; SELECT webhook.create_webhook('x', 'x.y', 'http://h/', secret => 'file:bob/s')",
	'22023', 'argument "secret"', 'W14: nor as a secret');
WebhookTest::fails_with($node, "SET ROLE alice; SET webhook.secrets_directory = '/'", '55P02', 'cannot be changed now',
	'W14: only the administrator sets the directory');
WebhookTest::fails_with($node, 'SET ROLE alice; SHOW webhook.secrets_directory', '42501', 'must be superuser|permission denied',
	'W14: or sees it in the settings');

unlike(slurp_file($node->logfile), qr/s3cr3t|n3w|of the team|z3ro|l0cked/, 'W14: nothing of it is in the server log');

done_testing();
