/*-------------------------------------------------------------------------
 *
 * integration.h
 *		Integrations, their profiles and their API keys.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_INTEGRATION_H
#define WEBHOOK_INTEGRATION_H

#include "asowner.h"
#include "utils/array.h"

/*
 * Within as_owner_begin(): an error unless the integration exists and the caller
 * may manage it.  It cannot be deleted until the transaction ends.
 */
extern void integration_require(const AsOwner *state, const char *name);

/* Text of an argument that is a free name of 1 to 200 characters, or an error that names it. */
extern char *integration_label(FunctionCallInfo fcinfo, int n, const char *argument);

/*
 * Whose API key is this?  The name, and the profiles whose data it may see (text[]), in
 * the current memory context.  An error that says nothing when it is no key.
 */
extern char *integration_of_key(const char *api_key, ArrayType **profiles);

/*
 * Raise a notification for each API key that has become too old.  In a transaction
 * of the worker, with SPI connected.
 */
extern void integration_report_ages(void);

#endif							/* WEBHOOK_INTEGRATION_H */
