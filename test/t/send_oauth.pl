# Webhooks whose receivers want an access token: how it is requested, renewed and saved, and what happens when there is none.
#
# Mission: X8; M7, M8, X5, X13, W7, W9, E6 and W1 with tokens.

use strict;
use warnings;

use JSON::PP;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql emit becomes let_pass kill_worker end_test);

my $secrets = PostgreSQL::Test::Utils::tempdir();
my $node = WebhookTest::start_node('oauth', "webhook.timeout = '3s'", 'restart_after_crash = on', "webhook.secrets_directory = '$secrets'");
my $receiver = WebhookTest::Receiver->start;
my $server = WebhookTest::Receiver->start;

# The argument, with the token server's path.
sub oauth
{
	my ($path, %more) = @_;
	my %settings = (token_url => $server->url($path), grant => 'client_credentials', client_id => 'shop', client_secret => 's3cr3t', %more);

	delete $settings{$_} foreach grep { !defined $settings{$_} } keys %settings;
	return "'" . JSON::PP->new->canonical->ascii->encode(\%settings) . "'";
}

# The same with a refresh token.
sub refreshing
{
	my ($path, %more) = @_;

	return oauth($path, grant => 'refresh_token', refresh_token => 'refresh0', %more);
}

# "token1 token1", what was sent to a path of the receiver.
sub tokens
{
	my ($path) = @_;

	return join(' ', map { ($_->{headers}{authorization} // 'none') =~ s/^Bearer //r } $receiver->requests($path));
}

sub last_log
{
	my ($id) = @_;

	return "SELECT method, outcome, status, error FROM webhook.get_webhook_log($id) LIMIT 1";
}

# One request for a token, however many deliveries and webhooks wait for it

$server->behave('/token', token => 3600, delay => 300);
my $one = $receiver->webhook('/a', oauth => oauth('/token', scope => 'send all'), ordering => "'none'");
my $other = $receiver->webhook('/b', oauth => oauth('/token', scope => 'send all'), ordering => "'none'");
sql("SELECT webhook.emit('thing.done', jsonb_build_object('n', n)) FROM generate_series(1, 50) AS n");
WebhookTest::wait_until_delivered($node);
is(tokens($_), join(' ', ('token1') x 50), "X8: every delivery to $_ has the token") foreach qw(/a /b);
is($server->count('/token'), 1, 'X8: which was requested once');
my ($request) = $server->requests('/token');
is($request->{method}, 'POST', 'X8: by POST');
is($request->{body}, 'grant_type=client_credentials&scope=send%20all', 'X8: with the grant and the scope');
is($request->{headers}{authorization}, 'Basic ' . encode_base64('shop:s3cr3t', ''), 'X8: and the credentials in a header');
is($request->{headers}{'content-type'}, 'application/x-www-form-urlencoded', 'X8: as a form');
like(sql("SELECT string_agg(request_headers, '') FROM webhook.get_webhook_log($one)"), qr/Authorization: \*\*\*/, 'W14: the log hides it');
is(sql("SELECT oauth FROM webhook.get_webhooks() WHERE id = $one"),
	'{"grant": "client_credentials", "scope": "send all", "client_id": "shop", "token_url": "' . $server->url('/token') . '", "client_secret": "***"}',
	'W14: so does get_webhooks()');

# Another scope is another token; credentials in the body; odd characters

$server->behave('/body', token => 3600);
$receiver->webhook('/body', oauth => oauth('/body', auth => 'body', audience => 'https://api.example.com/', client_secret => 'a+b &c'));
$receiver->webhook('/basic', oauth => oauth('/body', client_id => "sh\x{f6}p:1", client_secret => 'a+b &c'));
emit(51);
WebhookTest::wait_until_delivered($node);
is(join("\n", sort map { $_->{body} } $server->requests('/body')),
	"grant_type=client_credentials\n" .
	'grant_type=client_credentials&audience=https%3A%2F%2Fapi.example.com%2F&client_id=shop&client_secret=a%2Bb%20%26c',
	'X8: credentials in the body');
is(join('', map { decode_base64(($_->{headers}{authorization} // '') =~ s/^Basic //r) } $server->requests('/body')),
	'sh%C3%B6p%3A1:a%2Bb%20%26c', 'X8: those in a header are percent-encoded first');
end_test($receiver);
$server->reset;

# A receiver that does not accept the token any more: another one, and no attempt is lost

$server->behave('/refused', token => 3600);
$one = $receiver->webhook('/a', oauth => oauth('/refused'));
emit(1);
WebhookTest::wait_until_delivered($node);
$receiver->behave('/a', status => 401, times => 1);
emit(2);
WebhookTest::wait_until_delivered($node);
is(tokens('/a'), 'token1 token1 token2', 'X8: after a 401 the same is sent with another token');
becomes("SELECT delivered, attempts, failed FROM webhook.stat_webhooks WHERE webhook_id = $one", '2|2|0', 'X8: at no cost');
becomes("SELECT string_agg(attempt || ' ' || outcome || ' ' || status, ', ' ORDER BY attempted_at) FROM webhook.get_webhook_log($one)",
	'1 delivered 200, 1 oauth 401, 1 delivered 200', 'X8: the log shows it');

# One that refuses every token: that is its answer
$receiver->behave('/a', status => 401);
let_pass(10);
emit(3);
becomes("SELECT attempts, last_error FROM webhook.undelivered", '1|HTTP status 401', 'X8: two refusals are an attempt');
is(tokens('/a'), 'token1 token1 token2 token2 token3', 'X8: with two tokens');

# ... which others share
$other = $receiver->webhook('/b', event => "'other.done'", oauth => oauth('/refused'));
let_pass(300);
becomes("SELECT attempts FROM webhook.undelivered", 2, 'X8: the retry is refused as well');
sql("SELECT webhook.emit('other.done', '{}')");
ok($receiver->wait_for_count(1, '/b'), 'X8: another receiver of the token');
is(tokens('/b'), 'token3', 'X8: has it still');
is($server->count('/refused'), 3, 'X8: no other one was requested');
end_test($receiver);
$server->reset;

# Batches, the handshake, the challenge, and tests

$server->behave('/questions', token => 3600);
$receiver->behave('/asked', allowed_origin => '*', challenge => 'nonce');
$one = $receiver->webhook('/asked', oauth => oauth('/questions'), handshake => 'true', challenge => 'true', batch_size => 10, batch_wait => "'1 min'");
emit($_, $_ % 3) foreach 1 .. 9;
$receiver->behave('/asked', allowed_origin => '*', challenge => 'nonce');
emit(10);
ok($receiver->wait_for_count(3, '/asked'), 'X5: a batch after both questions');
is(tokens('/asked'), 'token1 token1 token1', 'X8: all of them with the token');
WebhookTest::wait_until_delivered($node);
$receiver->behave('/asked', status => 401, times => 1);
let_pass(10);
emit($_, $_ % 3) foreach 11 .. 20;
ok($receiver->wait_for_count(5, '/asked'), 'X5: a batch that is refused');
WebhookTest::wait_until_delivered($node);
my @batches = map { $_->{body} } $receiver->requests('/asked');
is($batches[4], $batches[3], 'X8: is sent again as it was');
is(scalar(@{ decode_json($batches[4]) }), 10, 'X5: whole, and in order');
is(tokens('/asked'), 'token1 token1 token1 token1 token2', 'X8: with another token');
sql("SELECT webhook.deactivate_webhook($one); SELECT webhook.update_webhook($one, '{\"handshake\": false, \"challenge\": false}')");
sql("SELECT webhook.test_webhook($one)");
ok($receiver->wait_for_count(6, '/asked'), 'E6: a test');
is((split(/ /, tokens('/asked')))[5], 'token2', 'X8: has the token, too');
end_test($receiver);
$server->reset;

# Renewed in the background when most of its time has passed; used until its end if that fails

$server->behave('/renewed', token => 1000);
$one = $receiver->webhook('/a', oauth => oauth('/renewed'));
emit(1);
WebhookTest::wait_until_delivered($node);
let_pass(790);
emit(2);
WebhookTest::wait_until_delivered($node);
is($server->count('/renewed'), 1, 'X8: at 79% of its time it is used');
let_pass(20);
ok($server->wait_for_count(2, '/renewed'), 'X8: at 81% it is renewed');
becomes("SELECT count(*) FROM webhook.stat_workers WHERE in_flight > 0", 0, 'X8: ... which is over');
emit(3);
WebhookTest::wait_until_delivered($node);
is(tokens('/a'), 'token1 token1 token2', 'X8: and the new one is used');
$server->behave('/renewed', status => 503);
let_pass(810);
ok($server->wait_for_count(3, '/renewed'), 'X8: the next renewal fails');
becomes("SELECT count(*) FROM webhook.stat_workers WHERE in_flight > 0", 0, 'X8: ... which is over');
emit(4);
WebhookTest::wait_until_delivered($node);
is(tokens('/a'), 'token1 token1 token2 token2', 'X8: the old token is used until its end');
is(sql("SELECT failing_since IS NULL FROM webhook.get_webhooks() WHERE id = $one"), 't', 'X8: nothing is failing');

# No token: the webhook is failing, as after a handshake without agreement
$server->behave('/renewed', status => 400, body => '{"error": "invalid_client", "error_description": "s3cr3t"}');
let_pass(1000);
emit($_) foreach 5 .. 7;
becomes(last_log($one), 'POST|oauth|400|no access token: HTTP status 400, invalid_client', 'X8: without a token nothing is sent');
becomes("SELECT count(*), max(attempts) FROM webhook.undelivered WHERE webhook_id = $one", '3|0', 'X8: everything waits, and no attempt is lost');
becomes("SELECT failing_since IS NOT NULL FROM webhook.get_webhooks() WHERE id = $one", 't', 'X8: the webhook is failing');
is(sql("SELECT url FROM webhook.get_webhook_log($one) LIMIT 1"), $server->url('/renewed'), 'X8: the log shows what was asked');
is(sql("SELECT concat(request_headers, request_body, response_body) FROM webhook.get_webhook_log($one) LIMIT 1"), '', 'W14: and nothing of it');
becomes("SELECT kind, message FROM webhook.notification WHERE webhook_id = $one",
	qq(oauth|webhook $one ("app") is failing: no access token: HTTP status 400, invalid_client), 'X8: the operator is notified, once');
my $asked = $server->count('/renewed');
$server->behave('/renewed', token => 1000);
let_pass(10);
WebhookTest::wait_until_delivered($node);
is(join(' ', $receiver->numbers('/a')), '1 2 3 4 5 6 7', 'X8: when there is a token, everything goes, in order');
is($server->count('/renewed'), $asked + 1, 'X8: by one request');
end_test($receiver);
$server->reset;

# Whatever a token server may answer

my %answers = (
	'/reset' => [ { reset => 1 }, undef ],
	'/hang' => [ { hang => 'body' }, qr/timeout while receiving the response/ ],
	'/endless' => [ { endless => 1 }, qr/response larger than 65536 bytes/ ],
	'/redirect' => [ { status => 302, location => $server->url('/good?s3cr3t') }, qr/: HTTP status 302, redirect not followed$/ ],
	'/later' => [ { status => 503, retry_after => '120' }, qr/: HTTP status 503$/ ],
	'/whenever' => [ { status => 503, retry_after => '120; s3cr3t' }, qr/: HTTP status 503$/ ],
	'/text' => [ { body => 'access_token=a' }, qr/it is not a JSON object/ ],
	'/nothing' => [ { body => '{"expires_in": 1e999}' }, qr/it has no access_token/ ],
	'/lines' => [ { body => '{"access_token": "a\r\nX-Injected: 1"}' }, qr/characters that a header cannot have/ ],
	'/mac' => [ { body => '{"access_token": "a", "token_type": "mac"}' }, qr/its token_type is not Bearer/ ]);
my %id;
foreach my $path (sort keys %answers)
{
	$server->behave($path, %{ $answers{$path}[0] });
	$id{$path} = $receiver->webhook($path, oauth => oauth($path), retry_schedule => "'{0,1 h,1 h}'");
}
$server->behave('/good', token => 10);
$id{ok} = $receiver->webhook('/ok', oauth => oauth('/good'));
emit(1);
ok($receiver->wait_for_count(1, '/ok'), 'X8: none of these delays others');
foreach my $path (sort keys %answers)
{
	becomes("SELECT failing_since IS NOT NULL FROM webhook.get_webhooks() WHERE id = $id{$path}", 't', "X8: $path: the webhook is failing");
	becomes("SELECT outcome FROM webhook.get_webhook_log($id{$path}) LIMIT 1", 'oauth', "X8: $path: no token");
	like(sql("SELECT error FROM webhook.get_webhook_log($id{$path}) LIMIT 1"), $answers{$path}[1], "X8: $path: the reason") if $answers{$path}[1];
	is($receiver->count($path), 0, "X8: $path: and nothing was sent");
	unlike(sql("SELECT string_agg(l::text, ' ') FROM webhook.get_webhook_log($id{$path}) AS l"), qr/s3cr3t/, "W14: $path: the log shows nothing that it said");
}
is(sql("SELECT rtrim(response_headers, E'\\r\\n') FROM webhook.get_webhook_log($id{'/later'}) LIMIT 1"), 'Retry-After: 120', 'X8: ... but when it asks to be asked again');
end_test($receiver);
$server->reset;

# The guard: a name, and an address that was allowed when the webhook was created

my $forbidden = $receiver->webhook('/guarded', oauth => oauth('/guard'));
$node->append_conf('postgresql.conf', "webhook.allowed_networks = '127.0.0.2'");
$node->reload;
becomes('SHOW webhook.allowed_networks', '127.0.0.2', 'the receivers may not be sent to');
emit(1);
becomes(last_log($forbidden), 'POST|oauth||no access token: address 127.0.0.1 is not allowed by webhook.allowed_networks', 'W9: the guard is asked');
is($server->count('/guard'), 0, 'W9: and nothing was sent');
WebhookTest::fails_with($node, "SELECT webhook.create_webhook('a', 'b.c', 'https://example.com/', oauth => " . oauth('/guard') . ')',
	'22023', 'not allowed', 'R6: nor can such an address be specified');
$node->append_conf('postgresql.conf', $WebhookTest::loopback);
$node->reload;
becomes('SHOW webhook.allowed_networks', '127.0.0.0/8, ::1/128', 'they may again');
end_test($receiver);
$server->reset;

# Refresh tokens that are replaced: whoever has seen an access token can rely on it that the new one is saved

$server->behave('/rotate', token => 1000, rotate => 1);
$one = $receiver->webhook('/a', oauth => refreshing('/rotate'));
$receiver->webhook('/b', oauth => refreshing('/rotate'));
$receiver->behave('/a', hold => 1);
emit(1);
ok($receiver->wait_for_count(1, '/a'), 'X8: a request with a token');
kill_worker();
$receiver->behave('/a');
WebhookTest::wait_until_delivered($node);
is((split(/ /, tokens('/a')))[-1], 'token2', 'X8: after a crash there is another token');
is(join(' ', map { $_->{body} =~ /&refresh_token=(\w+)/ ? $1 : 'none' } $server->requests('/rotate')), 'refresh0 refresh1',
	'X8: by the new refresh token');
is(sql("SELECT count(DISTINCT webhook_id), count(*), max(token) FROM webhook.refresh_token"), '2|2|refresh2', 'X8: which is saved for both webhooks');
let_pass(810);
ok($server->wait_for_count(3, '/rotate'), 'X8: it is renewed');
becomes("SELECT max(token) FROM webhook.refresh_token", 'refresh3', 'X8: and saved again');
sql("SELECT webhook.update_webhook($one, '{\"oauth\": " . (refreshing('/rotate', scope => 'more') =~ s/^'|'$//gr) . "}')");
is(sql("SELECT count(*) FROM webhook.refresh_token WHERE webhook_id = $one"), 1, 'X8: another scope does not forget it');
emit(2);
WebhookTest::wait_until_delivered($node);
is((split(/ /, tokens('/a')))[-1], 'token4', 'X8: and gets its own access token by it');

# Whoever knows the first refresh token does not get what has replaced it
sql(q{CREATE ROLE stranger; GRANT USAGE ON SCHEMA webhook TO stranger; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA webhook TO stranger;
	CREATE TABLE thing (id int PRIMARY KEY); INSERT INTO thing VALUES (1); GRANT SELECT ON thing TO stranger; SELECT webhook.watch('thing', 'thing')});
my ($stranger) = sql('SET ROLE stranger; ', "SELECT webhook.create_webhook('app', 'thing.*', '" . $receiver->url('/stranger') . "', oauth => "
	  . refreshing('/rotate', scope => 'more') . ')') =~ /(\d+)/;
sql("SET ROLE stranger; SELECT webhook.test_webhook($stranger, '1')");
becomes("SELECT error FROM webhook.get_webhook_log($stranger) LIMIT 1", 'no access token: HTTP status 400, invalid_grant', 'X8: another role has to have a valid one');
is($receiver->count('/stranger'), 0, 'X8: ... and sends nothing with our token');
sql("SELECT webhook.delete_webhook_by_id($stranger)");

# A session that has the webhook locked does not keep it from being saved
my $session = WebhookTest::session($node);
$session->query_safe("BEGIN; SELECT webhook.update_webhook($one, '{\"name\": \"locked\"}')");
let_pass(810);
becomes("SELECT max(token) >= 'refresh5' FROM webhook.refresh_token WHERE webhook_id = $one", 't', 'X8: saved while the webhook is locked');
$session->query_safe('COMMIT');
$session->quit;

# It remains valid when it is moved to a file, and for a webhook that has it as well when the others are deleted
sub rotated
{
	my ($path) = @_;

	return join(' ', map { $_->{body} =~ /&refresh_token=(\w+)/ ? $1 : 'none' } $server->requests($path));
}

mkdir("$secrets/postgres");
append_to_file("$secrets/postgres/refresh", 'refresh0');
chmod(0600, "$secrets/postgres/refresh");
$server->behave('/moved', token => 1000, rotate => 1);
$other = $receiver->webhook('/c', event => "'moved.*'", oauth => refreshing('/moved'));
sql("SELECT webhook.emit('moved.a', '{}')");
WebhookTest::wait_until_delivered($node);
sql("SELECT webhook.update_webhook($other, '{\"oauth\": " . (refreshing('/moved', refresh_token => 'file:postgres/refresh') =~ s/^'|'$//gr) . "}')");
sql("INSERT INTO webhook.refresh_token VALUES (0, 'an orphan', 's3cr3t', now())");
sql("SELECT webhook.emit('moved.b', '{}')");
WebhookTest::wait_until_delivered($node);
is(rotated('/moved'), 'refresh0 refresh1', 'X8: a refresh token that is moved to a file is the one that has replaced it');
my $heir = $receiver->webhook('/d', event => "'heir.*'", oauth => refreshing('/moved'));
sql("SELECT webhook.delete_webhook_by_id($other)");
is(sql("SELECT webhook_id, token FROM webhook.refresh_token WHERE token = 'refresh2'"), "$heir|refresh2", 'X8: the last webhook that has it inherits it');
sql("SELECT webhook.emit('heir.a', '{}')");
WebhookTest::wait_until_delivered($node);
is(rotated('/moved'), 'refresh0 refresh1 refresh2', 'X8: and uses it');
is(sql("SELECT count(*) FROM webhook.refresh_token WHERE webhook_id = 0"), 0, 'X8: those of deleted webhooks are removed');
sql("SELECT webhook.delete_webhook_by_id($heir)");

# The server is shut down while the token server takes its time
$server->behave('/late', token => 1000, rotate => 1, delay => 1600);
$other = $receiver->webhook('/c', event => "'late.*'", oauth => refreshing('/late'));
sql("SELECT webhook.emit('late.a', '{}')");
ok($server->wait_for_count(1, '/late'), 'X8: a token is requested');
$node->restart;
is(sql("SELECT token FROM webhook.refresh_token WHERE webhook_id = $other"), 'refresh1', 'X8: what replaces the refresh token is saved before the server ends');
$server->behave('/late', token => 1000, rotate => 1);
WebhookTest::wait_until_delivered($node);
is(rotated('/late'), 'refresh0 refresh1', 'X8: and used afterwards');
sql("SELECT webhook.delete_webhook_by_id($other)");

# A new refresh token takes its place; then none is needed any more, and nothing remains
sql("SELECT webhook.update_webhook($one, '{\"oauth\": " . (refreshing('/rotate', refresh_token => 'mine') =~ s/^'|'$//gr) . "}')");
is(sql("SELECT count(*) FROM webhook.refresh_token WHERE webhook_id = $one"), 0, 'X8: one that is configured anew is not replaced by those of before');
emit(3);
becomes("SELECT error FROM webhook.get_webhook_log($one) LIMIT 1", 'no access token: HTTP status 400, invalid_grant', 'X8: it is used');
end_test($receiver);
is(sql('SELECT count(*) FROM webhook.refresh_token'), 0, 'X8: with the webhooks they are deleted');

# A secret that becomes nine times as long on the wire is sent whole
sql("CREATE DATABASE euro TEMPLATE template0 ENCODING 'WIN1252' LC_COLLATE 'C' LC_CTYPE 'C'");
$node->safe_psql('euro', 'CREATE EXTENSION webhook');
$server->behave('/long', token => 1000);
$node->safe_psql('euro', "SELECT webhook.create_webhook('app', 'thing.done', '" . $receiver->url('/long') . "', oauth => jsonb_build_object("
	  . "'token_url', '" . $server->url('/long') . "', 'grant', 'client_credentials', 'client_id', 'c', 'auth', 'body', 'client_secret', repeat(chr(128), 4000)))");
$node->safe_psql('euro', "SELECT webhook.emit('thing.done', '{}')");
ok($receiver->wait_for_count(1, '/long'), 'X8: a long secret of expensive characters');
like(($server->requests('/long'))[0]{body}, qr/&client_secret=(?:%E2%82%AC){4000}$/, 'X8: is sent whole');

done_testing();
