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

#endif							/* WEBHOOK_INTEGRATION_H */
