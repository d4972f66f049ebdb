# Numbers become lines of a table.

package Bench::Report;

use strict;
use warnings;

use Exporter qw(import);

our @EXPORT_OK = qw(median percentile rounds);

sub new
{
	my $class = shift;
	return bless { rows => [], notes => [] }, $class;
}

# One measurement: ours and baseline as they shall be printed; value is what the goal, like '>= 0.8', is about.
sub add
{
	my ($self, %row) = @_;
	push @{ $self->{rows} }, \%row;
	printf "  %s: %s\n", $row{what}, _value(\%row);
}

sub note
{
	my ($self, $format, @values) = @_;
	my $text = sprintf $format, @values;
	push @{ $self->{notes} }, $text;
	print "  $text\n";
}

sub table
{
	my $self = shift;
	my @lines = ([ '', 'what', 'ours', 'baseline', 'ratio', 'goal', '' ]);
	for my $row (@{ $self->{rows} })
	{
		my $ok = _reached($row);
		push @lines,
		  [ @$row{qw(id what ours baseline)}, _value($row), $row->{goal} // '', !defined $ok ? '' : $ok ? 'ok' : 'MISSED' ];
	}
	my @width;
	for my $line (@lines)
	{
		for my $i (0 .. $#$line)
		{
			$width[$i] = length $line->[$i] if length $line->[$i] > ($width[$i] // 0);
		}
	}
	my $text = '';
	for my $line (@lines)
	{
		my @cells = map { sprintf $_ < 2 ? '%-*s' : '%*s', $width[$_], $line->[$_] } 0 .. $#$line;
		$text .= join('  ', @cells) =~ s/\s+$//r . "\n";
	}
	return $text . join '', map { "$_\n" } @{ $self->{notes} };
}

sub goals
{
	my $self = shift;
	return scalar grep { defined _reached($_) } @{ $self->{rows} };
}

sub reached
{
	my $self = shift;
	return scalar grep { _reached($_) } @{ $self->{rows} };
}

sub machine
{
	my $cores = `nproc`;
	my ($model) = `cat /proc/cpuinfo` =~ /model name\s*:\s*(.*)/;
	my @versions = (`$ENV{BENCH_BINDIR}/postgres --version`, `curl-config --version 2>/dev/null`,
		`nginx -v 2>&1 || /usr/sbin/nginx -v 2>&1`, `uname -sr`);
	chomp($cores, @versions);
	return sprintf "%d cores (%s); %s\n", $cores, $model // 'unknown',
	  join '; ', grep { length && !/not found/ } @versions;
}

sub _value
{
	my $row = shift;
	return sprintf '%.2f', $row->{value};
}

# undef when there is no goal
sub _reached
{
	my $row = shift;
	my ($operator, $limit) = ($row->{goal} // '') =~ /^(<|<=|>=) ([\d.]+)/ or return undef;
	return $operator eq '<' ? $row->{value} < $limit
	  : $operator eq '<=' ? $row->{value} <= $limit
	  : $row->{value} >= $limit;
}

sub median
{
	return percentile(50, @_);
}

sub percentile
{
	my ($percent, @values) = @_;
	die "nothing was measured\n" unless @values;
	@values = sort { $a <=> $b } @values;
	return $values[ int($#values * $percent / 100 + 0.5) ];
}

# How often things are done alternately, so that a slow moment of the machine hits both sides.
sub rounds
{
	my ($default) = @_;
	return $ENV{BENCH_ROUNDS} || $default;
}

1;
