/*-------------------------------------------------------------------------
 *
 * proxy_settings.h
 *		The settings of the proxy.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_PROXY_SETTINGS_H
#define WEBHOOK_PROXY_SETTINGS_H

#include "pure/proxy.h"

/* Where names are resolved. */
typedef enum ProxyResolve
{
	PROXY_RESOLVE_LOCAL,
	PROXY_RESOLVE_PROXY
} ProxyResolve;

extern int	webhook_proxy_resolve;	/* ProxyResolve */
extern char *webhook_proxy_ca_file; /* empty: the system's authorities */

/* Define the settings; called once from _PG_init, before settings_init() reserves the prefix. */
extern void proxy_settings_init(void);

/* The parsed forms.  The pointers stay valid; a reload changes what they point to. */
extern const ProxyServer *proxy_settings_server(void);
extern const ProxyExceptions *proxy_settings_exceptions(void);

#endif							/* WEBHOOK_PROXY_SETTINGS_H */
