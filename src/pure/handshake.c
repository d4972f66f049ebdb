/*-------------------------------------------------------------------------
 *
 * handshake.c
 *		Ask an endpoint for permission before the first delivery.
 *
 *		              handshake_ask()          handshake_answer(): yes
 *		  not asked -----------------> asked ------------------------> agreed
 *		      ^                          |  no, or handshake_failed()     |
 *		      +--------------------------+                                |
 *		      +-- handshake_forget(), another URL or origin --------------+
 *
 * An agreement is valid for one URL and origin, so that it need not be revoked
 * explicitly when either changes.  It is not stored, since asking again after a
 * restart costs just one request.
 *
 * According to the specification the status code of a response does not mean
 * consent, because servers respond to OPTIONS for other reasons.  The header does.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pure/handshake.h"

/* A higher rate, in requests per minute, counts as no limit. */
#define MAX_RATE	100000000

static bool
handshake_equals(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

bool
handshake_needed(const Handshake *handshake, const char *url, const char *origin)
{
	return handshake->wanted &&
		!(handshake->agreed && handshake_equals(handshake->asked_url, url) &&
		  handshake_equals(handshake->asked_origin, origin));
}

void
handshake_forget(Handshake *handshake)
{
	free(handshake->asked_url);
	free(handshake->asked_origin);
	handshake->asked_url = handshake->asked_origin = NULL;
	handshake->agreed = false;
}

void
handshake_ask(Handshake *handshake, const char *url, const char *origin)
{
	handshake_forget(handshake);
	handshake->asked_url = strdup(url);
	handshake->asked_origin = strdup(origin);
}

/* Copy text from a receiver, as one line. */
static void
handshake_clean(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char) *text < ' ' || *text == 0x7f)
			*text = ' ';
}

void
handshake_failed(Handshake *handshake, const char *error)
{
	handshake->agreed = false;
	snprintf(handshake->problem, sizeof(handshake->problem), "no agreement: %s", error);
	handshake_clean(handshake->problem);
}

/* "*" means any number.  Zero and negative numbers are not valid. */
static bool
handshake_parse_rate(const char *text, int *rate)
{
	*rate = 0;
	if (strcmp(text, "*") == 0)
		return true;
	if (*text == '\0' || strspn(text, "0123456789") != strlen(text))
		return false;
	for (; *text != '\0'; text++)
	{
		*rate = *rate * 10 + (*text - '0');
		if (*rate > MAX_RATE)
		{
			*rate = 0;
			return true;
		}
	}
	return *rate > 0;
}

static bool
handshake_refuse(Handshake *handshake, const char *what, const char *value)
{
	char		error[HANDSHAKE_MAX_PROBLEM / 2];

	snprintf(error, sizeof(error), what, value);
	handshake_failed(handshake, error);
	return false;
}

bool
handshake_answer(Handshake *handshake, const char *allowed_origin, const char *allowed_rate, int64_t now)
{
	int			rate = 0;

	if (allowed_origin == NULL)
		return handshake_refuse(handshake, "the answer has no WebHook-Allowed-Origin%s", "");
	if (strcmp(allowed_origin, "*") != 0 &&
		(handshake->asked_origin == NULL || strcasecmp(allowed_origin, handshake->asked_origin) != 0))
		return handshake_refuse(handshake, "the answer allows \"%.100s\", not this origin", allowed_origin);
	if (allowed_rate != NULL && !handshake_parse_rate(allowed_rate, &rate))
		return handshake_refuse(handshake, "the answer has \"%.100s\" as WebHook-Allowed-Rate", allowed_rate);

	handshake->agreed = true;
	handshake->agreed_at = now;
	handshake->rate = rate;
	handshake->problem[0] = '\0';
	return true;
}

bool
handshake_origin_valid(const char *origin)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
	size_t		len = strlen(origin);

	return len > 0 && len <= HANDSHAKE_MAX_ORIGIN && strspn(origin, letters) == len &&
		origin[0] != '.' && strstr(origin, "..") == NULL;
}
