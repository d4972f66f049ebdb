# The benchmarks, in the order asked for; see run for how to call them.

use strict;
use warnings;

use Bench::Backfill;
use Bench::Capture;
use Bench::Drain;
use Bench::History;
use Bench::Idle;
use Bench::Latency;
use Bench::Look;
use Bench::Once;
use Bench::Report;
use Bench::Turns;

my %benchmarks = (
	P1  => \&Bench::Drain::ceiling_ratio,
	P2  => \&Bench::Drain::many_webhooks,
	P3  => \&Bench::Latency::commit_to_receipt,
	P4  => \&Bench::Capture::outbox_trigger,
	P5  => \&Bench::Capture::none_matching,
	P6  => \&Bench::Capture::single_rows,
	P7  => \&Bench::Drain::backlog,
	P8  => \&Bench::Latency::bad_receivers,
	P12 => \&Bench::Drain::batches,
	P10 => \&Bench::Idle::cost_of_nothing,
	P14 => \&Bench::Backfill::beside_live_messages,
	P15 => \&Bench::History::cost_and_search,
	P16 => \&Bench::Capture::former_values,
	P17 => \&Bench::Look::many_webhooks,
	P18 => \&Bench::Capture::expressions,
	ONCE => \&Bench::Once::through,
	HELD => \&Bench::Drain::held_snapshot,
	C35 => \&Bench::Look::pages,
	C41 => \&Bench::Look::backlog,
	TURNS => \&Bench::Turns::databases_in_turn,
	AUTH => \&Bench::Drain::authorization,
	PROXY => \&Bench::Drain::proxied,
	SIGN => \&Bench::Drain::signing,
	I13 => \&Bench::Drain::mapping);

my @wanted = map { uc } @ARGV;
@wanted = sort { ($a =~ s/\D//gr || 99) <=> ($b =~ s/\D//gr || 99) } keys %benchmarks
  if "@wanted" eq 'ALL';
for my $id (@wanted)
{
	die "there is no benchmark $id; there are @{[ sort keys %benchmarks ]}\n"
	  unless $benchmarks{$id};
}

$| = 1;

# So that an interrupted run still stops the servers: they go with their objects.
$SIG{INT} = $SIG{TERM} = $SIG{HUP} = sub { exit 1 };

my $report = Bench::Report->new;
print $report->machine;
for my $id (@wanted)
{
	print "\n$id\n";
	$benchmarks{$id}->($report);
}
print "\n", $report->table;
printf "%d of %d goals reached\n", $report->reached, $report->goals;
