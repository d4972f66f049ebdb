# The pages in a browser: none is wider than the screen, asks for anything or lets data become code, and axe-core finds no
# fault.  With no webhooks, with three, with a thousand, and with hostile names.  SHOTS=directory keeps pictures.
#
# Mission: X12, M8.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Copy qw(copy);
use IPC::Run;
use Needs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql);

my $here = dirname(abs_path(__FILE__));
my $dir = PostgreSQL::Test::Utils::tempdir();
my ($chromium) = grep { -x $_ } map { ("$_/chromium", "$_/chromium-browser", "$_/google-chrome") } split(/:/, $ENV{PATH});

Needs::skip_all('chromium is not installed') if !$chromium;
copy("$here/$_", "$dir/$_") foreach qw(package.json package-lock.json look.js);
Needs::skip_all('the npm registry cannot be reached')
  if system("cd '$dir' && HOME='$dir' npm_config_cache='$dir/cache' npm ci --ignore-scripts --no-audit --no-fund >npm.log 2>&1");

my $node = WebhookTest::start_node('pages', 'webhook.dispatch = off');

sql('CREATE DATABASE empty');
$node->safe_psql('empty', 'CREATE EXTENSION webhook');
my @pages;

sub page
{
	my ($name, $call, $database) = @_;

	append_to_file("$dir/$name.html", $node->safe_psql($database // 'postgres', "SELECT webhook.$call"));
	push @pages, "$dir/$name.html";
	return;
}

# A webhook with a made up history of two hours and ten days; one that fails has done so for 18 minutes.
sql(<<'SQL');
CREATE FUNCTION made_up(webhook bigint, rate integer, fails boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO webhook.activity_minute
		SELECT webhook, date_trunc('minute', now()) - i * interval '1 min', now(), 1000 - i, rate * (130 - i), 0, rate * (131 - i), 0,
			ARRAY[rate * (130 - i), 0, 0, rate], ARRAY[0, 0, rate * (130 - i)], ARRAY[0, 0, rate * (100 - i), rate, 1], 0, 0
		FROM generate_series(1, 125) AS i;
	INSERT INTO webhook.activity_hour
		SELECT webhook, date_trunc('hour', now()) - i * interval '1 hour', now(), 1000 - i, rate * (300 - i), 0, rate * (301 - i), 0,
			ARRAY[rate * (300 - i), 0, 0, rate], ARRAY[0, 0, rate * (300 - i)], ARRAY[0, 0, rate * (300 - i), rate, 1], 0, 0
		FROM generate_series(1, 240) AS i;
	INSERT INTO webhook.health (webhook_id, seq, delivered, attempts, recorded_at, outcomes, last_success_at, last_failure_at, last_error,
			failures, failing_since, probes, next_probe_at)
		SELECT webhook, 1000, rate * 300, rate * 302, date_trunc('minute', now()), ARRAY[rate * 300, 0, 0, rate], now(), now(), 'HTTP status 503',
			f.failures, f.since, f.probes, f.next
		FROM (VALUES (true, 9, now() - interval '18 min', 4, now() + interval '20 min'), (false, 0, NULL, 0, NULL)) AS f (fails, failures, since, probes, next)
		WHERE f.fails = made_up.fails;
	INSERT INTO webhook.log (webhook_id, seq, attempted_at, message_id, event, attempt, method, url, request_headers, request_body, status,
			response_headers, response_body, duration, error, outcome)
		SELECT webhook, i, now(), gen_random_uuid(), 'guest.create', i, 'POST', 'https://x.example.com/"><script>', 'Authorization: ***',
			'</pre><script>alert(1)</script>' || repeat('x', 3000), 503, 'HTTP/1.1 503', '</details>' || repeat('<', 3000), '35 ms', '<img src=x>', 'server_error'
		FROM generate_series(1, 10) AS i;
	INSERT INTO webhook.delivery (webhook_id, id, message_id, event, entity_type, entity_id, created_at, order_key, attempts, state, last_error)
		SELECT webhook, -i, gen_random_uuid(), 'guest.create', 'guest', '"<b>"', now() - interval '6 min', 0, 1, 'waiting', '</li><script>' FROM generate_series(1, 3) AS i;
END
$$;
SQL

page('empty', 'status_page()', 'empty');
sql(q{SELECT webhook.create_webhook('crm', 'event.*,guest.*', 'https://crm.example.com/in', name => 'Customers'),
		webhook.create_webhook('badges', 'guest.create', 'https://printer.example.com/{event_uid}/{entity_id}', method => 'PUT'),
		webhook.create_webhook('erp', 'order.*', 'https://erp.example.com/', name => 'Accounting')});
sql(q{SELECT made_up(0, 30, false), made_up(1, 20, false), made_up(2, 3, true), made_up(3, 7, false);
	UPDATE webhook.webhook SET active = false, buffering = true, deactivated_at = now() - interval '9 hours', deactivation_reason = 'failing' WHERE id = 3;
	INSERT INTO webhook.notification (webhook_id, kind, message, token) VALUES (3, 'deactivated', 'webhook 3 has been deactivated', '"><script>')});
page('three', 'status_page()');
page("three_$_", "status_page($_)") foreach 1 .. 3;
page('activate', q{reactivation_page('"><script>')});
page('none', 'status_page(99)');
sql(q{SELECT webhook.create_webhook('<script>alert(1)</script>', 'guest.*', 'https://x.example.com/', name => '</title></style><script>alert(1)</script>'),
		webhook.create_webhook(U&'\0645\0631\062D\0628\0627 \202E abc', 'guest.*', 'https://x.example.com/', name => U&'\05E9\05DC\05D5\05DD (1)'),
		webhook.create_webhook(repeat('W', 200), 'guest.*', 'https://x.example.com/' || repeat('x', 300), name => repeat('long_name_', 20))});
sql(q{SELECT made_up(n, n, true) FROM generate_series(4, 6) AS n});
page('hostile', 'status_page()');
page("hostile_$_", "status_page($_)") foreach 4, 6;
sql(q{SELECT count(webhook.create_webhook('app ' || n, 'guest.*', 'https://x.example.com/')) FROM generate_series(1, 994) AS n});
sql(q{SELECT made_up(n, 1, n % 100 = 0) FROM generate_series(7, 1000) AS n});
page('thousand', 'status_page()');
$node->stop;

# The directory for temporary files may belong to root, and the path of Chromium's socket must be short.
local $ENV{TMPDIR} = PostgreSQL::Test::Utils::tempdir_short();
local $ENV{HOME} = $dir;
my ($said, $errors);
my $done = IPC::Run::run([ 'node', "$dir/look.js", $chromium, @pages ], '>', \$said, '2>', \$errors);
ok($done, 'X12: the browser has looked at ' . scalar(@pages) . ' pages') or diag($errors);
is($done ? $said : 'nothing', '', 'X12, M8: and has found nothing wrong');
done_testing();
