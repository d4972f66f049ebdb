# What is sent is as describe_format() says, in every format.
#
# Mission: W7 X1 X6 X17, M9, W6; goals: R6.

use strict;
use warnings;

use Encode ();
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql);

my $node = WebhookTest::start_node('formats');
my $receiver = WebhookTest::Receiver->start;
my @formats = qw(entity rest standard cloudevents cloudevents-binary thin);
my $json = JSON::PP->new->allow_nonref->utf8;

sub type_of
{
	my ($value) = @_;

	return 'null' unless defined $value;
	return 'boolean' if JSON::PP::is_bool($value);
	return { HASH => 'object', ARRAY => 'array' }->{ ref $value } if ref $value;
	return $json->encode($value) =~ /^"/ ? 'string' : $value =~ /^-?\d+$/ ? 'integer' : 'number';
}

# The keywords that are used: type, const, pattern, minLength, properties, required, additionalProperties, not, if.
my %keywords = map { $_ => 1 } qw($schema $comment $defs title description format type const pattern minLength properties required
  additionalProperties not if then else);

sub problems
{
	my ($schema, $value, $at) = @_;
	my @found = map { "unknown keyword $_" } grep { !$keywords{$_} } keys %$schema;
	my @types = ref $schema->{type} ? @{ $schema->{type} } : $schema->{type} // ();

	push @found, "$at: is " . type_of($value) if @types && !grep { $_ eq type_of($value) } @types;
	push @found, "$at: not $schema->{const}" if exists $schema->{const} && ($value // '') ne $schema->{const};
	push @found, "$at: $value" if exists $schema->{pattern} && ($value // '') !~ /$schema->{pattern}/;
	push @found, "$at: too short" if exists $schema->{minLength} && length($value // '') < $schema->{minLength};
	push @found, "$at: fits what it must not" if exists $schema->{not} && !problems($schema->{not}, $value, $at);
	if (exists $schema->{if})
	{
		my $branch = problems($schema->{if}, $value, $at) ? 'else' : 'then';
		push @found, problems($schema->{$branch}, $value, $at) if exists $schema->{$branch};
	}
	return @found unless ref $value eq 'HASH';
	push @found, map { "$at: $_ is missing" } grep { !exists $value->{$_} } @{ $schema->{required} // [] };
	foreach my $key (keys %$value)
	{
		my $property = ($schema->{properties} // {})->{$key};

		push @found, "$at: $key is not allowed"
		  if !$property && exists $schema->{additionalProperties} && !$schema->{additionalProperties};
		push @found, problems($property, $value->{$key}, "$at.$key") if $property;
	}
	return @found;
}

sql(q{
	CREATE TABLE guest (id integer PRIMARY KEY, name text, meta jsonb);
	CREATE TABLE code (code text PRIMARY KEY);
	SELECT webhook.watch('guest', 'guest');
	SELECT webhook.watch('code', 'code');
});
my %schema;
foreach my $format (@formats)
{
	$schema{$format} = $json->decode(sql("SELECT webhook.describe_format('$format')"));
	is($schema{$format}{'$schema'}, 'https://json-schema.org/draft/2020-12/schema', "W7: $format is described");
	WebhookTest::create_webhook($node, app => "'formats'", event => "'guest.*,code.*,app.sent'", format => "'$format'",
		url => "'" . $receiver->url("/$format") . "'");
}
sql(q{
	INSERT INTO guest VALUES (1, 'Zoë', '[1, {"a": null}]');
	UPDATE guest SET name = NULL;
	DELETE FROM guest;
	INSERT INTO code VALUES ('a/b "c" %');
	SELECT webhook.emit('app.sent', '{}');
	SELECT webhook.emit('app.sent', '[null]', entity_id => 'é');
	SELECT count(webhook.test_webhook(id)) FROM webhook.get_webhooks('formats');
});
WebhookTest::wait_until_delivered($node);
foreach my $format (@formats)
{
	my @requests = $receiver->requests("/$format");
	my @found = map { problems($schema{$format}, $json->decode($_->{body}), 'body') } @requests;
	my @header_problems = map { problems($schema{$format}{'$defs'}{headers}, $_->{headers}, 'headers') } @requests;

	is(scalar(@requests), 7, "W7: $format: seven messages arrive");
	is(join("\n", @found), '', "W7: $format: bodies are as described");
	is(join("\n", @header_problems), '', "W7: $format: headers are as described");
	next if $format =~ /rest|binary/;
	my $body = $json->decode($requests[0]{body});
	$body->{extra} = 1;
	ok(problems($schema{$format}, $body, 'body') > 0, "W7: $format: the schema refuses an unknown member");
}
my ($thin) = $receiver->requests('/thin');
like($thin->{body}, qr/^\{"id":"$thin->{headers}{'webhook-id'}","type":"guest\.create","timestamp":"[^"]+Z","entity_type":"guest","entity_id":1,"event_uid":null\}$/,
	'X17: a thin message contains its subject and nothing else');
WebhookTest::fails_with($node, "SELECT webhook.describe_format('xml')", '22023', 'argument "format"', 'R6: an unknown format is refused');
WebhookTest::fails_with($node, 'SELECT webhook.describe_format(NULL)', '22023', 'argument "format"', 'R6: so is NULL');

# An id may be empty, the subject of an event may not; a header with an empty value is sent

WebhookTest::create_webhook($node, app => "'empty'", event => "'app.empty'", format => "'$_'", url => "'" . $receiver->url("/empty-$_") . "'",
	headers => q('{"X-Empty": "", "X-Blank": " "}')) foreach @formats;
sql(q{SELECT webhook.emit('app.empty', '1', entity_id => '')});
WebhookTest::wait_until_delivered($node);
foreach my $format (@formats)
{
	my ($request) = $receiver->requests("/empty-$format");

	is( join("\n", problems($schema{$format}, $json->decode($request->{body}), 'body'),
			problems($schema{$format}{'$defs'}{headers}, $request->{headers}, 'headers')),
		'', "W7: $format: an empty id is as described");
	is(join(',', grep { /^x-(empty|blank)$/ } sort keys %{ $request->{headers} }), 'x-blank,x-empty', "I5: $format: headers with an empty value are sent");
}

# X1: the former values are next to the payload, in each format that has a member for them

sql("SELECT webhook.delete_webhook_by_id(id) FROM webhook.get_webhooks('formats')");
my @with_previous = qw(entity standard cloudevents);
foreach my $format (@with_previous)
{
	WebhookTest::create_webhook($node, app => "'previous'", event => "'guest.*'", format => "'$format'", previous => "'$_'",
		url => "'" . $receiver->url("/$_-$format") . "'", retry_schedule => "'{0,0,0}'") foreach qw(changed row);
}
$receiver->behave('/row-entity', status => 500, times => 1);
sql(q{
	INSERT INTO guest VALUES (2, 'Ann', '{"a": 1, "b":  [2]}');
	UPDATE guest SET name = 'Bea';
	UPDATE guest SET meta = '3';
	DELETE FROM guest;
});
WebhookTest::wait_until_delivered($node);
foreach my $format (@with_previous)
{
	foreach my $kind (qw(changed row))
	{
		my @requests = $receiver->requests("/$kind-$format");
		my %seen;
		@requests = grep { !$seen{ $_->{headers}{'webhook-id'} }++ } @requests;
		my @found = map { problems($schema{$format}, $json->decode($_->{body}), 'body') } @requests;

		is(join("\n", @found), '', "W7, X1: $format: bodies with $kind are as described");
		is( join("\n", map { $_->{body} =~ /,"previous":(.*)\}$/ ? $1 : '-' } @requests),
			$kind eq 'row' ? join("\n", '-', '{"id":2,"name":"Ann","meta":{"a": 1, "b": [2]}}', '{"id":2,"name":"Bea","meta":{"a": 1, "b": [2]}}',
				'{"id":2,"name":"Bea","meta":3}') :
			  join("\n", '-', '{"name":"Ann"}', '{"meta":{"a": 1, "b": [2]}}', '-'),
			"X1: $format: previous is $kind");
	}
}
my ($created, $again, $first) = $receiver->requests('/row-entity');
is($again->{headers}{'webhook-id'}, $created->{headers}{'webhook-id'}, 'W4: what failed is sent again');
like($first->{body}, qr/^\{"entity_id":2,"entity_type":"guest","action_type":"update","result":\{[^}]*\}+,"previous":/,
	'X1: previous follows the result');
like(($receiver->requests('/row-entity'))[-1]{body}, qr/^\{"entity_id":2,"entity_type":"guest","action_type":"delete","previous":\{/,
	'X1: in a deletion it follows the action');

# X1, M9, W6: they are stored with a waiting message, and sent again with a redelivered one

my $kept = sql("SELECT id FROM webhook.get_webhooks('previous') WHERE url LIKE '%/changed-entity'");
sql("SELECT webhook.deactivate_webhook($kept, buffer_events => true)");
sql(q{INSERT INTO guest VALUES (3, 'Cid'); UPDATE guest SET name = 'Dan'; UPDATE guest SET name = 'Eve'});
WebhookTest::becomes("SELECT buffered FROM webhook.stat_webhooks WHERE webhook_id = $kept", 3, 'M9: buffered');
$node->restart;
sql("SELECT webhook.activate_webhook($kept, replay_events => true)");
WebhookTest::wait_until_delivered($node);
my @replayed = ($receiver->requests('/changed-entity'))[-3 .. -1];
is(join(' ', map { $_->{body} =~ /,"previous":(.*)\}$/ ? $1 : '-' } @replayed), '- {"name":"Cid"} {"name":"Dan"}', 'X1, M9: buffered messages have their former values');
is(sql("SELECT webhook.redeliver($kept, '$replayed[2]{headers}{'webhook-id'}')"), 't', 'W6: a message is redelivered');
WebhookTest::wait_until_delivered($node);
is(($receiver->requests('/changed-entity'))[-1]{body}, $replayed[2]{body}, 'X1, W6: with the same former values');

# X6: the context of a change and its trace are sent with it

my $parent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
WebhookTest::create_webhook($node, app => "'context'", event => "'app.*'", format => "'$_'", url => "'" . $receiver->url("/context-$_") . "'",
	retry_schedule => "'{0,0}'") foreach @formats;
WebhookTest::create_webhook($node, app => "'context'", event => "'app.*'", url => "'" . $receiver->url('/context-own') . "'",
	headers => q('{"Traceparent": "mine"}'));
$receiver->behave('/context-entity', status => 500, times => 1);
sql(qq{
	BEGIN;
	SET LOCAL webhook.context = '{"user": "Zoë 🐘",
 "role": "a\\"b"}';
	SET LOCAL webhook.traceparent = '$parent';
	SET LOCAL webhook.tracestate = 'a=x"y\\z';
	SELECT webhook.emit('app.traced', '{}');
	COMMIT;
	SELECT webhook.emit('app.plain', '{}');
});
WebhookTest::wait_until_delivered($node);
my %spans;
foreach my $format (@formats)
{
	my @requests = $receiver->requests("/context-$format");
	my ($traced, $retried) = ($requests[0], $format eq 'entity' ? $requests[-1] : $requests[0]);
	my ($plain) = grep { $_->{headers}{'webhook-id'} ne $traced->{headers}{'webhook-id'} } @requests;
	($retried) = (grep { $_->{headers}{'webhook-id'} eq $traced->{headers}{'webhook-id'} } @requests)[-1];

	foreach my $request ($traced, $retried)
	{
		is($request->{headers}{'webhook-context'}, '{"user":"Zo\u00eb \ud83d\udc18","role":"a\"b"}', "X6: $format: the context is sent as ASCII");
		like($request->{headers}{traceparent}, qr/^00-0af7651916cd43dd8448eb211c80319c-(?!b7ad6b7169203331)[0-9a-f]{16}-01$/, "X6: $format: so is traceparent, with a new span");
		is($request->{headers}{tracestate}, 'a=x"y\\z', "X6: $format: and tracestate");
		$spans{ $request->{headers}{traceparent} }++;
	}
	is(join(',', grep { /trace|context/ } keys %{ $plain->{headers} }), '', "X6: $format: without them no such header is sent");
	is(join("\n", problems($schema{$format}, $json->decode($traced->{body}), 'body')), '', "W7, X6: $format: the body is as described");
}
is(scalar(keys %spans), @formats + 1, 'X6: each attempt is a span of its own');
my ($structured) = map { $json->decode($_->{body}) } $receiver->requests('/context-cloudevents');
is("$structured->{traceparent} $structured->{tracestate}", "$parent a=x\"y\\z", 'X6: a CloudEvent contains the trace');
is_deeply($json->decode(Encode::encode('UTF-8', $structured->{context})), { user => "Zo\x{eb} \x{1f418}", role => 'a"b' },
	'X6: the context of a CloudEvent is JSON as text');
my ($binary) = $receiver->requests('/context-cloudevents-binary');
is($binary->{headers}{'ce-traceparent'}, $parent, 'X6: ce-traceparent');
like($binary->{headers}{'ce-context'}, qr/^%7B|^\{%22user%22:/, 'X6: ce-context');
is(($receiver->requests('/context-own'))[0]{headers}{traceparent}, 'mine', 'X6: a header of the webhook takes precedence');
like(sql("SELECT string_agg(request_headers, '') FROM webhook.get_webhooks('context') AS w, webhook.get_webhook_log(w.id) AS l"),
	qr/webhook-context: \{"user"/, 'X6: the log shows the context');

done_testing();
