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
#include "datatype/timestamp.h"
#include "utils/array.h"

/*
 * Within as_owner_begin(): an error unless the integration exists and the caller
 * may manage it.  It cannot be deleted until the transaction ends.
 */
extern void integration_require(const AsOwner *state, const char *name);

/* Text of an argument that is a free name of 1 to 200 characters, or an error that names it. */
extern char *integration_label(FunctionCallInfo fcinfo, int n, const char *argument);

/* Whom an API key belongs to. */
typedef struct IntegrationKey
{
	char	   *integration;
	Oid			owner;
	ArrayType  *profiles;		/* text[]: whose data it may see */
} IntegrationKey;

/*
 * Whose API key is this (NULL: nobody's)?  In the current memory context.  An error that says nothing
 * when it is no key.
 */
extern void integration_of_key(const char *api_key, IntegrationKey *result);

/*
 * The worker's part: is it time to look at the age of API keys?  If so, it is to call
 * integration_report_ages(), in a transaction with SPI connected; that raises a notification
 * for each that has become too old.
 */
extern bool integration_report_due(TimestampTz now);
extern void integration_report_ages(TimestampTz now);

#endif							/* WEBHOOK_INTEGRATION_H */
