# Things that a test needs and that may be missing.
#
# If something is missing, the test is skipped.  In continuous integration, where the variable CI is set,
# test/bootstrap has installed everything and every test must run: there it fails.
#
# This uses none of PostgreSQL's modules, so that a test can call it before it loads them.

package Needs;

use strict;
use warnings;

use Test::More;

# Skip the whole test.
sub skip_all
{
	my ($reason) = @_;

	die "not to be left out here: $reason\n" if $ENV{CI};
	plan skip_all => $reason;
	return;
}

# Skip the rest of a block labelled SKIP.
sub skip_block
{
	my ($reason, $count) = @_;

	die "not to be left out here: $reason\n" if $ENV{CI};
	skip $reason, $count;
	return;
}

1;
