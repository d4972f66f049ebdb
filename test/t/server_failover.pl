# Failover in the middle of a backfill and of a replay, with load: the promoted standby goes on with both.
#
# Mission: X3, X4.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql becomes);

my $primary = WebhookTest::start_node('primary', 'webhook.history_retention = 1d', 'max_worker_processes = 20', 'log_statement = none');
my $receiver = WebhookTest::Receiver->start;
my $script = $primary->basedir . '/load';
my $progress = 'FROM webhook.stat_progress_backfill';

append_to_file($script, "\\set g random(1, 500)\n\\set h random(501, 900)\nUPDATE guest SET n = n + 1 WHERE id = :g;\n" .
	"INSERT INTO guest VALUES (:h, 0) ON CONFLICT (id) DO UPDATE SET n = guest.n + 1;\nDELETE FROM guest WHERE id = :h + 1;\n");
sql(q{CREATE TABLE guest (id integer PRIMARY KEY, n integer); SELECT webhook.watch('guest', 'guest')});
my $replayed = $receiver->webhook('/replay', event => "'guest.*'");
sql('INSERT INTO guest SELECT i, 0 FROM generate_series(1, 500) AS i');
WebhookTest::wait_until_delivered($primary);

$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->append_conf('postgresql.conf', "synchronous_standby_names = '*'");
$primary->reload;
becomes(q{SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'}, 1, 'there is a synchronous standby');

# One receiver loses its data, another one is new.
$receiver->reset;
my $load = WebhookTest::start_load($primary, $script);
becomes('SELECT count(*) > 10 FROM guest WHERE id > 500', 't', 'there is load');
my $backfilled = $receiver->webhook('/backfill', event => "'guest.*'");
sql("SELECT webhook.update_webhook($replayed, '{\"rate_limit\": 100}')");
cmp_ok(sql("SELECT webhook.replay($replayed, '-infinity')"), '>', 500, 'X4: a replay');
sql("SELECT webhook.backfill($backfilled, 'guest', rate => 100)");
becomes("SELECT count(*) $progress WHERE rows_sent > 50", 2, 'X3, X4: replay and backfill are under way');
is(sql("SELECT count(*) $progress WHERE finished_at IS NULL"), 2, 'X3, X4: and have not ended');
$primary->stop('immediate');
$load->kill_kill;
$standby->promote;

$load = WebhookTest::start_load($standby, $script);
ok($standby->poll_query_until('postgres', "SELECT count(*) $progress WHERE phase = 'finished'", 2), 'X3, X4: both go on after the failover, and end')
  or diag($standby->safe_psql('postgres', "SELECT * $progress"));
$load->kill_kill;
$standby->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'pgbench'});
WebhookTest::wait_until_delivered($standby);
my $table = $standby->safe_psql('postgres', q{SELECT string_agg(r, E'\n' ORDER BY r COLLATE "C") FROM (SELECT 'guest ' || id || ' ' || n FROM guest) AS t (r)});
is($receiver->copy("/$_"), $table, "X3, X4: the copy equals the table: $_") foreach qw(replay backfill);

$standby->stop('fast');
done_testing();
