# What a test needs and may not find.
#
# Where something is missing, a test is left out and says so.  In continuous integration, where the variable CI is set,
# test/bootstrap has installed everything and everything must be shown: there it fails.
#
# Nothing of PostgreSQL's is used here, so that a test can ask before it loads that.

package Needs;

use strict;
use warnings;

use Test::More;

# Leave out the whole test.
sub skip_all
{
	my ($reason) = @_;

	die "not to be left out here: $reason\n" if $ENV{CI};
	plan skip_all => $reason;
	return;
}

# Leave out the rest of a block that is labelled SKIP.
sub skip_block
{
	my ($reason, $count) = @_;

	die "not to be left out here: $reason\n" if $ENV{CI};
	skip $reason, $count;
	return;
}

1;
