# Prometheus and its postgres exporter, both Debian's, read what the README says that they do, and its alerts go off when they
# should.  Packages that are not installed are unpacked into a temporary directory; nothing is installed, no service started.
#
# Mission: X11.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use HTTP::Tiny;
use IPC::Run;
use JSON::PP;
use Needs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use WebhookTest qw(sql becomes emit);

my $here = dirname(abs_path(__FILE__));
my $top = dirname(dirname($here));
my $dir = PostgreSQL::Test::Utils::tempdir();
my $readme = slurp_file("$top/README.md");

# The directory for temporary files may belong to root.
$ENV{TMPDIR} = $dir;

# A program, from a package that is unpacked if need be.
sub program
{
	my ($package, $name) = @_;
	my ($path) = grep { -x $_ } map { "$_/$name" } split(/:/, $ENV{PATH});

	return $path if $path;
	Needs::skip_all("package $package cannot be fetched")
	  if system("cd '$dir' && apt-get -q download $package >$package.log 2>&1 && dpkg-deb -x ${package}_*.deb . && rm ${package}_*.deb");
	return "$dir/usr/bin/$name";
}

my $exporter = program('prometheus-postgres-exporter', 'prometheus-postgres-exporter');
my $prometheus = program('prometheus', 'prometheus');
my $promtool = -x "$dir/usr/bin/promtool" ? "$dir/usr/bin/promtool" : program('prometheus', 'promtool');

# The block of YAML in the README that begins with this line, without its indentation, as a file.
sub from_readme
{
	my ($first, $file) = @_;
	my ($indent, $text) = $readme =~ /^( *)```yaml\n(\1\Q$first\E\n.*?)^\1```$/ms or die "there is no \"$first\"";

	$text =~ s/^$indent//mg;
	append_to_file("$dir/$file", $text);
	return;
}

# What promtool says, which should be nothing but that it was successful.
sub promtool
{
	my ($input, @arguments) = @_;
	my $said = '';

	my $good = IPC::Run::run([ $promtool, @arguments ], '<', \$input, '>', \$said, '2>&1');
	return ($good ? '' : 'failed: ') . $said;
}

from_readme('groups:', 'rules.yaml');
from_readme('webhook:', 'webhook.yaml');
like(promtool('', 'check', 'rules', "$dir/rules.yaml"), qr/SUCCESS/, 'X11: the rules are valid');
append_to_file("$dir/alerts.yaml", slurp_file("$here/alerts.yaml") =~ s/RULES/rules.yaml/r);
my $tested = promtool('', 'test', 'rules', "$dir/alerts.yaml");
like($tested, qr/SUCCESS/, 'X11: each alert goes off when it should, and not before') or diag($tested);

my $node = WebhookTest::start_node('prometheus');
my $receiver = WebhookTest::Receiver->start;
my $good = $receiver->webhook('/good', event => "'thing.*'", app => "'a \"good\" one'");
my $gone = $receiver->webhook('/gone', event => "'none'", app => "'gone'", name => "'with a name'");
emit($_) foreach 1 .. 3;
becomes("SELECT delivered FROM webhook.stat_webhooks WHERE webhook_id = $good", 3, 'messages are delivered');
sql(qq{UPDATE webhook.webhook SET active = false, buffering = true, deactivated_at = now(), deactivation_reason = 'failing' WHERE id = $gone;
	CREATE ROLE monitor LOGIN; GRANT USAGE ON SCHEMA webhook TO monitor; GRANT SELECT ON webhook.stat_webhooks, webhook.stat_workers TO monitor;
	GRANT EXECUTE ON FUNCTION webhook.metrics, webhook.backlog_estimate, webhook.worker_slots, webhook.worker_states TO monitor});

is(promtool(sql('SELECT webhook.metrics()') . "\n", 'check', 'metrics'), '', 'X11: promtool finds nothing to complain of');

my ($exporter_port, $port) = map { PostgreSQL::Test::Cluster::get_free_port() } 1 .. 2;
my $connection = $node->connstr('postgres') . ' user=monitor';
my @started;
sub start
{
	my ($name, @command) = @_;

	push @started, IPC::Run::start(\@command, '<', \undef, '>', "$dir/$name.out", '2>', "$dir/$name.err");
	return;
}

{
	local $ENV{DATA_SOURCE_NAME} = "$connection sslmode=disable";
	start('exporter', $exporter, "--web.listen-address=127.0.0.1:$exporter_port", "--extend.query-path=$dir/webhook.yaml", '--disable-default-metrics');
}
start('page', 'python3', "$top/test/page.py", '--port-file', "$dir/page.port", $connection);
usleep(50_000) until -s "$dir/page.port" || !$started[1]->pumpable;
my $page = '127.0.0.1:' . slurp_file("$dir/page.port") =~ s/\s//gr;
append_to_file("$dir/prometheus.yaml", <<"YAML");
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yaml]
scrape_configs:
  - job_name: page
    static_configs: [{targets: ['$page']}]
  - job_name: exporter
    static_configs: [{targets: ['127.0.0.1:$exporter_port']}]
YAML
like(promtool('', 'check', 'config', "$dir/prometheus.yaml"), qr/SUCCESS/, 'the configuration is valid');
start('prometheus', $prometheus, "--config.file=$dir/prometheus.yaml", "--storage.tsdb.path=$dir/tsdb", "--web.listen-address=127.0.0.1:$port");

my $http = HTTP::Tiny->new(proxy => undef, http_proxy => undef, timeout => 60);
sub ask
{
	my ($what) = @_;
	my $answer = $http->get("http://127.0.0.1:$port/api/v1/$what");

	return $answer->{success} ? decode_json($answer->{content})->{data} : undef;
}

# Expect a query, encoded for a URL, to find this, now or soon: the value by job.
sub finds
{
	my ($query, $expected, $name) = @_;
	my $found = '';

	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		my $data = ask("query?query=$query") // { result => [] };

		$found = join(' ', sort map { "$_->{metric}{job}=$_->{value}[1]" } @{ $data->{result} });
		last if $found eq $expected;
		usleep(100_000);
	}
	is($found, $expected, $name);
	return;
}

finds("webhook_deliveries_total%7Bwebhook_id=%22$good%22,app=%22a%20%5C%22good%5C%22%20one%22,result=%22delivered%22%7D", 'exporter=3 page=3', 'X11: Prometheus reads what was delivered');
finds("webhook_deactivated%7Bwebhook_id=%22$gone%22%7D", 'exporter=1 page=1', 'X11: which webhook is deactivated');
finds("webhook_active%7Bwebhook_id=%22$good%22%7D", 'exporter=1 page=1', 'X11: and which is active');
finds("sum%20by(job)(webhook_backlog_messages)", 'exporter=0 page=0', 'X11: that nothing waits');
finds("webhook_oldest_pending_age_seconds%7Bwebhook_id=%22$good%22%7D", 'exporter=0 page=0', 'X11: not even for a moment');
finds('webhook_worker_up', 'exporter=1 page=1', 'X11: and that there is a worker');
finds('webhook_proxy_failing_seconds', 'exporter=0 page=0', 'X11: whose proxy does not fail');
finds("ALERTS%7Balertname=%22WebhookDeactivated%22,alertstate=%22firing%22%7D", 'exporter=1 page=1', 'X11: the alert goes off');
is(join(' ', map { $_->{state} } map { @{ $_->{alerts} } } grep { $_->{name} ne 'WebhookDeactivated' } map { @{ $_->{rules} } } @{ ask('rules')->{groups} }),
	'', 'X11: and no other');

$_->kill_kill foreach @started;
$node->stop;
$receiver->stop;
done_testing();
