# The watched table of all benchmarks, its rows, and the request body that one of them becomes.

package Bench::Guests;

use strict;
use warnings;

use Exporter qw(import);

our @EXPORT_OK = qw(create_table watch insert first_id body_file);

use constant BODY_LENGTH => 240;

# All ids have seven digits, so that all bodies have the same length.
use constant FIRST_ID => 1_000_000;

sub create_table
{
	my $cluster = shift;
	$cluster->sql(
		'CREATE TABLE guest (id bigint PRIMARY KEY, event_uid text NOT NULL, name text NOT NULL, note text NOT NULL)');
}

sub watch
{
	my $cluster = shift;
	$cluster->sql("SELECT webhook.watch('guest', 'guest', event_uid => 'event_uid')");
}

# An INSERT of count rows; uid is an SQL expression over the row's number i, which begins with first.
sub insert
{
	my ($count, $uid, $first) = @_;
	$first //= 0;
	return sprintf q{INSERT INTO guest SELECT %d + i, %s, 'Guest ' || %d + i, '%s' FROM generate_series(%d, %d) i},
	  FIRST_ID, $uid // "'event-0000'", FIRST_ID, _note(), $first, $first + $count - 1;
}

# A file with the body of one such row's message, for senders that know no database.
sub body_file
{
	my $file = "$ENV{BENCH_SCRATCH}/body.json";
	open my $out, '>', $file or die "$file: $!";
	print $out _body(FIRST_ID, _note());
	close $out;
	return $file;
}

sub _body
{
	my ($id, $note) = @_;
	return qq({"entity_id":$id,"entity_type":"guest","action_type":"new","result":)
	  . qq({"id":$id,"event_uid":"event-0000","name":"Guest $id","note":"$note"}});
}

sub _note
{
	return 'x' x (BODY_LENGTH - length _body(FIRST_ID, ''));
}

1;
