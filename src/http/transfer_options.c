/*-------------------------------------------------------------------------
 *
 * transfer_options.c
 *		What libcurl is told about a request.
 *
 * Constant options stay set in a pooled handle.  For the others, libcurl gets pointers to
 * the caller's strings unless it requires a copy.
 *
 *-------------------------------------------------------------------------
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "compat.h"
#include "http/transfer_options.h"

/* Connection timeout, including the TLS handshake. */
#define CONNECT_TIMEOUT_MS	10000L

/* A connection is not reused after this time, so that changes in DNS are noticed. */
#define CONNECTION_LIFETIME_S	300L
#define CONNECTION_IDLE_S	60L
#define DNS_CACHE_S			30L

/*
 * libcurl waits for "100 Continue" before it sends a body of 1 MB or more.  We disable
 * that from half of this size on; not for every request, because libcurl compares
 * each header line with many names.
 */
#define EXPECT_BODY_SIZE	(512 * 1024)

/* Set the options that are the same for all requests. */
static CURLcode
transfer_options_set_constant(Transfer *transfer)
{
	TRANSFER_SET(CURLOPT_PRIVATE, transfer);
	TRANSFER_SET(CURLOPT_ERRORBUFFER, transfer->curl_error);
	TRANSFER_SET(CURLOPT_NOSIGNAL, 1L);
#ifdef WEBHOOK_CURL_QUICK_EXIT
	/* Do not wait for resolver threads at exit. */
	TRANSFER_SET(CURLOPT_QUICK_EXIT, 1L);
#endif

	/*
	 * Where to.  A redirect could lead past the SSRF guard and the signature;
	 * without NOPROXY the environment is searched for every request; .netrc
	 * may contain credentials of the server's user.
	 */
	TRANSFER_SET(WEBHOOK_CURLOPT_PROTOCOLS, WEBHOOK_CURL_HTTP_HTTPS);
	TRANSFER_SET(CURLOPT_FOLLOWLOCATION, 0L);
	TRANSFER_SET(CURLOPT_PROXY, "");
	TRANSFER_SET(CURLOPT_NOPROXY, "*");
	TRANSFER_SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	TRANSFER_SET(CURLOPT_OPENSOCKETFUNCTION, transfer_on_open_socket);
	TRANSFER_SET(CURLOPT_OPENSOCKETDATA, transfer);
	TRANSFER_SET(CURLOPT_CLOSESOCKETFUNCTION, transfer_on_close_socket);
	TRANSFER_SET(CURLOPT_CLOSESOCKETDATA, transfer->http);
	TRANSFER_SET(CURLOPT_PREREQFUNCTION, transfer_on_connected);
	TRANSFER_SET(CURLOPT_PREREQDATA, transfer);

	/* How.  With HTTP/0.9 any reply would count as a success. */
	TRANSFER_SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_2TLS);
	TRANSFER_SET(CURLOPT_HTTP09_ALLOWED, 0L);
	TRANSFER_SET(CURLOPT_TCP_NODELAY, 1L);
	TRANSFER_SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	TRANSFER_SET(CURLOPT_SSL_VERIFYPEER, 1L);
	TRANSFER_SET(CURLOPT_SSL_VERIFYHOST, 2L);

	/* How long. */
	TRANSFER_SET(CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
	TRANSFER_SET(CURLOPT_DNS_CACHE_TIMEOUT, DNS_CACHE_S);
	TRANSFER_SET(CURLOPT_MAXAGE_CONN, CONNECTION_IDLE_S);
	TRANSFER_SET(CURLOPT_MAXLIFETIME_CONN, CONNECTION_LIFETIME_S);

	/* What comes back. */
	TRANSFER_SET(CURLOPT_HEADERFUNCTION, transfer_on_header);
	TRANSFER_SET(CURLOPT_HEADERDATA, transfer);
	TRANSFER_SET(CURLOPT_WRITEFUNCTION, transfer_on_body);
	TRANSFER_SET(CURLOPT_WRITEDATA, transfer);
	return CURLE_OK;
}

/*
 * When libcurl looks for a connection or a TLS session to reuse, it compares
 * certificates, but not keys.  So a role that knows the certificate of another one,
 * which is not secret, could send requests in its name without the key.  Therefore
 * the key is appended to the certificate, where OpenSSL ignores it, but libcurl
 * compares it.
 */
static CURLcode
transfer_options_set_client_certificate(Transfer *transfer)
{
	const char *cert = transfer->request.client_cert;
	const char *key = transfer->request.client_key ? transfer->request.client_key : "";
	size_t		len = strlen(cert) + strlen(key) + 2;
	struct curl_blob blob = {.data = malloc(len),.len = len - 1,.flags = CURL_BLOB_COPY};
	CURLcode	rc;

	if (blob.data == NULL)
		return CURLE_OUT_OF_MEMORY;
	snprintf(blob.data, len, "%s\n%s", cert, key);
	rc = curl_easy_setopt(transfer->easy, CURLOPT_SSLCERT_BLOB, &blob);
	free(blob.data);
	return rc;
}

CURLcode
transfer_options_reset(Transfer *transfer)
{
	transfer->method[0] = '\0';
	free(transfer->url);
	transfer->url = NULL;
	transfer->own_certificates = false;
	memset(&transfer->route, 0, offsetof(RouteState, older));
	return transfer_options_set_constant(transfer);
}

/*
 * Set the certificates of the request.  A handle that has had certificates is reset
 * before it is used for a request without.
 */
static CURLcode
transfer_options_set_certificates(Transfer *transfer)
{
	const HttpRequest *request = &transfer->request;
	struct curl_blob blob = {.flags = CURL_BLOB_NOCOPY};
	bool		wanted = request->client_cert || request->client_key || request->ca_cert;
	CURLcode	rc;

	if (transfer->own_certificates)
	{
		curl_easy_reset(transfer->easy);
		rc = transfer_options_reset(transfer);
		if (rc != CURLE_OK)
			return rc;
	}
	if (!wanted)
		return CURLE_OK;
	if (!transfer->http->has_certificates)
	{
		/* libcurl would reject some options and ignore others. */
		snprintf(transfer->curl_error, sizeof(transfer->curl_error),
				 "certificates of a webhook need a libcurl that was built with OpenSSL");
		return CURLE_NOT_BUILT_IN;
	}

	transfer->own_certificates = true;
	if (request->client_cert != NULL)
	{
		rc = transfer_options_set_client_certificate(transfer);
		if (rc != CURLE_OK)
			return rc;
	}
	if (request->client_key != NULL)
	{
		blob.data = (void *) request->client_key;
		blob.len = strlen(request->client_key);
		TRANSFER_SET(CURLOPT_SSLKEY_BLOB, &blob);
		TRANSFER_SET(CURLOPT_KEYPASSWD, "");	/* else OpenSSL asks for one
												 * at the terminal */
	}
	if (request->ca_cert != NULL)
	{
		blob.data = (void *) request->ca_cert;
		blob.len = strlen(request->ca_cert);
		TRANSFER_SET(CURLOPT_CAINFO_BLOB, &blob);
		TRANSFER_SET(CURLOPT_CAPATH, NULL); /* the system's, which would count
											 * as well */
	}
	return CURLE_OK;
}

/*
 * Set the URL, already parsed: parsing it for every request would be a tenth of
 * libcurl's own time for a small one.
 */
static CURLcode
transfer_options_set_url(Transfer *transfer)
{
	const char *url = transfer->request.url;
	CURLUcode	rc;

	if (transfer->url != NULL && strcmp(transfer->url, url) == 0)
		return CURLE_OK;

	free(transfer->url);
	transfer->url = NULL;
	rc = curl_url_set(transfer->parsed_url, CURLUPART_URL, url,
					  CURLU_PATH_AS_IS | CURLU_DISALLOW_USER);
	if (rc != CURLUE_OK)
	{
		snprintf(transfer->curl_error, sizeof(transfer->curl_error), "%s", curl_url_strerror(rc));
		return CURLE_URL_MALFORMAT;
	}
	TRANSFER_SET(CURLOPT_URL, NULL);	/* else the previous one would remain
										 * as text */
	TRANSFER_SET(CURLOPT_CURLU, transfer->parsed_url);

	/*
	 * With TLS, requests wait for the first connection to a host, to find out
	 * whether it supports HTTP/2 and can be used for all of them.  Without
	 * TLS they would wait for the first response.
	 */
	TRANSFER_SET(CURLOPT_PIPEWAIT, strncasecmp(url, "https:", 6) == 0 ? 1L : 0L);

	transfer->url = strdup(url);
	return transfer->url != NULL ? CURLE_OK : CURLE_OUT_OF_MEMORY;
}

static CURLcode
transfer_options_set_method_and_body(Transfer *transfer)
{
	const HttpRequest *request = &transfer->request;
	bool		is_get = strcmp(request->method, "GET") == 0;
	bool		is_post = strcmp(request->method, "POST") == 0;
	bool		may_lack_body = strcmp(request->method, "DELETE") == 0 || strcmp(request->method, "OPTIONS") == 0;
	bool		with_body = !is_get && (request->body != NULL || !may_lack_body);
	const char *custom = is_get || is_post ? "" : request->method;

	if (with_body)
	{
		TRANSFER_SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) (request->body ? request->body_len : 0));
		TRANSFER_SET(CURLOPT_POSTFIELDS, request->body ? request->body : "");
	}
	else
		TRANSFER_SET(CURLOPT_HTTPGET, 1L);

	if (strcmp(transfer->method, custom) != 0)
	{
		TRANSFER_SET(CURLOPT_CUSTOMREQUEST, *custom ? custom : NULL);
		strcpy(transfer->method, custom);
	}
	return CURLE_OK;
}

/* Link the caller's header lines into a list for libcurl, without copying them. */
static CURLcode
transfer_options_set_headers(Transfer *transfer)
{
	const HttpRequest *request = &transfer->request;
	int			needed = request->nheaders + 1; /* one for Expect */
	int			n = 0;

	if (needed > transfer->nlines)
	{
		struct curl_slist *lines = realloc(transfer->lines, sizeof(struct curl_slist) * needed);

		if (lines == NULL)
			return CURLE_OUT_OF_MEMORY;
		transfer->lines = lines;
		transfer->nlines = needed;
	}

	for (; n < request->nheaders; n++)
		transfer->lines[n].data = (char *) request->headers[n];
	if (request->body_len >= EXPECT_BODY_SIZE)
		transfer->lines[n++].data = (char *) "Expect:";
	for (int i = 0; i < n; i++)
		transfer->lines[i].next = i + 1 < n ? &transfer->lines[i + 1] : NULL;

	TRANSFER_SET(CURLOPT_HTTPHEADER, n > 0 ? transfer->lines : NULL);
	return CURLE_OK;
}

CURLcode
transfer_options_set(Transfer *transfer)
{
	const HttpRequest *request = &transfer->request;
	CURLcode	rc;

	if ((rc = transfer_options_set_certificates(transfer)) != CURLE_OK ||
		(rc = transfer_options_set_url(transfer)) != CURLE_OK ||
		(rc = transfer_options_set_method_and_body(transfer)) != CURLE_OK ||
		(rc = transfer_options_set_headers(transfer)) != CURLE_OK)
		return rc;
	if (request->connect_only)
	{
		TRANSFER_SET(CURLOPT_CONNECT_ONLY, 1L);
		transfer->must_renew = true;
	}
	TRANSFER_SET(CURLOPT_TIMEOUT_MS, request->timeout_ms);
	return CURLE_OK;
}

bool
transfer_options_allow_more(Transfer *transfer, long ms)
{
	long		timeout_ms = transfer->route.stage == ROUTE_CHECKING ? ROUTE_CHECK_MS : transfer->request.timeout_ms;

	return curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS, timeout_ms + ms) == CURLE_OK &&
		curl_easy_setopt(transfer->easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS + ms) == CURLE_OK;
}
