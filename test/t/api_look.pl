# What operators look at: activity over time, metrics for Prometheus, the pages.
#
# Mission: X11, X12, M8, W12, W14; goals: P7, P10, P17.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use HTTP::Tiny;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use WebhookTest qw(sql becomes let_pass);

my $node = WebhookTest::start_node('look', 'autovacuum = off');
my $receiver = WebhookTest::Receiver->start;

sub create
{
	my ($app, %arguments) = @_;

	return WebhookTest::create_webhook($node, app => "'$app'", event => "'$app'", url => "'" . $receiver->url("/$app") . "'", %arguments);
}

sub send_to
{
	my ($app, $n) = @_;

	sql("SELECT count(webhook.emit('$app', jsonb_build_object('n', n), n::text)) FROM generate_series(1, $n) n");
	return;
}

# ---------- the history ----------

my $well = create('well');
my $bad = create('bad', retry_schedule => "'{0,1s}'");
$receiver->behave('/bad', status => 503);

sub history_becomes
{
	my ($id, $columns, $expected, $name, $period) = @_;
	$period //= 'minute';

	becomes("SELECT $columns FROM webhook.stat_webhooks_history WHERE webhook_id = $id AND period = '$period'", $expected, $name);
	return;
}

is(sql('SELECT count(*) FROM webhook.stat_webhooks_history'), 0, 'X11: without activity stat_webhooks_history is empty');
send_to('well', 20);
send_to('bad', 1);
history_becomes($well, 'sum(delivered), sum(failed), sum(attempts)', '20|0|20', 'X11: deliveries are counted by the minute');
history_becomes($well, 'DISTINCT outcomes ->> $$delivered$$ IS NOT NULL', 't', 'X11: attempts by outcome');
history_becomes($bad, 'sum(delivered), sum((outcomes ->> $$server_error$$)::integer), count(outcomes -> $$delivered$$)', '0|2|0', 'X11: so are failures');
is( sql("SELECT bool_and(duration_p50 BETWEEN '0' AND duration_p90 AND duration_p99 BETWEEN duration_p90 AND '30s'
			AND latency_p50 BETWEEN '0' AND latency_p90 AND latency_p99 BETWEEN latency_p90 AND '1min')
		 FROM webhook.stat_webhooks_history WHERE webhook_id = $well"), 't', 'X11: percentiles of durations and of latencies');
is(sql("SELECT bool_and(latency_p50 IS NULL AND duration_p50 IS NOT NULL) FROM webhook.stat_webhooks_history WHERE webhook_id = $bad"), 't',
	'X11: what was not delivered has no latency');
is(sql("SELECT sum(n) FROM webhook.stat_webhooks_history, unnest(latencies) AS n WHERE webhook_id = $well AND period = 'hour'"), 20,
	'X11: each delivery is in the histogram');

sub total { return sql("SELECT sum(delivered), sum(failed), sum(attempts) FROM webhook.activity(0, 'minute')"); }

is(total(), '20|0|22', 'X11: all webhooks together');

let_pass(120);
send_to('well', 5);
history_becomes($well, 'count(*) >= 2, sum(delivered)', 't|25', 'X11: a later minute has a row of its own');
history_becomes($well, '(array_agg(delivered ORDER BY since DESC))[1]', 5, 'X11: which has only what was done in it');
let_pass(3600);
send_to('well', 7);
history_becomes($well, 'count(*) >= 2, sum(delivered)', 't|32', 'X11: so has a later hour', 'hour');

# Tests and activation are not counted, but write to the same tables.
sql("SELECT webhook.test_webhook($well)");
becomes("SELECT event FROM webhook.get_webhook_log($well) LIMIT 1", 'well.test', 'E6: a test call');
sql("SELECT webhook.deactivate_webhook($well), webhook.activate_webhook($well)");
history_becomes($well, 'sum(delivered), sum(attempts)', '32|32', 'X11: neither tests nor activation change it');

# What is not stored but computed from stored counters survives a restart.
my $before = sql("TABLE webhook.stat_webhooks_history");
$node->restart;
is(sql("TABLE webhook.stat_webhooks_history"), $before, 'X11: it survives a restart');
send_to('well', 3);
history_becomes($well, 'sum(delivered)', 35, 'X11: counting goes on after it');
becomes("SELECT sum(delivered), sum(failed), sum(attempts) FROM webhook.activity(0, 'minute')", '35|0|37', 'X11: so does that of all webhooks');

# While a snapshot is held, for any length of time, the tables are truncated in turn and have no dead rows.
my $report = WebhookTest::session($node);
$report->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_current_xact_id()');
my $delivered = 35;
foreach my $round (1 .. 7)
{
	let_pass(45 * 60);
	send_to('well', 1);
	$delivered++;
	becomes("SELECT delivered FROM webhook.stat_webhooks WHERE webhook_id = $well", $delivered, "X11: 45 minutes later, $round");
}
is(sql('SELECT (SELECT count(*) FROM webhook.activity_minute WHERE webhook_id = 0) + (SELECT count(*) FROM webhook.activity_minute_1 WHERE webhook_id = 0) BETWEEN 3 AND 8'),
	't', 'X11, P7: minutes of more than four hours ago are gone');
history_becomes($well, 'sum(delivered)', $delivered, 'X11: the hours still contain them', 'hour');
is(sql(q{SELECT sum(n_dead_tup) FROM pg_stat_all_tables WHERE schemaname = 'webhook' AND relname ~ '^(activity|health)'}), 0, 'P7: no dead rows');
$report->query_safe('COMMIT');
$report->quit;

# Old rows are not shown, whether they have been removed or not.
sql(q{UPDATE webhook.health SET recorded_at = recorded_at - interval '1 day'; UPDATE webhook.health_1 SET recorded_at = recorded_at - interval '1 day'});
sql("UPDATE webhook.$_ SET recorded_at = recorded_at - interval '1 day'") foreach qw(activity_minute activity_minute_1);
history_becomes($well, 'count(*)', 0, 'X11: minutes are shown for two hours');
history_becomes($well, 'count(*) > 0', 't', 'X11: hours are shown for days', 'hour');
sql("SELECT webhook.delete_webhook_by_id($well)");
is(sql("SELECT count(*) FROM webhook.activity_minute WHERE webhook_id = $well") + sql("SELECT count(*) FROM webhook.activity_hour WHERE webhook_id = $well"),
	0, 'M4: the history goes with the webhook');


# ---------- metrics ----------

# The faults of a text in the format of Prometheus; an empty string if it is valid.
sub metrics_faults
{
	my (%type, %seen, %last, @faults);
	my $family = '';

	foreach my $line (split(/\n/, $_[0]))
	{
		if ($line =~ /^# (HELP|TYPE) ([a-z_]+) (.+)$/)
		{
			push @faults, "twice: $line" if $seen{"$1 $2"}++;
			$type{$2} = $3 if $1 eq 'TYPE';
			$family = $2;
			next;
		}
		my ($name, $labels, $value) = $line =~ /^([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (-?[0-9.]+)$/;

		if (!defined $name) { push @faults, "no sample: $line"; next }
		push @faults, "twice: $line" if $seen{"$name " . ($labels // '')}++;
		my $is_bucket = $name eq $family . '_bucket';

		push @faults, "of another family than $family: $line"
		  if $name ne $family && !($type{$family} eq 'histogram' && $name =~ /^\Q$family\E_(bucket|sum|count)$/);
		push @faults, "name and type: $line" if ($type{$family} eq 'counter') != ($family =~ /_total$/ ? 1 : 0);
		next if $type{$family} ne 'histogram' || $name =~ /_sum$/;
		my ($set, $le) = ($labels // '') =~ /^(.*?),?(?:le="([^"]+)")?$/;

		push @faults, "not cumulative: $line" if $is_bucket && $value < ($last{$family . $set} // 0);
		push @faults, "count: $line" if !$is_bucket && $value != $last{$family . $set};
		$last{$family . $set} = $value if $is_bucket;
	}
	push @faults, 'no end of line' if $_[0] eq '';
	return join("\n", @faults);
}

sub metric
{
	my ($metrics, $sample) = @_;

	return $metrics =~ /^\Q$sample\E (\S+)$/m ? $1 : 'missing';
}

my $odd = create('odd', name => q{'a "quoted"\ name'});
send_to('odd', 3);
becomes("SELECT delivered FROM webhook.stat_webhooks WHERE webhook_id = $odd", 3, 'X11: three deliveries');
is(sql(q{SELECT webhook.metrics_label('app', E'two\nlines')}), 'app="two\nlines"', 'X11: newlines are escaped');
my $metrics = sql('SELECT webhook.metrics()');
is(metrics_faults($metrics), '', 'X11: the format of metrics() is valid');
my $labels = qq{webhook_id="$odd",app="odd",name="a \\"quoted\\"\\\\ name"};
is(metric($metrics, "webhook_deliveries_total{$labels,result=\"delivered\"}"), 3, 'X11: deliveries, and labels are escaped');
is(metric($metrics, "webhook_attempts_total{$labels,outcome=\"delivered\"}"), 3, 'X11: attempts');
is(metric($metrics, "webhook_delivery_latency_seconds_count{$labels}"), 3, 'X11: latencies');
is(metric($metrics, "webhook_attempt_duration_seconds_bucket{$labels,le=\"+Inf\"}"), 3, 'X11: durations');
is(metric($metrics, "webhook_attempts_total{webhook_id=\"$bad\",app=\"bad\",outcome=\"server_error\"}"), 2, 'X11: failures');
is(metric($metrics, "webhook_deactivated{webhook_id=\"$bad\",app=\"bad\"}"), 1, 'X11: the state');
is(metric($metrics, 'webhook_worker_up{database="postgres"}'), 1, 'X11: the worker');
is(metric($metrics, 'webhook_proxy_failing_seconds{database="postgres"}'), '0.000', 'X11: the proxy');
cmp_ok(metric($metrics, 'webhook_storage_bytes{part="outbox"}'), '>', 0, 'X11: storage');

sql(q{CREATE ROLE one; CREATE ROLE other; CREATE ROLE monitor; GRANT USAGE ON SCHEMA webhook TO one, other, monitor;
	GRANT EXECUTE ON FUNCTION webhook.metrics, webhook.status_page, webhook.create_webhook TO one, other, monitor;
	GRANT SELECT ON webhook.stat_webhooks TO monitor; GRANT EXECUTE ON FUNCTION webhook.backlog_estimate TO monitor});
my $url = $receiver->url('/hostile');
my $hostile = sql(qq{SET ROLE one; SELECT webhook.create_webhook('<script>alert(1)</script>', 'guest.*', '$url', name => '</title>"''&')});
like(sql('SET ROLE one; SELECT webhook.metrics()'), qr/webhook_id="$hostile"/, 'W14: a role sees its webhooks');
unlike(sql('SET ROLE one; SELECT webhook.metrics()'), qr/webhook_id="$odd"/, 'W14: and no others in metrics()');
like(sql('SET ROLE monitor; SELECT webhook.metrics()'), qr/webhook_id="$odd"/, 'X11: a role that may read stat_webhooks sees all');

# ---------- the pages ----------

# Elements of a page, without its style: texts must not add any.
sub tags { my ($page) = @_; $page =~ s/<style>.*?<\/style>//s; return sort { $a cmp $b } keys %{ { map { lc($_) => 1 } $page =~ /<\/?([^\s>]+)/g } } }

my $known = join('|', qw(html head meta title link body header main h1 h2 h3 small time div strong dl dt dd section figure figcaption span svg path
	  ul li a bdi br p details summary pre form input button br !doctype));
sub page_is_sound
{
	my ($page, $name) = @_;

	like($page, qr/^<!DOCTYPE html>\n<html lang="en">.*<\/html>$/s, "X12: $name: a complete document");
	is(join(' ', grep { !/^(?:$known)$/ } tags($page)), '', "X12: $name: no elements but its own");
	like($page, qr/<meta http-equiv="Content-Security-Policy" content="default-src &#39;none&#39;; style-src &#39;sha256-[^ ;]+&#39;;/, "X12: $name: nothing else may be loaded or run");
	unlike($page, qr/<[^>]*\s(?:on\w+|src|style)=/, "X12: $name: no scripts, nothing from other hosts");
	return $page;
}

my $page = page_is_sound(sql('SELECT webhook.status_page()'), 'all webhooks');
like($page, qr/1 webhook is deactivated/, 'X12: the page begins with what is wrong');
like($page, qr/<ul><li><bdi>HTTP status 503<\/bdi>: <a href="\?webhook_id=$bad"><bdi>bad<\/bdi><\/a><\/li><\/ul><\/div>/, 'X12: and says why');
like($page, qr/because all attempts failed: <bdi>HTTP status 503/, 'X12: of each webhook');
like($page, qr/&lt;script&gt;alert\(1\)/, 'X12: names are escaped');
$page = page_is_sound(sql("SELECT webhook.status_page($bad)"), 'one webhook');
like($page, qr/<h2 id="requests">.*<pre tabindex="0">Status 503\n/s, 'X12: the last requests are shown in full');
like($page, qr/SELECT webhook\.activate_webhook\($bad, replay_events =&gt; true\);/, 'X12: and what can be done about a failing webhook');
page_is_sound(sql('SET ROLE other; SELECT webhook.status_page()'), 'no webhooks');
like(sql('SET ROLE other; SELECT webhook.status_page()'), qr/There are no webhooks yet/, 'W14: other roles see no webhooks');
like(sql("SET ROLE other; SELECT webhook.status_page($odd)"), qr/There is no such webhook/, 'W14: nor the page of one of them');
like(sql("SET ROLE monitor; SELECT webhook.status_page($odd)"), qr/There is no such webhook/, 'W14: nor does a monitor see requests');

# Looking needs no transaction id, and so no WAL.
is((split /\n/, sql("BEGIN READ ONLY; SELECT webhook.status_page(), webhook.status_page($bad), webhook.metrics(), webhook.reactivation_page('x') \\g /dev/null
	SELECT pg_current_xact_id_if_assigned() IS NULL; COMMIT"))[-1], 't', 'P10: looking writes nothing');

# The page that the link of a notification leads to changes nothing.
my $token = sql("SELECT token FROM webhook.notification WHERE webhook_id = $bad AND token IS NOT NULL");
$page = page_is_sound(sql("SELECT webhook.reactivation_page('$token')"), 'reactivation');
is(() = $page =~ /<form method="post"><input type="hidden" name="token" value="\Q$token\E"/g, 2, 'M8: the page has two buttons');
like($page, qr/form-action &#39;self&#39;/, 'M8: which its Content-Security-Policy allows');
is(sql("SELECT active FROM webhook.webhook WHERE id = $bad"), 'f', 'M8: the page changes nothing');
$receiver->behave('/bad');

# The program that serves the pages.
my $top = dirname(dirname(dirname(abs_path(__FILE__))));
my $port_file = "$PostgreSQL::Test::Utils::tmp_check/page.port";
my $server = IPC::Run::start([ 'python3', "$top/test/page.py", '--port-file', $port_file, '--refresh', 5, $node->connstr('postgres') ], '>', \my $said);
usleep(50_000) until -s $port_file || !$server->pumpable;
my $address = 'http://127.0.0.1:' . slurp_file($port_file) =~ s/\s//gr;
my $http = HTTP::Tiny->new(proxy => undef, http_proxy => undef, max_redirect => 0, timeout => 60);
my $answer = $http->get("$address/");
like($answer->{content}, qr/1 webhook is deactivated/, 'X12: the page is served');
is($answer->{headers}{refresh}, 5, 'X12: and refreshed');
like($http->get("$address/?webhook_id=$bad")->{content}, qr/The last ten requests/, 'X12: so is the page of one webhook');
is($http->get("$address/?webhook_id=1;x")->{status}, 503, 'R6: an invalid id is refused');
is(metrics_faults($http->get("$address/metrics")->{content}), '', 'X11: the metrics are served');
like($http->get("$address/reactivate?token=$token")->{content}, qr/<button/, 'M8: so is the page that the link leads to');
is(sql("SELECT active FROM webhook.webhook WHERE id = $bad"), 'f', 'M8: a GET changes nothing');
is($http->post_form("$address/reactivate", [ token => $token, replay_events => 'true' ])->{status}, 303, 'M8: a POST activates');
is(sql("SELECT active FROM webhook.webhook WHERE id = $bad"), 't', 'M8: the webhook is active');
is($http->post_form("$address/reactivate", [ token => $token, replay_events => 'true' ])->{status}, 409, 'M8: the token works once');
$server->kill_kill;
like(sql("SELECT webhook.reactivation_page('$token')"), qr/There is nothing to activate/, 'M8: the token has been used');
page_is_sound(sql("SELECT webhook.reactivation_page('<b>')"), 'reactivation without a token');

# Many webhooks: sizes are bounded, and no table but webhook.webhook is read as a whole.
sql("SELECT count(webhook.create_webhook('app ' || n % 20, 'none', '$url')) FROM generate_series(1, 1000) n");
$metrics = sql('SELECT webhook.metrics()');
is(metrics_faults($metrics), '', 'X11: the format with many webhooks is valid');
is(metric($metrics, 'webhook_active{app="app 7"}'), 50, 'X11: more than a thousand webhooks are aggregated by app');
cmp_ok(length($metrics), '<', 500_000, 'X11: so the size is bounded');
cmp_ok(length(page_is_sound(sql('SELECT webhook.status_page()'), 'many webhooks')), '<', 2_000_000, 'P17: the page with many webhooks is bounded');
sql(q{INSERT INTO webhook.activity_minute SELECT w, now() - i * interval '1 min', now(), i, i, 0, i, 0, '{1}', '{1}', '{1}', 0, 0
	FROM generate_series(900, 1000) w, generate_series(1, 100) i; ANALYZE webhook.activity_minute;
	INSERT INTO webhook.log (webhook_id, seq, attempted_at, message_id, event, attempt, method, url, duration, outcome)
	SELECT w, i, now(), gen_random_uuid(), 'x', 1, 'POST', '', '0', 'delivered' FROM generate_series(900, 1000) w, generate_series(1, 100) i; ANALYZE webhook.log});
foreach my $look ('webhook.status_page()', "webhook.status_page($odd)", 'webhook.metrics()')
{
	my $rows = sql("BEGIN; SELECT 1 FROM (SELECT $look) AS l; SELECT sum(pg_stat_get_xact_tuples_returned(relid)) FROM pg_stat_user_tables"
		  . q{ WHERE schemaname = 'webhook' AND relname ~ '^(activity|log|health|outbox|delivery)'; COMMIT});

	cmp_ok((split /\n/, $rows)[-1], '<', 5000, "P17: $look reads no table of the history as a whole");
}

# A role that owns more than a hundred of them: 101 times 100.
sql(q{UPDATE webhook.webhook SET owner = 'other' WHERE id BETWEEN 900 AND 1000});
like(sql('SET ROLE other; SELECT webhook.status_page()'), qr/>10,100 delivered</, 'X12: the plots add up all webhooks of the role');

$node->stop;
$receiver->stop;
done_testing();
