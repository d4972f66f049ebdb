/*-------------------------------------------------------------------------
 *
 * integration.h
 *		Integrations, their profiles and their API keys.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_INTEGRATION_H
#define WEBHOOK_INTEGRATION_H

#include "base/as_owner.h"
#include "utils/array.h"

/* What an API key grants access to. */
typedef struct IntegrationKey
{
	char	   *integration;
	Oid			owner;
	ArrayType  *profiles;		/* text[]: whose data it may read */
} IntegrationKey;

/*
 * Look up an API key, which may be NULL.  Palloc'd.  If it is not valid, raises an
 * error that does not reveal why.
 */
extern void integration_of_key(const char *api_key, IntegrationKey *result);

#endif							/* WEBHOOK_INTEGRATION_H */
