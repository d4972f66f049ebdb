# Values of types of other extensions: PostGIS, hstore, citext, ltree and cube, as columns, ids, event UIDs and in expressions.
#
# What is sent does not depend on the session's settings, including the search path: the extensions are in a schema of their own.
#
# Mission: W15; cases: C13, C14.

use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql becomes);

my $receiver = WebhookTest::Receiver->start;
my $node = WebhookTest::start_node('types');

sql(q{CREATE SCHEMA ext});
sql("CREATE EXTENSION $_ SCHEMA ext") foreach qw(postgis hstore citext ltree cube);
sql(q{ALTER DATABASE postgres SET search_path = public, ext});
sql(q{
	CREATE ROLE shop LOGIN;
	GRANT USAGE ON SCHEMA ext TO shop;
	CREATE TABLE place (code citext PRIMARY KEY, path ltree NOT NULL, attributes hstore, at geometry(Point, 4326), outline geometry,
		zone geography, box box2d, height geometry(PointZM),
		extent cube);
	GRANT ALL ON place TO shop;
	SELECT webhook.watch('place', 'place', event_uid => 'subpath(path, 0, 1)::text', deleted => 'attributes ? ''gone''')});
my $webhook = WebhookTest::create_webhook($node, app => q{'a'}, event => q{'place.*'}, event_uids => q{'Top'},
	url => "'" . $receiver->url('/p/{event_uid}/{entity_id}') . "'");

my $row = q{('Main', 'Top.Science', 'a=>1, "b c"=>NULL', ext.ST_SetSRID(ext.ST_MakePoint(0.1, 1/3.0), 4326),
	'POLYGON((0 0,0.1 0,0.1 0.1,0 0))', 'POINT(0.1 0.2)', 'BOX(0.1 0.2,0.3 0.4)', 'POINT ZM (0.1 0.2 0.3 0.4)', ext.cube(0.1::float8 + 0.2))};

sub last_body
{
	my ($count) = @_;

	$receiver->wait_for_count($count) or BAIL_OUT('a message does not arrive');
	return ($receiver->bodies)[ $count - 1 ];
}

# One row, written by sessions with different settings

sql("INSERT INTO place VALUES $row");
my $expected = last_body(1);
my $result = decode_json($expected)->{result};

is($result->{code}, 'Main', 'W15: citext');
is($result->{path}, 'Top.Science', 'W15: ltree');
is_deeply($result->{attributes}, { a => '1', 'b c' => undef }, 'W15: hstore');
is($result->{at}{type}, 'Point', 'W15: a geometry is GeoJSON');
is_deeply($result->{at}{coordinates}, [ 0.1, 0.333333333333333 ], 'W15: with the digits that PostGIS gives');
is($result->{outline}{type}, 'Polygon', 'W15: a polygon, too');
is($result->{zone}, sql('SELECT zone FROM place'), 'W15: a geography is its text');
is($result->{box}, 'BOX(0.1 0.2,0.3 0.4)', 'W15: a box is its text');
is($result->{extent}, '(0.30000000000000004)', 'W15: a cube is its text');
is(($receiver->requests)[0]{path}, '/p/Top/Main', 'W15: as entity id and event UID in a URL');
note($expected);

my %settings = (
	'no search path' => q{SET search_path = ''},
	'another search path' => q{CREATE TEMP TABLE place (a int); SET search_path = pg_temp, ext, public},
	'float digits' => 'SET extra_float_digits = -15',
	'all digits' => 'SET extra_float_digits = 3',
	'bytea' => q{SET bytea_output = 'escape'},
	'locale' => q{SET lc_numeric = 'C'; SET DateStyle = 'German'; SET TimeZone = 'Asia/Kathmandu'; SET IntervalStyle = 'sql_standard'},
	'encoding' => q{SET client_encoding = 'LATIN1'},
	'another role' => 'SET ROLE shop',
	'old backslashes' => 'SET standard_conforming_strings = off',
	'XML' => 'SET xmloption = document; SET xmlbinary = hex');
my $count = 1;
foreach my $name (sort keys %settings)
{
	sql('DELETE FROM place');
	$count += 1;
	sql("$settings{$name}; INSERT INTO public.place VALUES $row");
	is(last_body(++$count), $expected, "C13: the payload is the same with: $name");
}

# Values that PostGIS's cast to json refuses

sql('UPDATE place SET outline = ' . q{'CIRCULARSTRING(0 0,1 1,2 0)'});
$result = decode_json(last_body(++$count))->{result};
is($result->{outline}, sql('SELECT outline::text FROM place'), 'C14: a curve is its text');
my ($status, $out, $err) = $node->psql('postgres', q{
	UPDATE place SET outline = 'CIRCULARSTRING(0 0,1 1,3 0)';
	UPDATE place SET outline = 'CIRCULARSTRING(0 0,1 1,4 0)'});
is($status, 0, 'C14: the statements go on');
is(scalar(() = $err =~ /WARNING/g), 1, 'C14: with one warning for the table and the session') or note($err);
last_body($count += 2);
sql(q{SET search_path = ''; UPDATE public.place SET outline = 'CIRCULARSTRING(0 0,1 1,5 0)'});
is(decode_json(last_body(++$count))->{result}{outline}, sql('SELECT outline::text FROM place'), 'C13, C14: also without a search path');
sql(q{UPDATE place SET outline = 'POINT EMPTY', at = 'SRID=4326;POINT EMPTY', zone = NULL, box = NULL, height = NULL});
$result = decode_json(last_body(++$count))->{result};
is_deeply($result->{outline}{coordinates}, [], 'W15: an empty geometry');
is($result->{zone}, undef, 'W15: and NULL');

# Changes that are none to the operators of these types

sql(q{UPDATE place SET code = 'MAIN'});
my @last = map { decode_json($_) } last_body($count + 1), last_body($count + 2);
$count += 2;
is_deeply([ map { "$_->{action_type} $_->{entity_id}" } @last ], [ 'delete Main', 'new MAIN' ],
	'W15: an id that is equal only by citext is another id');
sql(q{UPDATE place SET attributes = '"b c"=>NULL, a=>1'});
sql(q{UPDATE place SET attributes = 'a=>2'});
is_deeply(decode_json(last_body(++$count))->{result}{attributes}, { a => '2' }, 'W15: an hstore in another order is no change');

# In expressions

sql(q{SET search_path = ''; UPDATE public.place SET attributes = 'gone=>1'});
is(decode_json(last_body(++$count))->{action_type}, 'delete', 'W15: an expression with an operator of hstore, without a search path');
sql(q{UPDATE place SET attributes = ''; UPDATE place SET path = 'Bottom.Science'; UPDATE place SET path = 'Top'});
WebhookTest::wait_until_delivered($node);
is_deeply([ map { decode_json($_)->{action_type} } ($receiver->bodies)[ $count .. $receiver->count - 1 ] ], [qw(new update)],
	'W15: an event UID by a function of ltree; rows of other events are not sent');
$count = $receiver->count;

# As ids in several columns, with the comma that joins them

sql(q{CREATE TABLE node (path ltree, name citext, PRIMARY KEY (path, name)); SELECT webhook.watch('node', 'node')});
WebhookTest::create_webhook($node, app => q{'a'}, event => q{'node.*'}, url => "'" . $receiver->url('/node/{entity_id}') . "'");
sql(q{SET search_path = ''; INSERT INTO public.node VALUES ('Top.Science', 'A, b'); UPDATE public.node SET path = 'Top.Arts'});
ok($receiver->wait_for(sub { 3 == grep { $_->{path} =~ m{^/node/} } @_ }), 'W15: a key of ltree and citext');
is_deeply([ map { my $body = decode_json($_->{body}); "$body->{action_type} $body->{entity_id}" } grep { $_->{path} =~ m{^/node/} } $receiver->requests ],
	[ 'new Top.Science,A\\, b', 'delete Top.Science,A\\, b', 'new Top.Arts,A\\, b' ], 'W15: is joined to an id, and its row is found');
$count += 3;

# In a filter and a payload function

sql(qq{SELECT webhook.update_webhook($webhook, '{"filter": {"attributes": {"kind": "hall"}, "at": {"type": "Point"}}}')});
sql(q{UPDATE place SET attributes = 'kind=>shed', at = 'SRID=4326;POINT(1 2)'});
sql(q{UPDATE place SET attributes = 'kind=>hall'});
is(decode_json(last_body(++$count))->{result}{attributes}{kind}, 'hall', 'W15: a filter on the values of an hstore and a geometry');
sql(qq{SELECT webhook.update_webhook($webhook, '{"filter": null}')});
sql(q{
	CREATE FUNCTION feature(place) RETURNS json LANGUAGE sql STABLE AS
		$$SELECT json_build_object('type', 'Feature', 'geometry', ST_AsGeoJSON($1.at)::json, 'path', $1.path || 'x')$$;
	SELECT webhook.watch('place', 'place', event_uid => 'subpath(path, 0, 1)::text', payload => 'feature')});
sql(q{SET search_path = ''; SET extra_float_digits = 0; UPDATE public.place SET attributes = NULL});
is(decode_json(last_body(++$count))->{result}{path}, 'Top.x', 'W15: a payload function with operators of ltree, without a search path');
is($receiver->count, $count, 'W1: nothing else was sent');

$node->stop;
$receiver->stop;
done_testing();
