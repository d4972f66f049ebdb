/*-------------------------------------------------------------------------
 *
 * endpoint_config.h
 *		The configuration of an endpoint, from the webhook's row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ENDPOINT_CONFIG_H
#define WEBHOOK_ENDPOINT_CONFIG_H

#include "send/endpoint.h"

/*
 * Load the configuration into its context, which must be empty, except for the generation.
 * Returns false if the webhook does not exist.  The former token is not released.  Requires
 * a transaction with SPI connected.
 */
extern bool endpoint_config_load(Endpoint *endpoint);

/* Free the signature and its keys, which are not in the context. */
extern void endpoint_config_free_signature(Endpoint *endpoint);

#endif							/* WEBHOOK_ENDPOINT_CONFIG_H */
