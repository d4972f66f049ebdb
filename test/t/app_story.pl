# Runs test/story.sql, and checks what the receivers get.
#
# Mission: I1 I2 I3 I7 I8 I10 I11 I12 I13 I16 X15.

use strict;
use warnings;

use File::Basename qw(dirname);
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql);

my $node = WebhookTest::start_node('story');
my $receiver = WebhookTest::Receiver->start;
my $story = dirname(__FILE__) . '/../story.sql';
my $url = $receiver->url('');
my ($output, $errors);

sub bodies
{
	return [ map { $_->{body} } $receiver->requests($_[0]) ];
}

$url =~ s{/$}{};
my $result = $node->psql('postgres', slurp_file($story), on_error_stop => 1,
	extra_params => [ '-v', "receiver=$url" ], stdout => \$output, stderr => \$errors);
is($result, 0, 'the script runs') or diag($errors);
WebhookTest::wait_until_delivered($node);

is_deeply(
	[ sort @{ bodies('/crm') } ],
	[
		'{"Email":"ada@example.org","Name":"Lovelace","Company":"Analytical Engines","Category":"Speaker","Workshop":"SQL","Source":"conference","Diet":"vegan"}',
		'{"Email":"grace@example.org","Name":"Hopper","Company":"Navy","Category":"Visitor","Workshop":null,"Source":"conference"}'
	],
	'the CRM gets guests mapped on three levels, at the expo only paid ones');
is(scalar(@{ bodies('/newsletter') }), 1, 'the newsletter gets the guests of its own profile');
like(bodies('/newsletter')->[0], qr/^\{"uid":"a4","event_uid":"GALA-26",.*"options":\[\]\}$/, 'unmapped, without the secret column');
is_deeply(bodies('/vip'), [ bodies('/crm')->[0] ], 'the manual action sends what the CRM was sent');
like($output, qr/^Greet as VIP\|crm$/m, 'the manual action is listed with the name of the webhook');
like($output, qr/"total": 1/, 'the API returns one guest of the conference');
like($output, qr/\Q{"data": [{"uid": "CONF-26", "name": "PostgreSQL Day"}, {"uid": "EXPO-26", "name": "Database Expo"}], "meta": {"total": 2}}\E/,
	'and the events of the profile it may see');
like($output, qr/\Q{"data": [], "meta": {"total": 0}}\E/, 'an integration without API access gets nothing');

# X15: another database with the same tables, configured with the document.
my $document = sql(q{SELECT webhook.export_config(true)});
my ($tables) = slurp_file($story) =~ /^(CREATE TABLE event .*?)^INSERT/ms;
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->safe_psql('copy', "CREATE EXTENSION webhook; $tables");
$node->psql('copy', 'SELECT object FROM webhook.apply_config(:\'document\', true); SELECT object FROM webhook.apply_config(:\'document\')',
	extra_params => [ '-v', "document=$document" ], on_error_stop => 1, stdout => \my $objects, stderr => \$errors);
my @objects = split(/\n/, $objects);
is(scalar(@objects), 2 * 15, 'X15: a dry run lists what a document creates, then it is created') or diag($objects, $errors);
is($node->safe_psql('copy', 'SELECT webhook.export_config(true)'), $document, 'X15: the copy has the same configuration');

$node->stop;
done_testing();
