# Every delivery is verified by libraries that others wrote: standardwebhooks, svix and cloudevents from the npm
# registry, in the versions of test/conformance/package-lock.json; and compared by ajv with what describe_format() says of it.
#
# Mission: W6, W7, X5, I4.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Copy;
use JSON::PP;
use Needs;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use WebhookTest qw(sql);

my $source = dirname(dirname(abs_path(__FILE__))) . '/conformance';
my $dir = PostgreSQL::Test::Utils::tempdir();

# The packages go to a directory of this run; nothing is written to the sources or to a home directory.
Needs::skip_all('node and npm are not installed')
  if system('node --version >/dev/null 2>&1 && npm --version >/dev/null 2>&1');
copy("$source/$_", "$dir/$_") or die "could not copy $_: $!" foreach qw(package.json package-lock.json receiver.js);
if (system("cd '$dir' && HOME='$dir' npm_config_cache='$dir/cache' npm ci --ignore-scripts --no-audit --no-fund >npm.log 2>&1"))
{
	my $log = slurp_file("$dir/npm.log");

	Needs::skip_all('the npm registry cannot be reached')
	  if $log =~ /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ECONNRESET|ENETUNREACH|FETCH_ERROR|SELF_SIGNED_CERT/;
	die "npm ci failed: $log";
}

# Libraries that compute in JavaScript take their time for bodies of a megabyte.
my $node = WebhookTest::start_node('conformance', "webhook.timeout = '2min'");
my @formats = qw(entity rest standard cloudevents cloudevents-binary thin);

my $ledger = "$dir/ledger";
append_to_file($ledger, '');
append_to_file("$dir/secrets.json", '{}');
append_to_file("$dir/schemas.json",
	$node->safe_psql('postgres', "SELECT json_object_agg(f, webhook.describe_format(f)) FROM unnest('{" . join(',', @formats) . "}'::text[]) f"));
my $pid = open(my $pipe, '|-', 'node', "$dir/receiver.js", $ledger, "$dir/secrets.json", "$dir/schemas.json")
  or die "could not start node: $!";
foreach (1 .. 100 * $PostgreSQL::Test::Utils::timeout_default)
{
	last if -s "$ledger.port";
	kill(0, $pid) or die 'the receiver did not start';
	usleep(10_000);
}
chomp(my $port = slurp_file("$ledger.port"));

my %verify;		# by path: secrets and public keys
my $taken = 0;

# A webhook; what the receiver needs to verify it is noted.
sub subscribe
{
	my ($path, %arguments) = @_;
	my $id = WebhookTest::create_webhook($node,
		app => "'conformance'", event => "'doc.*,note.*'", url => "'http://127.0.0.1:$port$path'", %arguments);

	learn($path, $id);
	return $id;
}

sub learn
{
	my ($path, $id, @more) = @_;
	my ($secrets, $public_key) = split(/\|/, sql("SELECT webhook.get_secret($id), webhook.get_public_key($id)"));

	$verify{$path} = {
		secrets => [ (grep { /^whsec_/ } split(/ /, $secrets)), @more ],
		public_keys => [ $public_key ? $public_key : () ]
	};
	unlink("$dir/secrets.json");
	append_to_file("$dir/secrets.json", encode_json(\%verify));
	return;
}

# Requests since the last call.
sub arrived
{
	WebhookTest::wait_until_delivered($node);
	my @lines = split(/\n/, slurp_file($ledger));
	my @new = map { decode_json($_) } @lines[ $taken .. $#lines ];

	$taken = @lines;
	return @new;
}

sub all_verified
{
	my ($requests, $count, $name) = @_;
	my @bad = grep {
		!$_->{standardwebhooks} || grep { !$_ } (@{ $_->{standardwebhooks} }, @{ $_->{svix} }, @{ $_->{v1a} })
	} @$requests;

	is(scalar(@$requests), $count, "$name: all arrive");
	is(scalar(@bad), 0, "$name: all are verified") or diag(JSON::PP->new->pretty->encode(\@bad));
	is(scalar(grep { my $r = $_; grep { $_ } @{ $r->{changed} } } grep { $_->{length} > 0 } @$requests),
		0, "$name: none is verified with another body");
	is_deeply([ map { @{ $_->{schema} // ['none'] } } @$requests ], [], "$name: all are as describe_format() says");
	return;
}

# The subject of a CloudEvent.  The SDK leaves the percent-encoding of headers to its users.
sub subject
{
	my ($request) = @_;
	my $subject = $request->{event}{subject};

	if ($request->{path} =~ /binary/)
	{
		$subject =~ s/%([0-9A-F]{2})/chr(hex($1))/eg;
		utf8::decode($subject);
	}
	return $subject;
}

# 1 or 0 for each value, depending on whether a JSON list contains it.
sub truth
{
	my ($list) = @_;

	return [ map { $_ ? 1 : 0 } @$list ];
}

# All formats with all methods, half of them signing with ed25519, too

sql(q{
	CREATE TABLE doc (id integer PRIMARY KEY, "naïve ""key""" text, body jsonb, raw text);
	SELECT webhook.watch('doc', 'doc');
});
my @methods = qw(POST PUT PATCH DELETE GET);
my %ids;
foreach my $format (@formats)
{
	foreach my $method (@methods)
	{
		my $path = "/$method/$format";
		$ids{$path} = subscribe($path, format => "'$format'", method => "'$method'",
			secret => keys(%ids) % 2 ? "'v1a'" : 'NULL');
	}
}
my $n = keys %ids;

sql(q{INSERT INTO doc VALUES (1, 'Zürich 東京 🎉 "quoted" \ / ' || chr(8232), '{}', NULL)});
my @requests = arrived();
all_verified(\@requests, $n, 'W6: unicode');
is(scalar(grep { "@{$_->{signatures}}" eq 'v1' } @requests), 15, 'W6: v1 always');
is(scalar(grep { "@{$_->{signatures}}" eq 'v1 v1a' } @requests), 15, 'W6: v1a by choice, a single space between');
is(scalar(grep { $_->{signature} =~ /^\S+( \S+)*$/ } @requests), $n, 'W6: single spaces between signatures');
is_deeply([ map { $_->{length} } grep { $_->{method} eq 'GET' } @requests ], [ (0) x 6 ], 'I4: GET has no body');

my @events = grep { $_->{path} =~ /cloudevents/ && $_->{method} ne 'GET' } @requests;
is(scalar(grep { $_->{event} } @events), 8, 'W7: the SDK reads every CloudEvent')
  or diag(join("\n", map { $_->{error} // () } @events));
is(scalar(grep { $_->{event}{id} eq $_->{id} } @events), 8, 'W7: its id is that of the message');
is_deeply(
	[ map { "$_->{event}{specversion} $_->{event}{type} $_->{event}{source} $_->{event}{subject}" } @events ],
	[ ('1.0 doc.create /postgresql/postgres 1') x 8 ],
	'W7: its attributes');
is( scalar(grep { join('|', map { $_ // '' } values %{ $_->{event}{data} }) =~
			/Z\x{fc}rich \x{6771}\x{4eac} \x{1f389} "quoted" \\ \/ \x{2028}/ } @events),
	8, 'W7: its data');

sql(q{INSERT INTO doc SELECT 2, NULL, '{}', repeat('ü"\\', 300000)});
@requests = arrived();
all_verified(\@requests, $n, 'W6: a body of a megabyte');
is(scalar(grep { $_->{length} > 1_000_000 } @requests), $n - 10, 'W6: it is as long, but for GET and thin messages');
is(scalar(grep { $_->{event} } @requests), 8, 'W7: the SDK reads it');

sql(q{SELECT webhook.emit('note.empty', '{}')});
@requests = arrived();
all_verified(\@requests, $n, 'W6: an empty object');
is(scalar(grep { $_->{event} } @requests), 8, 'W7: the SDK reads it');
sql(q{SELECT webhook.emit('note.odd', 'null', entity_id => E'100% "ü" \x01 ' || repeat('é', 50))});
@requests = arrived();
all_verified(\@requests, $n, 'W6: null, with an odd id');
is(scalar(grep { subject($_) eq "100% \"\x{fc}\" \x01 " . "\x{e9}" x 50 } grep { $_->{event} } @requests),
	8, 'W7: the odd id is the subject');
sql(q{SELECT webhook.emit('note.nothing', '[]', entity_id => '')});
@requests = arrived();
all_verified(\@requests, $n, 'W6: an empty array, with an empty id');
is(scalar(grep { $_->{event} && !exists $_->{event}{subject} } @requests), 8, 'W7: the SDK reads it: no subject, as an empty one is not allowed')
  or diag(join("\n", map { $_->{error} // () } @requests));
sql(q{DELETE FROM doc WHERE id = 1; UPDATE doc SET body = '[]' WHERE id = 2});
@requests = arrived();
all_verified(\@requests, 2 * $n, 'W6: update and delete');

# Batches: the CloudEvents SDK parses them, the libraries of Standard Webhooks verify them

my @batch_formats = qw(entity standard cloudevents thin);
$ids{"/batch/$_"} = subscribe("/batch/$_", format => "'$_'", batch_size => 50, secret => "'v1a'") foreach @batch_formats;
sql("SELECT webhook.deactivate_webhook($ids{$_})") foreach grep { !m{^/batch/} } keys %ids;
sql("ALTER SYSTEM SET webhook.dispatch = off");
$node->reload;
$node->poll_query_until('postgres', "SELECT current_setting('webhook.dispatch') = 'off'");
sql(q{INSERT INTO doc SELECT n, 'Zürich 東京 🎉', '{}', NULL FROM generate_series(101, 120) n; DELETE FROM doc WHERE id = 101});
sql('ALTER SYSTEM RESET webhook.dispatch');
$node->reload;
@requests = arrived();
all_verified(\@requests, scalar(@requests), 'X5: batches');
foreach my $format (@batch_formats)
{
	my @batches = grep { $_->{path} eq "/batch/$format" } @requests;
	my %seen;

	is(scalar(grep { !$seen{$_}++ } map { @{ $_->{ids} } } @batches), 21, "X5: $format: each message once, with its id");
	ok(@batches < 21, "X5: $format: together");
}
my @cloudevents = map { @{ $_->{event} // [] } } grep { $_->{path} eq '/batch/cloudevents' } @requests;
is_deeply([ map { "$_->{type} $_->{subject}" } @cloudevents ], [ (map { "doc.create $_" } 101 .. 120), 'doc.delete 101' ],
	'X5, W7: the SDK reads them in order')
  or diag(join("\n", map { $_->{error} // () } @requests));
sql("SELECT webhook.activate_webhook($ids{$_})") foreach grep { !m{^/batch/} } keys %ids;
sql("SELECT webhook.delete_webhook_by_id($_)") foreach delete @ids{ map { "/batch/$_" } @batch_formats };

# Rotation without a gap: the old secret is good until the grace period is over

sql("SELECT webhook.delete_webhook_by_id($ids{$_})") foreach grep { !m{^/POST/(standard|entity)$} } keys %ids;
foreach my $path ('/POST/standard', '/POST/entity')
{
	my $id = $ids{$path};
	my @old = @{ $verify{$path}{secrets} };
	my $both = @{ $verify{$path}{public_keys} };

	sql("SELECT webhook.rotate_secret($id)");
	sql(q{SELECT webhook.emit('note.before_the_receiver_learns', '{}')});
	@requests = grep { $_->{path} eq $path } arrived();
	is_deeply(truth($requests[0]{standardwebhooks}), [1], "W6: $path: the old secret still verifies");
	is("@{$requests[0]{signatures}}", $both ? 'v1 v1a v1 v1a' : 'v1 v1', "W6: $path: both sign");

	learn($path, $id, @old, 'whsec_' . 'A' x 32);
	sql(q{SELECT webhook.emit('note.during_grace', '{}')});
	@requests = grep { $_->{path} eq $path } arrived();
	is_deeply(truth($requests[0]{standardwebhooks}), [ 1, 1, 0 ],
		"W6: $path: the new one and the old one verify, a wrong one does not");
	is_deeply(truth($requests[0]{svix}), [ 1, 1, 0 ], "W6: $path: neither for svix");
	is_deeply(truth($requests[0]{v1a}), [ (1) x $both ], "W6: $path: so does the new public key");

	sql("UPDATE webhook.webhook SET previous_secret_until = now() WHERE id = $id");
	sql(q{SELECT webhook.emit('note.after_grace', '{}')});
	@requests = grep { $_->{path} eq $path } arrived();
	is_deeply(truth($requests[0]{standardwebhooks}), [ 1, 0, 0 ],
		"W6: $path: after the grace period the old one does not");
}

close($pipe);
done_testing();
