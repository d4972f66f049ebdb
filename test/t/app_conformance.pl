# Every delivery is verified by libraries that others wrote: standardwebhooks, svix, cloudevents, and those of GitHub, Stripe
# and Shopify from the npm registry, in the versions of test/conformance/package-lock.json; by Debian's package webhook; and
# validated by ajv against describe_format() and describe_event().  Access tokens come from oauth2-mock-server.
#
# Mission: W6, W7, X5, X8, X9, X14, I4, I19.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Copy;
use IO::Socket::INET;
use JSON::PP;
use Needs;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use WebhookTest qw(sql becomes);

my $source = dirname(dirname(abs_path(__FILE__))) . '/conformance';
my $dir = PostgreSQL::Test::Utils::tempdir();

# The packages go to a directory of this run; nothing is written to the sources or to a home directory.
Needs::skip_all('node and npm are not installed')
  if system('node --version >/dev/null 2>&1 && npm --version >/dev/null 2>&1');
copy("$source/$_", "$dir/$_") or die "could not copy $_: $!" foreach qw(package.json package-lock.json receiver.js openapi.mjs oauth.mjs);
if (system("cd '$dir' && HOME='$dir' npm_config_cache='$dir/cache' npm ci --ignore-scripts --no-audit --no-fund >npm.log 2>&1"))
{
	my $log = slurp_file("$dir/npm.log");

	Needs::skip_all('the npm registry cannot be reached')
	  if $log =~ /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ECONNRESET|ENETUNREACH|FETCH_ERROR|SELF_SIGNED_CERT/;
	die "npm ci failed: $log";
}

# Libraries that compute in JavaScript are slow with bodies of a megabyte.
my $node = WebhookTest::start_node('conformance', "webhook.timeout = '2min'");
my @formats = qw(entity rest standard cloudevents cloudevents-binary thin);

my $ledger = "$dir/ledger";
append_to_file($ledger, '');
append_to_file("$dir/secrets.json", '{}');
append_to_file("$dir/catalogue.json", '{}');
append_to_file("$dir/schemas.json",
	$node->safe_psql('postgres', "SELECT json_object_agg(f, webhook.describe_format(f)) FROM unnest('{" . join(',', @formats) . "}'::text[]) f"));
my $pid = open(my $pipe, '|-', 'node', "$dir/receiver.js", $ledger, map { "$dir/$_.json" } qw(secrets schemas catalogue))
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

# Create a webhook; what the receiver needs to verify it is recorded.
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

	utf8::decode($secrets);
	$verify{$path} = {
		secrets => [ (grep { /^whsec_/ } split(/ /, $secrets)), @more ],
		public_keys => [ $public_key ? $public_key : () ],
		texts => [ $secrets, @more, 'wrong' ]
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
$ids{"/batch/$_"} = subscribe("/batch/$_", format => "'$_'", batch_size => 50, ordering => "'strict'",
	secret => "'v1a'") foreach @batch_formats;
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

# X14: rows of random tables are as describe_event() says, in every format and shape

sql("SELECT webhook.delete_webhook_by_id(id) FROM webhook.get_webhooks()");
sql(q{
	CREATE TYPE mood AS ENUM ('', 'it''s', 'größer');
	CREATE TYPE pair AS (x integer, "y z" numeric, m mood);
	CREATE TABLE shelf (a integer NOT NULL, b date NOT NULL);
	CREATE DOMAIN percent AS integer CHECK (VALUE >= 0 AND VALUE < 101);
	CREATE DOMAIN code AS text CHECK (VALUE ~ '^[A-Z]{2}[0-9]+$') CHECK (length(VALUE) <= 9);
	CREATE DOMAIN size AS varchar(6) CHECK (VALUE IN ('S', 'M', 'it''s'));
	CREATE DOMAIN short_code AS code CHECK (VALUE <> 'AB123456');
	CREATE DOMAIN price AS numeric(10, 2) NOT NULL CHECK (VALUE > 0);
	CREATE DOMAIN either AS integer CHECK ((VALUE > 1 AND VALUE < 3 AND VALUE < 7) OR VALUE = 9);
	CREATE DOMAIN shouting AS text CHECK (VALUE ~ '^[^.]+.x$' AND lower(VALUE) <> VALUE);
});
# Values of each type, of which one is chosen at random.
my %types = (
	boolean => [qw(t f)], smallint => [ -32768, 32767 ], integer => [ -2147483648, 7 ], bigint => [ '9007199254740993', -5 ],
	real => [qw(NaN 1e-30 -Infinity 0.1)], 'double precision' => [qw(NaN 1e300 Infinity -0)], numeric => [qw(NaN 1.50 -1e30)], 'numeric(5, 2)' => [qw(NaN -1.5)],
	text => [ '', "\xc3\xbc\"\\\n\x01" ], 'varchar(4)' => [ "\xc3\xa4\xc3\xb6\xc3\xbc", "\xf0\x9f\x8e\x89" x 4 ], 'character(4)' => ['x'], '"char"' => ['x'], name => ['a name'],
	date => [ 'infinity', '0044-03-15 BC', '12345-01-01', '2024-02-29' ], timestamp => [ '-infinity', '0044-03-15 01:02:03 BC', '12345-01-01', '2024-02-29 23:59:59.123456' ],
	timestamptz => [ 'infinity', '0044-03-15 01:02:03 BC', '12345-01-01', '2024-02-29 23:59:59.5+05:30' ], 'timestamp(0)' => ['2024-01-01'],
	time => [qw(24:00 01:02:03.4)], timetz => ['01:02+03'], interval => ['1 year -2 days'], uuid => ['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
	json => [ '{"a": [1, null]}', 'null', '1e2' ], jsonb => [ '[]', '"x"', '{}', 'null' ], bytea => ['\\x00ff'], inet => ['::1'], money => ['1.50'], bit => ['1'],
	int4range => ['[1,5)'], oid => [1], regclass => ['pg_class'], tsvector => ['a b'], point => ['(1,2)'], int2vector => ['1 2'],
	'integer[]' => [ '{}', '{1,NULL}', '{{1,2},{3,4}}', '[0:1]={1,2}' ], 'text[]' => ['{"a b",NULL}'], 'jsonb[]' => ['{"{}",null}'], 'numeric[]' => ['{NaN,1.5}'],
	'date[][]' => ['{{infinity,2024-01-01}}'], mood => [ '', "gr\xc3\xb6\xc3\x9fer" ], 'mood[]' => ["{it's}"], pair => [ "(1,NaN,it's)", '(,,)' ], 'pair[]' => ['{"(,2.5,)",NULL}'],
	shelf => ['(,)'], percent => [ 0, 100 ], 'percent[]' => ['{1,NULL}'], code => [qw(AB1 CD1234567)], size => [ 'S', "it's" ], short_code => ['AB1'],
	price => [qw(0.01 NaN)], either => [ 2, 9 ], shouting => [ 'X.x', "A\nx" ],
);
my $seed = $ENV{WEBHOOK_SEED} // time;
srand($seed);
note("WEBHOOK_SEED=$seed");

sub literal
{
	my ($column) = @_;
	my @values = @{ $types{ $column->{type} } };
	my $value = $values[ rand(@values) ] =~ s/'/''/gr;

	return rand() < 0.2 && !$column->{required} ? "NULL::$column->{type}" : "'$value'::$column->{type}";
}

# The schemas of the trigger names of all webhooks, by path, for the receiver.
sub describe
{
	unlink("$dir/catalogue.json");
	append_to_file("$dir/catalogue.json", $node->safe_psql('postgres', q{
		SELECT json_object_agg(path, schemas) FROM (
			SELECT regexp_replace(w.url, '^http://[^/]*', '') AS path, json_object_agg(e, webhook.describe_event(e, w.id)) AS schemas
			FROM webhook.get_webhooks() AS w,
				LATERAL regexp_split_to_table(regexp_replace(w.event, '^(.*)[.][*]$', '\1.create,\1.update,\1.delete'), ',') AS e GROUP BY w.id, w.url) AS s}));
	return;
}

my @variants = map { my $f = $_; map { { format => $f, previous => $_ } } 'none', $f =~ /^(entity|standard|cloudevents)$/ ? qw(changed row) : () } @formats;
my @batches = qw(entity standard cloudevents thin);
my $rows = 6;
my @changes;
foreach my $table (1 .. 3)
{
	my @types = sort keys %types;
	my @columns = map { { name => "c$_", type => splice(@types, int(rand(@types)), 1) } } 1 .. 16;

	foreach (@columns)
	{
		$_->{required} = rand() < 0.3 || $_->{type} eq 'price';
		$_->{name} = qq{"$_->{name} ""x"" \xc3\xa9"} if $_->{name} ne 'c1' && rand() < 0.1;
	}
	my $key = { type => (qw(integer uuid short_code))[ $table - 1 ], required => 1 };
	sql("CREATE TABLE random_$table (id $key->{type} PRIMARY KEY, "
		  . join(', ', map { "$_->{name} $_->{type}" . ($_->{required} ? ' NOT NULL' : '') } @columns) . ');'
		  . "SELECT webhook.watch('random_$table', 'random_$table', exclude => ARRAY['c1']);"
		  . join(';', map { "SELECT webhook.create_webhook('random', 'random_$table.*', 'http://127.0.0.1:$port/random_$table/$_->{previous}/$_->{format}',"
				  . " format => '$_->{format}', previous => NULLIF('$_->{previous}', 'none'))" } @variants) . ';'
		  . join(';', map { "SELECT webhook.create_webhook('random', 'random_$table.*', 'http://127.0.0.1:$port/batch/random_$table/$_', format => '$_', batch_size => 7)" } @batches));
	push @changes, map {
		"INSERT INTO random_$table VALUES (" . join(', ', map { literal($_) } $key, @columns) . ')',
		"UPDATE random_$table SET (" . join(', ', map { $_->{name} } @columns) . ') = (SELECT ' . join(', ', map { literal($_) } @columns) . ')',
		"DELETE FROM random_$table"
	} 1 .. $rows;
}
describe();
sql(join(';', @changes));
@requests = arrived();
is(scalar(grep { $_->{path} !~ /batch/ } @requests), 3 * $rows * 3 * @variants, 'X14: all arrive');
is(scalar(map { @{ $_->{ids} // [] } } @requests), 3 * $rows * 3 * @batches, 'X14: the batches, too');
is_deeply([ map { @{ $_->{catalogue} // ["$_->{path}: none"] } } @requests ], [], 'X14: all are as describe_event() says');
is_deeply([ map { $_->{path} } grep { $_->{loose} } @requests ], [], 'X14: which allows no other keys');

sub openapi
{
	my $document = "$dir/openapi.json";

	unlink($document);
	append_to_file($document, $node->safe_psql('postgres', 'SELECT webhook.openapi()'));
	is(`node '$dir/openapi.mjs' <'$document'`, '{"version":"3.1","valid":true}', 'X14: openapi() is valid');
	return decode_json(slurp_file($document))->{webhooks};
}

is(scalar(keys %{ openapi() }), 3 * 3 * (@variants + @batches), 'X14: it has all of them');

is( sql(q{SELECT webhook.domain_schema('percent'::regtype), webhook.domain_schema('code'::regtype), webhook.domain_schema('size'::regtype),
		webhook.domain_schema('price'::regtype), webhook.domain_schema('either'::regtype), webhook.domain_schema('shouting'::regtype)}),
	q({"maximum": 100, "minimum": 0}|{"pattern": "^[A-Z]{2}[0-9]+$", "maxLength": 9}|{"enum": ["S", "M", "it's"]}|{"minimum": 0}|{}|{}),
	'X14: checks of domains are translated, or left out');

# X14: so are payloads that an integration, a transform or the owner's privileges change

sql("SELECT webhook.delete_webhook_by_id(id) FROM webhook.get_webhooks()");
sql(q{
	CREATE TABLE visitor (id integer PRIMARY KEY, event_uid text, profile text, name text, amount numeric, options jsonb, born date, secret text);
	CREATE TABLE made (id integer PRIMARY KEY, event_uid text);
	CREATE FUNCTION make(made) RETURNS jsonb LANGUAGE sql IMMUTABLE AS 'SELECT to_jsonb(ARRAY[$1.id])';
	CREATE FUNCTION turn(jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS 'SELECT jsonb_build_array($1)';
	SELECT webhook.watch('visitor', 'visitor', event_uid => 'event_uid', profile => 'profile'), webhook.watch('made', 'made', payload => 'make');
	CREATE ROLE poor;
	GRANT USAGE ON SCHEMA public, webhook TO poor;
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA webhook TO poor;
	GRANT SELECT (id, event_uid, profile, name) ON visitor TO poor;
});
my %shapes = (
	plain => '',
	form => q{SELECT webhook.set_form('form', 'visitor', '[{"name": "name", "type": "varchar", "required": true, "on_missing": "hold"},
		{"name": "amount", "type": "int", "default": 7}, {"name": "born", "type": "timestamp"}, {"name": "options", "type": "json"}, {"name": "none", "type": "boolean"}]');},
	account => q{SELECT webhook.set_field_mapping('[{"name": "who", "mapped_to": "name"}, {"name": "first", "mapped_to": "options[0]"},
		{"name": "x", "value": {"a": [1]}}, {"name": "none", "mapped_to": "no_such"}, {"name": "secret", "mapped_to": "secret"}]', 'account', entity_type => 'visitor');},
	profile => q{SELECT webhook.set_field_mapping('[{"name": "amount", "mapped_to": "amount"}]', 'profile', profile => 'p', entity_type => 'visitor');},
	both => q{SELECT webhook.set_field_mapping('[{"name": "a", "mapped_to": "amount"}, {"name": "b", "value": 1}]', 'both', entity_type => 'visitor'),
		webhook.set_field_mapping('[{"name": "a", "value": "text"}, {"name": "c", "mapped_to": "name"}]', 'both', event_uid => 'e2', entity_type => 'visitor');},
	template => q{SELECT webhook.set_payload_template('template', 'visitor', '{"a": {"b": "{{name}}", "c": "{{ amount }}"}, "d": ["x", 1, null, true, "{{options}} and {{id}}", []],
		"e": "{{options[1]}}", "f": "{{ options.x }}", "g": {}}');},
	formed => q{SELECT webhook.set_form('formed', 'visitor', '[{"name": "name", "type": "text"}, {"name": "born", "type": "date"}]'),
		webhook.set_payload_template('formed', 'visitor', '["{{name}}", "{{born}}", "x"]');},
);
foreach my $shape (sort keys %shapes)
{
	my @kinds = $shape eq 'plain' ? ('', ", transform => 'turn'") : (", integration => '$shape'");
	my $n = 0;

	sql("SELECT webhook.create_integration('$shape'), webhook.connect_profile('$shape', '$shape')") if $shapes{$shape};
	sql("SELECT webhook.connect_profile('$shape', 'p')") if $shape eq 'profile';
	sql("$shapes{$shape}; SELECT webhook.activate_integration('" . ($shape eq 'profile' ? 'p' : $shape) . "', '$shape')") if $shapes{$shape};
	foreach my $kind (@kinds)
	{
		$n++;
		foreach my $type (qw(visitor made))
		{
			sql(join(';', map { "SELECT webhook.create_webhook('shape', '$type.*', 'http://127.0.0.1:$port/$shape/$n/$type/$_->[0]'$kind, format => '$_->[0]', previous => $_->[1])" }
					[ 'rest', 'NULL' ], [ 'standard', "'changed'" ], [ 'entity', "'row'" ]));
		}
	}
}
sql("SET ROLE poor; SELECT webhook.create_webhook('poor', 'visitor.*', 'http://127.0.0.1:$port/poor/rest', format => 'rest')");
describe();
my $made = 0;
foreach my $shape (sort keys %shapes)
{
	sql(join(';', map { my ($uid, $name, $amount, $options) = @$_; $made++;
		"INSERT INTO visitor VALUES ($made, '$uid', '" . ($shape eq 'profile' ? 'p' : $shape) . "', $name, $amount, $options, '2024-02-29', 's'); UPDATE visitor SET name = 'x', amount = 1; DELETE FROM visitor;"
		  . "INSERT INTO made VALUES ($made, '$uid'); UPDATE made SET event_uid = 'y'; DELETE FROM made" }
		[ 'e1', "'Ann'", 1.5, q('["x", {"y": 1}]') ], [ 'e2', 'NULL', 'NULL', 'NULL' ], [ 'e1', q('"é'), 2, q('{"x": [1]}') ]));
}
@requests = arrived();
foreach my $shape (sort keys %shapes)
{
	cmp_ok(scalar(grep { $_->{path} =~ m{^/$shape/} } @requests), '>=', 24, "X14: those of $shape arrive");
}
cmp_ok(scalar(grep { $_->{path} =~ /poor/ } @requests), '>=', 18, 'X14: those with few columns arrive');
is_deeply([ map { @{ $_->{catalogue} // ["$_->{path}: none"] } } @requests ], [], 'X14: shaped ones are as describe_event() says');
my %loose = map { $_->{path} =~ m{^/(plain/2|\w+)} ? ($1 => 1) : () } grep { $_->{loose} && $_->{path} !~ /made/ } @requests;
is(join(' ', sort keys %loose), 'plain/2', 'X14: which allows other keys only where a transform may add them');
openapi();

# X14: what could not be sent to any webhook is rejected

my $plain = sql("SELECT min(id) FROM webhook.get_webhooks('shape')");
WebhookTest::fails_with($node, "SELECT webhook.describe_event('no.such')", 'P0002', 'event "no.such" is unknown', 'X14: unknown event');
WebhookTest::fails_with($node, "SELECT webhook.describe_event('made.create', $plain)", 'P0002', 'does not subscribe', 'X14: other event')
  if sql("SELECT event FROM webhook.get_webhooks() WHERE id = $plain") =~ /visitor/;
WebhookTest::fails_with($node, "SELECT webhook.describe_event($_)", '22023', 'argument "event"', "X14: $_") foreach "'visitor.*'", "''", "'a,b'";
WebhookTest::fails_with($node, 'SELECT webhook.describe_event(NULL)', '22004', 'argument "event"', 'X14: no event');
WebhookTest::fails_with($node, "SET ROLE poor; SELECT webhook.describe_event('visitor.create', $plain)", 'P0002', 'does not exist', "X14: another role's webhook");
WebhookTest::fails_with($node, "SET ROLE poor; SELECT webhook.describe_event('made.create')", '42501', 'permission denied', 'X14: another role\'s table');
is(join(' ', sort keys %{ decode_json($node->safe_psql('postgres', "SET ROLE poor; SELECT webhook.describe_event('visitor.create')"))->{properties}{result}{properties} }),
	'event_uid id name profile', 'X14: a role is shown the columns that it may select');
is($node->safe_psql('postgres', "SET ROLE poor; SELECT string_agg(k, ' ' ORDER BY k) FROM jsonb_object_keys(webhook.openapi() -> 'webhooks') AS k"),
	'visitor.create visitor.delete visitor.update', 'X14: and its own webhooks');
is($node->safe_psql('postgres', "SELECT webhook.openapi('no such app') -> 'webhooks'"), '{}', 'X14: an app without webhooks');

# I19: what presets send is as the services describe it, by schemas of our own, and as describe_event() says

sql("SELECT webhook.delete_webhook_by_id(id) FROM webhook.get_webhooks()");
sql("CREATE TABLE member (id integer PRIMARY KEY, firstname text, lastname text, email text);
	SELECT webhook.watch('member', 'member')");
my %presets = %{ decode_json($node->safe_psql('postgres', q{SELECT jsonb_object_agg(preset, parameters #>> '{examples,0}') FROM webhook.get_presets()})) };
my $published = decode_json(slurp_file("$source/presets.json"));
$published->{hubspot_oauth} = { body => $published->{hubspot}{body}, headers => {} };
is(join(' ', sort keys %presets), join(' ', sort keys %$published), 'I19: all presets are tested');
my %catalogue;
foreach my $preset (sort keys %presets)
{
	my $path = "/preset/$preset/" . ($preset =~ /make|n8n/ ? 'standard' : 'rest');
	my $id = sql("SELECT webhook.create_webhook_from_preset('$preset', 'presets', 'member.create,member.update', '$presets{$preset}')");

	sql("SELECT webhook.update_webhook($id, '{\"url\": \"http://127.0.0.1:$port$path\", \"oauth\": null}')");
	$catalogue{$path}{$preset} = { %{ $published->{$preset}{body} }, '$defs' => { headers => {
		type => 'object', properties => $published->{$preset}{headers}, required => [ keys %{ $published->{$preset}{headers} } ] } } };
}
foreach my $by ('the service', 'describe_event()')
{
	if ($by eq 'the service')
	{
		unlink("$dir/catalogue.json");
		append_to_file("$dir/catalogue.json", encode_json(\%catalogue));
	}
	else
	{
		describe();
	}
	sql(q{INSERT INTO member VALUES (1, 'Ann "A." <b>', E'O''Neil\\\\n', 'ann@example.com'); UPDATE member SET lastname = 'Zoë';
		DELETE FROM member});
	@requests = arrived();
	is(scalar(@requests), 2 * keys %presets, "I19: all arrive, for $by");
	is_deeply([ map { @{ $_->{catalogue} // ["$_->{path}: none"] } } @requests ], [], "I19: they are as $by says");
}
openapi();

# X9: signatures that others expect, with the text of the secret as their key; a library returns 1 for each secret that it accepts

sql("SELECT webhook.delete_webhook_by_id(id) FROM webhook.get_webhooks()");
my $shopify = q('{"X-Shopify-Topic": "guests/create", "X-Shopify-API-Version": "2025-01", "X-Shopify-Shop-Domain": "a.myshopify.com"}');
my %signed = (
	'/github/entity' => { by => ['github'], signature => q('github'), secret => q('It''s a secret to "everybody"') },
	'/stripe/entity' => { by => ['stripe'], signature => q('stripe'), secret => q('whsec_not+base64') },
	'/shopify/entity' => { by => ['shopify'], signature => q(E'shopify\nX-Shopify-Webhook-Id: {id}'), secret => q('hüsh'), headers => $shopify },
	'/template/entity' => { by => ['github'], signature => q('X-Hub-Signature-256: sha256={hmac_sha256_hex:{body}}') },
	'/all/entity' => { by => [qw(github stripe shopify standardwebhooks)], headers => $shopify,
		signature => q(E'github\nstripe\nshopify\nX-Shopify-Webhook-Id: {id}\nstandard') });
my %signed_id;
foreach my $path (sort keys %signed)
{
	my %arguments = %{ $signed{$path} };
	delete $arguments{by};
	$signed_id{$path} = subscribe($path, %arguments);
}

# The answers about the request for each path: by the libraries that should accept it, and by the others.
sub answers
{
	my ($path, @requests) = @_;
	my ($request) = grep { $_->{path} eq $path } @requests;
	my %by = map { $_ => 1 } @{ $signed{$path}{by} };

	return ([ map { truth($request->{$_}) } grep { $by{$_} } qw(github stripe shopify) ],
		[ map { @{ truth($request->{$_}) } } grep { !$by{$_} } qw(github stripe shopify) ],
		[ map { @{ truth($request->{"${_}_changed"}) } } qw(github stripe shopify) ], $request);
}

foreach my $body (q('{"n": "Zürich 東京 🎉"}'), q(to_jsonb(repeat('ü"\\', 300000))))
{
	sql("SELECT webhook.emit('note.signed', $body)");
	@requests = arrived();
	is(scalar(@requests), scalar(keys %signed), 'X9: all arrive');
	foreach my $path (sort keys %signed)
	{
		my ($accepted, $others, $changed, $request) = answers($path, @requests);

		is_deeply($accepted, [ map { [ 1, 0 ] } @$accepted ], "X9: $path: verified by @{$signed{$path}{by}} with the secret only");
		ok(!(grep { $_ } @$others), "X9: $path: and not by the others");
		ok(!(grep { $_ } @$changed), "X9: $path: nor with another body");
		is_deeply($request->{schema}, [], "X9: $path: it is as describe_format() says");
		is($request->{signature} // '', '', "X9: $path: without Standard Webhooks") if $path ne '/all/entity';
	}
	is_deeply(truth((grep { $_->{path} eq '/all/entity' } @requests)[0]{standardwebhooks}), [1], 'X9: beside Standard Webhooks');
}

# During a grace period Stripe's carries both signatures; the others have room for one, which is the new one

foreach my $path ('/github/entity', '/stripe/entity')
{
	my $old = $verify{$path}{texts}[0];

	sql("SELECT webhook.rotate_secret($signed_id{$path}, secret => 'another text, v2')");
	learn($path, $signed_id{$path}, $old);
}
sql(q{SELECT webhook.emit('note.grace', '{}')});
@requests = arrived();
is_deeply((answers('/stripe/entity', @requests))[0], [ [ 1, 1, 0 ] ], 'X9: Stripe: the new secret and the old one verify');
is_deeply((answers('/github/entity', @requests))[0], [ [ 1, 0, 0 ] ], 'X9: GitHub: the new one');
sql("UPDATE webhook.webhook SET previous_secret_until = now() WHERE id = $signed_id{'/stripe/entity'}");
sql(q{SELECT webhook.emit('note.grace', '{}')});
is_deeply((answers('/stripe/entity', arrived()))[0], [ [ 1, 0, 0 ] ], 'X9: Stripe: after it the new one only');
close($pipe);

# Debian's package, with rules as its users write them for GitHub

SKIP:
{
	Needs::skip_block("Debian's package webhook is not installed", 4) if system('webhook -version >/dev/null 2>&1');
	my @hooks = map { {
			id => $_->[0],
			'execute-command' => '/bin/true',
			'trigger-rule' => { match => { type => $_->[1], secret => $_->[2], parameter => { source => 'header', name => $_->[3] } } }
		} } (
			[ 'sha256', 'payload-hmac-sha256', 'the text', 'X-Hub-Signature-256' ],
			[ 'sha1', 'payload-hmac-sha1', 'the text', 'X-Hub-Signature' ],
			[ 'wrong', 'payload-hmac-sha256', 'other', 'X-Hub-Signature-256' ]);
	my $free = PostgreSQL::Test::Cluster::get_free_port();
	my %id;

	append_to_file("$dir/hooks.json", encode_json(\@hooks));
	my $server = IPC::Run::start([ 'webhook', '-hooks', "$dir/hooks.json", '-ip', '127.0.0.1', '-port', $free, '-nopanic' ],
		'>', "$dir/hooks.log", '2>&1');
	foreach (1 .. 100 * $PostgreSQL::Test::Utils::timeout_default)
	{
		last if IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $free);
		usleep(10_000);
	}
	sql("SELECT webhook.delete_webhook_by_id(id) FROM webhook.get_webhooks()");
	foreach ([ 'sha256', 'github' ], [ 'wrong', 'github' ], [ 'sha1', 'X-Hub-Signature: sha1={hmac_sha1_hex:{body}}' ])
	{
		$id{ $_->[0] } = WebhookTest::create_webhook($node, app => "'debian'", event => "'note.*'", signature => "'$_->[1]'",
			url => "'http://127.0.0.1:$free/hooks/$_->[0]'", secret => "'the text'", retry_schedule => "'{0,1 h}'");
	}
	sql(q{SELECT webhook.emit('note.debian', '{"a": 1}')});
	foreach ([ 'sha256', 'delivered' ], [ 'sha1', 'delivered' ], [ 'wrong', 'server_error' ])
	{
		becomes("SELECT outcome FROM webhook.get_webhook_log($id{$_->[0]})", $_->[1], "X9: Debian's webhook, $_->[0]");
	}
	is(sql("SELECT count(*) FROM webhook.get_webhook_log($id{sha256}) WHERE request_headers ~* 'webhook-signature'"), '0',
		'X9: without Standard Webhooks');
	$server->kill_kill;
}

# A token server

sql("SELECT webhook.delete_webhook_by_id(id) FROM webhook.get_webhooks()");
append_to_file("$dir/oauth", '');
open(my $oauth, '|-', 'node', "$dir/oauth.mjs", "$dir/oauth") or die "could not start node: $!";
foreach (1 .. 100 * $PostgreSQL::Test::Utils::timeout_default)
{
	last if -s "$dir/oauth.port";
	usleep(10_000);
}
my ($token_port, $api_port) = split(/\s+/, slurp_file("$dir/oauth.port"));
foreach ([ '/credentials', '"grant": "client_credentials", "scope": "one two"' ],
	[ '/body', '"grant": "client_credentials", "auth": "body"' ],
	[ '/refresh', '"grant": "refresh_token", "refresh_token": "any"' ],
	[ '/once', '"grant": "client_credentials", "scope": "once"' ])
{
	WebhookTest::create_webhook($node, app => "'oauth'", event => "'note.*'", url => "'http://127.0.0.1:$api_port$_->[0]'",
		oauth => qq('{"token_url": "http://127.0.0.1:$token_port/token", "client_id": "shop", "client_secret": "s&3", $_->[1]}'));
}
foreach (1 .. 2)
{
	sql(q{SELECT webhook.emit('note.token', '{}')});
	WebhookTest::wait_until_delivered($node);
}
my @notes = map { decode_json($_) } split(/\n/, slurp_file("$dir/oauth"));
my @sent = grep { exists $_->{accepted} } @notes;
is(join(' ', map { my $path = $_; join(',', $path, map { $_->{accepted} ? 'yes' : 'no' } grep { $_->{path} eq $path } @sent) }
		qw(/credentials /body /refresh /once)),
	'/credentials,yes,yes /body,yes,yes /refresh,yes,yes /once,yes,no,yes', 'X8: the tokens of oauth2-mock-server are verified by jose');
is((grep { $_->{path} eq '/credentials' } @sent)[0]{scope}, 'one two', 'X8: they have the scope');
is(join(' ', sort map { "$_->{grant}:$_->{client}" } grep { exists $_->{grant} } @notes),
	'client_credentials:shop:s%263 client_credentials:shop:s%263 client_credentials:shop:s%263 client_credentials:shop:s&3 refresh_token:shop:s%263',
	'X8: each is requested once, and another one after the 401');
close($oauth);

done_testing();
