/*-------------------------------------------------------------------------
 *
 * assertion.h
 *		Assertions in files that do not include postgres.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ASSERTION_H
#define WEBHOOK_ASSERTION_H

#ifdef USE_ASSERT_CHECKING
#include <assert.h>

#define ASSERT(condition) assert(condition)
#else
#define ASSERT(condition) ((void) true)
#endif

#endif							/* WEBHOOK_ASSERTION_H */
