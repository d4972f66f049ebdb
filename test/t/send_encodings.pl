# Databases in other encodings than UTF-8: what is sent is UTF-8, and signed as it is sent; responses are converted for the log.
#
# Mission: W3, I4; cases: C5.

use strict;
use warnings;

use Encode qw(encode);
use Digest::SHA qw(hmac_sha256_base64);
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest;

my $receiver = WebhookTest::Receiver->start;
my $node = WebhookTest::start_node('encodings', 'max_worker_processes = 20');

# Bytes of a name in the database's encoding and in UTF-8; a response, and the bytes of it that the log in the database shows.
# The SQL is ASCII, with the bytes as escapes.
my @cases = (
	[ 'LATIN1', 'J\xfcrgen', "J\xc3\xbcrgen", "gr\x{fc}\x{df} \x{20ac}", 'gr\xfc\xdf ?' ],
	[ 'EUC_JP', '\xc6\xfc\xcb\xdc', "\xe6\x97\xa5\xe6\x9c\xac", "\x{672c} \x{1f600}", '\xcb\xdc ?' ],
	[ 'SQL_ASCII', 'J\xc3\xbcrgen', "J\xc3\xbcrgen", "gr\x{fc}", 'gr\xc3\xbc' ],
	[ 'SQL_ASCII', 'J\xfcrgen', "J\xef\xbf\xbdrgen", "gr\x{fc}", 'gr\xc3\xbc' ]);

sub encoded { return join('', map { sprintf('%%%02X', ord) } split(//, $_[0])) =~ s/%([46-7][0-9A-F])/chr(hex $1)/ger; }

foreach my $i (0 .. $#cases)
{
	my ($encoding, $name, $utf8, $answer, $logged) = @{ $cases[$i] };
	my $database = "db$i";
	my $sql = sub { return $node->safe_psql($database, "SET client_encoding = '$encoding'; SET standard_conforming_strings = on; $_[0]"); };
	my $wait = sub { return $node->poll_query_until($database, $_[0]); };

	$node->safe_psql('postgres', "CREATE DATABASE $database ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
	$sql->('CREATE EXTENSION webhook; CREATE TABLE guest (id text PRIMARY KEY, name text)');
	$sql->(q{SELECT webhook.watch('guest', 'guest', event_uid => 'id')});
	my $id = $sql->("SELECT webhook.create_webhook('a', 'guest.*', '" . $receiver->url("/$i/{entity_id}")
		  . "', format => 'cloudevents-binary', headers => jsonb_build_object('X-Name', E'$name'))");
	my $get = $sql->("SELECT webhook.create_webhook('a', 'guest.*', '" . $receiver->url("/get$i") . "', method => 'GET')");

	my $path = "/$i/" . encoded($utf8);
	$receiver->behave($path, body => $answer);
	$sql->("INSERT INTO guest VALUES (E'$name', E'$name')");
	ok($receiver->wait_for(sub { $receiver->requests($path) > 0 }), "C5: $encoding: the URL is UTF-8");
	my ($request) = $receiver->requests($path);
	is($request->{body}, qq({"id":"$utf8","name":"$utf8"}), "C5: $encoding: so is the body");
	is($request->{headers}{'ce-subject'}, encoded($utf8), "C5: $encoding: so is ce-subject");
	is(encode('UTF-8', $request->{headers}{'x-name'}), $utf8, "C5: $encoding: so is the webhook's own header");
	my $key = decode_base64($sql->("SELECT webhook.get_secret($id)") =~ s/^whsec_//r);
	my $signature = hmac_sha256_base64("$request->{headers}{'webhook-id'}.$request->{headers}{'webhook-timestamp'}.$request->{body}", $key);
	$signature .= '=' while length($signature) % 4;
	is($request->{headers}{'webhook-signature'}, "v1,$signature", "C5: $encoding: the signature is that of the body as sent");
	ok($receiver->wait_for_count(1, "/get$i"), "C5: $encoding: GET");
	my ($query) = map { $_->{query} } $receiver->requests("/get$i");
	like($query, qr/entity_id=\Q@{[ encoded($utf8) ]}\E&/, "C5: $encoding: the query is UTF-8");
	ok($wait->("SELECT count(*) = 1 FROM webhook.get_webhook_log($id)"), "C5: $encoding: it is in the log");
	is($sql->("SELECT request_body = E'{\"id\":\"$name\",\"name\":\"$name\"}' FROM webhook.get_webhook_log($id)"),
		$utf8 =~ /\xef\xbf\xbd/ ? 'f' : 't', "C5: $encoding: where the body has the database's encoding");
	is($sql->("SELECT response_body = E'$logged' FROM webhook.get_webhook_log($id)"), 't', "C5: $encoding: and so does the answer");
}

# Some bytes cannot be converted to UTF-8: a message that contains them fails alone, wherever they are.

$node->safe_psql('postgres', "CREATE DATABASE gaps ENCODING 'WIN1252' LOCALE 'C' TEMPLATE template0");
$node->safe_psql('gaps', q{CREATE EXTENSION webhook; SELECT webhook.create_webhook('a', 'gap', '} . $receiver->url('/gap/{entity_id}') . q{')});
$node->safe_psql('gaps', q{SELECT webhook.emit('gap', '{}', entity_id => chr(129)), webhook.emit('gap', '{}', entity_id => 'fine')});
ok($receiver->wait_for_count(1, '/gap/fine'), 'C5: WIN1252: the next message is sent');
ok($node->poll_query_until('gaps', q{SELECT count(*) = 1 FROM webhook.undelivered WHERE last_error LIKE '%has no equivalent%'}),
	'C5: WIN1252: one that cannot be converted fails alone');

$node->stop;
$receiver->stop;
done_testing();
