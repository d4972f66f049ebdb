/*-------------------------------------------------------------------------
 *
 * proxy_settings.c
 *		The settings of the proxy.
 *
 * The password in webhook.proxy must not get into the server's log, but PostgreSQL logs the
 * values of settings: of one that is invalid, and of one that has changed since the last
 * reload, which it finds out by comparing their texts.  So there is no text.  The check hook
 * parses and then erases it, and the show hook makes another one without the password.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/guc.h"

#include "base/argument.h"
#include "base/proxy_settings.h"
#include "base/settings.h"

static char *proxy_settings_url = NULL; /* always "" */
static char *proxy_settings_no_proxy = NULL;
int			webhook_proxy_resolve = PROXY_RESOLVE_LOCAL;
char	   *webhook_proxy_ca_file = NULL;

static ProxyServer proxy_settings_parsed_server;
static ProxyExceptions proxy_settings_parsed_exceptions;

static const struct config_enum_entry proxy_settings_resolve_options[] = {
	{"local", PROXY_RESOLVE_LOCAL, false},
	{"proxy", PROXY_RESOLVE_PROXY, false},
	{NULL, 0, false}
};


static bool
proxy_settings_check_url(char **newval, void **extra, GucSource source)
{
	ProxyServer server;
	const char *problem = proxy_parse(*newval, &server);

	memset(*newval, '\0', strlen(*newval));
	if (problem != NULL)
	{
		GUC_check_errmsg("invalid value for parameter \"webhook.proxy\"");
		GUC_check_errdetail("%s", problem);
		GUC_check_errhint("Specify a URL such as \"http://user:password@proxy.example.com:3128\", in which special characters of user and password are percent-encoded.");
		return false;
	}
	*extra = settings_allocate_extra(sizeof(server));
	if (*extra == NULL)
		return false;
	memcpy(*extra, &server, sizeof(server));
	return true;
}

static void
proxy_settings_assign_url(const char *newval, void *extra)
{
	memcpy(&proxy_settings_parsed_server, extra, sizeof(proxy_settings_parsed_server));
}

static const char *
proxy_settings_show_url(void)
{
	static char shown[PROXY_MAX_SHOWN];

	proxy_show(&proxy_settings_parsed_server, shown, sizeof(shown));
	return shown;
}

static bool
proxy_settings_check_no_proxy(char **newval, void **extra, GucSource source)
{
	ProxyExceptions exceptions;
	const char *bad;
	size_t		bad_len;

	if (!proxy_parse_exceptions(*newval, &exceptions, &bad, &bad_len))
	{
		if (exceptions.networks.count >= NETGUARD_MAX_NETWORKS)
			GUC_check_errdetail("The list has more than %d networks.", NETGUARD_MAX_NETWORKS);
		else if (bad_len == 0)
			GUC_check_errdetail("The list has an empty entry.");
		else
			GUC_check_errdetail("\"%s\" is not a host name, domain or network.", argument_excerpt(bad, bad_len));
		GUC_check_errhint("Specify names and networks separated by commas, such as \"intranet.example.com, 10.0.0.0/8\".");
		return false;
	}
	*extra = settings_allocate_extra(sizeof(exceptions));
	if (*extra == NULL)
		return false;
	memcpy(*extra, &exceptions, sizeof(exceptions));
	return true;
}

static void
proxy_settings_assign_no_proxy(const char *newval, void *extra)
{
	memcpy(&proxy_settings_parsed_exceptions, extra, sizeof(proxy_settings_parsed_exceptions));
}

static bool
proxy_settings_check_ca_file(char **newval, void **extra, GucSource source)
{
	if (**newval == '\0' || is_absolute_path(*newval))
		return true;
	GUC_check_errdetail("The file is not an absolute path.");
	return false;
}

void
proxy_settings_init(void)
{
	DefineCustomStringVariable("webhook.proxy",
							   "Sets the proxy through which requests are sent.",
							   "A URL that begins with http://, https:// or socks5h://. The password is not shown. If empty, requests are sent directly.",
							   &proxy_settings_url,
							   "",
							   PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY,
							   proxy_settings_check_url,
							   proxy_settings_assign_url,
							   proxy_settings_show_url);

	DefineCustomStringVariable("webhook.no_proxy",
							   "Sets the hosts to which requests are sent without the proxy.",
							   "A list of host names, domains and networks in CIDR notation. A name includes all below it; \"*\" means all hosts.",
							   &proxy_settings_no_proxy,
							   "",
							   PGC_SIGHUP,
							   GUC_LIST_INPUT,
							   proxy_settings_check_no_proxy,
							   proxy_settings_assign_no_proxy,
							   NULL);

	DefineCustomEnumVariable("webhook.proxy_resolve",
							 "Sets who resolves the host names of requests that are sent through the proxy.",
							 "\"local\": this server, which checks the addresses and gives them to the proxy; \"proxy\": the proxy, which gets the names.",
							 &webhook_proxy_resolve,
							 PROXY_RESOLVE_LOCAL,
							 proxy_settings_resolve_options,
							 PGC_SIGHUP,
							 0,
							 NULL, NULL, NULL);

	DefineCustomStringVariable("webhook.proxy_ca_file",
							   "Sets the file with the certificate authorities for a proxy that is reached by TLS.",
							   "If empty, the system's certificate authorities are used.",
							   &webhook_proxy_ca_file,
							   "",
							   PGC_SIGHUP,
							   0,
							   proxy_settings_check_ca_file,
							   NULL, NULL);
}

const ProxyServer *
proxy_settings_server(void)
{
	return &proxy_settings_parsed_server;
}

const ProxyExceptions *
proxy_settings_exceptions(void)
{
	return &proxy_settings_parsed_exceptions;
}
