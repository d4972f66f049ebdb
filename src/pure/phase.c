/*-------------------------------------------------------------------------
 *
 * phase.c
 *		The phases of a delivery in memory, and how they follow each other.
 *
 * src/README.md explains each transition; test/unit/phase_test.c compares the
 * table there with this one.
 *
 *-------------------------------------------------------------------------
 */
#include "pure/phase.h"

#define TO(phase)		(1 << PHASE_##phase)

static const struct
{
	const char *name;
	int			next;			/* bits of the phases that may follow */
}			phases[PHASE_COUNT] = {
	[PHASE_NEW] = {"new", TO(HELD) | TO(PREPARING) | TO(READY) | TO(TO_WRITE)},
	[PHASE_HELD] = {"held", TO(PREPARING) | TO(READY) | TO(SENDING) | TO(TO_WRITE) | TO(GONE)},
	[PHASE_PREPARING] = {"preparing", TO(READY) | TO(TO_WRITE) | TO(GONE)},
	[PHASE_READY] = {"ready", TO(SENDING) | TO(TO_WRITE) | TO(GONE)},
	[PHASE_SENDING] = {"sending", TO(HELD) | TO(PREPARING) | TO(READY) | TO(TO_WRITE) | TO(GONE)},
	[PHASE_TO_WRITE] = {"to write", TO(GONE)},
	[PHASE_GONE] = {"gone", 0}
};


const char *
phase_name(DeliveryPhase phase)
{
	return phases[phase].name;
}

bool
phase_may_follow(DeliveryPhase from, DeliveryPhase to)
{
	return (phases[from].next & (1 << to)) != 0;
}
