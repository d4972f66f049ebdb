/*-------------------------------------------------------------------------
 *
 * token.c
 *		OAuth 2 access tokens in the worker.
 *
 * Webhooks of an owner with the same settings share a token, and there is one request
 * for it at a time.  It is kept in memory only: to request another one after a restart
 * costs one request.  While it is in use it is renewed when most of its time has passed;
 * if that fails, it is used until its end.
 *
 * A server may issue a new refresh token with each answer and reject the old one from
 * then on.  So the new one is saved immediately, in a transaction of its own, and the
 * access token that came with it is not used until that has committed.  A crash between
 * the answer and the commit loses the new token; only a server that accepts the old one
 * for a while tolerates that.  The configured refresh token is ignored while a
 * replacement is stored.  A replacement is used only for webhooks of the same owner:
 * knowing the old token does not grant access to the new one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/container.h"
#include "pure/retry.h"
#include "pure/token_answer.h"
#include "send/refresh_token.h"
#include "send/token.h"

/* Renew a token when this much of its lifetime has elapsed, but at most once per MIN_RENEW_US. */
#define RENEW_PERCENT		80
#define MIN_RENEW_US		USECS_PER_SEC

/* After a failed renewal of a token that can still be used. */
#define RENEW_AGAIN_US		(10 * USECS_PER_SEC)

/*
 * Requests within FAILURE_US of a failure share its result; a receiver can force a
 * renewal at most once per REFUSED_US.
 */
#define FAILURE_US			USECS_PER_SEC
#define REFUSED_US			USECS_PER_SEC

#define MAX_ERROR			400
#define MAX_RETRY_AFTER		128

typedef struct TokenKey
{
	unsigned char digest[HMAC_MAX_BYTES];
} TokenKey;

typedef enum TokenState
{
	TOKEN_IDLE,
	TOKEN_WANTED,				/* in token_wanted */
	TOKEN_IN_FLIGHT,			/* in token_in_flight */
	TOKEN_UNSAVED				/* in token_to_save */
} TokenState;

struct Token
{
	TokenKey	key;			/* hash key */
	int			users;
	TokenState	state;
	dlist_node	node;			/* in the list of its state */
	MemoryContext context;
	TokenSettings settings;

	/*
	 * identifies what the current refresh token has replaced, "" with another
	 * grant
	 */
	char		configured[TOKEN_SETTINGS_REFRESH_KEY_SIZE];
	char	   *refresh_token;	/* the current one */

	char	   *header;			/* with the token, or NULL */
	uint64		number;
	TimestampTz fetched_at;
	int64		lifetime;		/* microseconds */
	bool		used;			/* since then */
	TimestampTz renew_at;		/* if it is used */
	TimestampTz refused_at;		/* by a receiver; 0: never */

	MemoryContext request_context;	/* while in flight */
	HttpRequest request;
	const char *headers[TOKEN_SETTINGS_MAX_HEADERS];

	struct						/* of the last request */
	{
		TimestampTz at;			/* 0: it has not failed */
		int			status;
		int64		duration_us;
		bool		no_proxy;	/* no request could be sent */
		char		error[MAX_ERROR];
		char		retry_after[MAX_RETRY_AFTER];	/* a header line, or "" */
	}			failure;
};

static HTAB *token_table;
static dlist_head token_wanted = DLIST_STATIC_INIT(token_wanted);
static dlist_head token_in_flight = DLIST_STATIC_INIT(token_in_flight);
static dlist_head token_to_save = DLIST_STATIC_INIT(token_to_save);
static uint64 token_last_number = 0;

/* No token must be renewed before. */
static TimestampTz token_look_at = DT_NOEND;


void
token_init(void)
{
	token_table = container_hash("webhook tokens", 64, sizeof(TokenKey), sizeof(Token), TopMemoryContext);
}

/* ---------- tokens ---------- */

static RefreshTokenOrigin
token_origin(const Token *token)
{
	RefreshTokenOrigin origin = {
		.owner = token->settings.owner,
		.token_url = token->settings.token_url,
		.client_id = token->settings.client_id,
		.configured = token->configured
	};

	return origin;
}

/* The one that has replaced the configured refresh token, if that has been replaced. */
static void
token_load_refresh(Token *token)
{
	RefreshTokenOrigin origin = token_origin(token);
	const char *current;

	if (token->settings.refresh_token == NULL)
		return;
	current = refresh_token_load(&origin);
	if (current == NULL)
		current = token->settings.refresh_token;
	token->refresh_token = MemoryContextStrdup(token->context, current);
}

Token *
token_take(const TokenSettings *settings)
{
	TokenKey	key;
	bool		found;
	Token	   *token;

	token_settings_key(settings, key.digest);
	token = hash_search(token_table, &key, HASH_ENTER, &found);
	if (!found)
	{
		memset((char *) token + sizeof(TokenKey), 0, sizeof(Token) - sizeof(TokenKey));
		token->context = AllocSetContextCreate(TopMemoryContext, "webhook token", ALLOCSET_SMALL_SIZES);
		token_settings_copy(settings, &token->settings, token->context);
		token_settings_refresh_key(settings, token->configured);
		token_load_refresh(token);
	}
	token->users++;
	return token;
}

/* Do both use the same refresh token, which may be replaced? */
static bool
token_have_same_refresh(const Token *token, const Token *other)
{
	return token->refresh_token != NULL && other->refresh_token != NULL &&
		token->settings.owner == other->settings.owner && strcmp(token->configured, other->configured) == 0;
}

/* Forget a token that no webhook has; but what has been requested is awaited, and saved. */
static void
token_free_unused(Token *token)
{
	if (token->users > 0 || token->state == TOKEN_IN_FLIGHT || token->state == TOKEN_UNSAVED)
		return;
	if (token->state == TOKEN_WANTED)
		dlist_delete(&token->node);
	MemoryContextDelete(token->context);
	hash_search(token_table, &token->key, HASH_REMOVE, NULL);
}

void
token_release(Token *token)
{
	if (token == NULL)
		return;
	Assert(token->users > 0);
	token->users--;
	token_free_unused(token);
}

const char *
token_url(const Token *token)
{
	return token->settings.token_url;
}

/* ---------- use ---------- */

bool
token_usable(const Token *token, TimestampTz now)
{
	return token->header != NULL && token->state != TOKEN_UNSAVED && now < token->fetched_at + token->lifetime;
}

const char *
token_header(const Token *token)
{
	Assert(token->header != NULL);
	return token->header;
}

uint64
token_number(const Token *token)
{
	return token->number;
}

void
token_use(Token *token)
{
	if (token->used)
		return;
	token->used = true;
	token_look_at = Min(token_look_at, token->renew_at);
}

void
token_want(Token *token)
{
	if (token->state != TOKEN_IDLE)
		return;
	token->state = TOKEN_WANTED;
	dlist_push_tail(&token_wanted, &token->node);
}

static void
token_forget(Token *token)
{
	if (token->header == NULL)
		return;
	explicit_bzero(token->header, strlen(token->header));
	pfree(token->header);
	token->header = NULL;
}

bool
token_is_current(const Token *token, uint64 number)
{
	return token->number == number && token->header != NULL;
}

bool
token_refused(Token *token, TimestampTz now)
{
	if (token->refused_at != 0 && now < token->refused_at + REFUSED_US)
		return false;
	token->refused_at = now;
	token_forget(token);
	return true;
}

/* ---------- requests ---------- */

const HttpRequest *
token_request(Token *token)
{
	Assert(token->state == TOKEN_IN_FLIGHT);
	return &token->request;
}

/* Is another token being requested with the same refresh token, which may be replaced? */
static bool
token_shares_refresh(const Token *token)
{
	dlist_head *lists[] = {&token_in_flight, &token_to_save};

	for (int i = 0; i < lengthof(lists); i++)
	{
		dlist_iter	iter;

		dlist_foreach(iter, lists[i])
		{
			if (token_have_same_refresh(dlist_container(Token, node, iter.cur), token))
				return true;
		}
	}
	return false;
}

void
token_find_due(TimestampTz now)
{
	HASH_SEQ_STATUS status;
	Token	   *token;

	if (now < token_look_at)
		return;
	token_look_at = DT_NOEND;
	hash_seq_init(&status, token_table);
	while ((token = hash_seq_search(&status)) != NULL)
	{
		/* An expired token is renewed on demand only. */
		if (token->state != TOKEN_IDLE || !token->used || !token_usable(token, now))
			continue;
		if (token->renew_at <= now)
			token_want(token);
		else
			token_look_at = Min(token_look_at, token->renew_at);
	}
}

/* Build the request of a token.  False, and the error, if it contains characters that do not exist in UTF-8. */
static bool
token_try_build_request(Token *token, char *error, size_t size)
{
	MemoryContext old = MemoryContextSwitchTo(token->request_context);
	volatile bool built = false;

	PG_TRY();
	{
		token_settings_build_request(&token->settings, token->refresh_token, &token->request, token->headers);
		token->request.owner = token;
		built = true;
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(token->request_context);
		edata = CopyErrorData();
		FlushErrorState();
		strlcpy(error, edata->message, size);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	return built;
}

Token *
token_next_request(char *error, size_t size)
{
	dlist_iter	iter;

	dlist_foreach(iter, &token_wanted)
	{
		Token	   *token = dlist_container(Token, node, iter.cur);

		if (token_shares_refresh(token))
			continue;
		token->request_context = AllocSetContextCreate(token->context, "webhook token request", ALLOCSET_SMALL_SIZES);
		if (token_try_build_request(token, error, size))
			error[0] = '\0';
		dlist_delete(&token->node);
		dlist_push_tail(&token_in_flight, &token->node);
		token->state = TOKEN_IN_FLIGHT;
		return token;
	}
	return NULL;
}

Token *
token_of_request(const void *owner)
{
	dlist_iter	iter;

	dlist_foreach(iter, &token_in_flight)
	{
		Token	   *token = dlist_container(Token, node, iter.cur);

		if (token == owner)
			return token;
	}
	return NULL;
}

bool
token_refresh_in_flight(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &token_in_flight)
	{
		if (dlist_container(Token, node, iter.cur)->refresh_token != NULL)
			return true;
	}
	return false;
}

/* ---------- answers ---------- */

/* The delay that the server asks for is computed: its own words may contain anything. */
static void
token_note_retry_after(Token *token, const HttpResult *result, TimestampTz now)
{
	char		value[MAX_RETRY_AFTER];
	int64		delay = 0;

	token->failure.retry_after[0] = '\0';
	if (http_header(result, "Retry-After", value, sizeof(value)))
		delay = retry_parse_after(value, (int64) timestamptz_to_time_t(now));
	if (delay > 0)
		snprintf(token->failure.retry_after, sizeof(token->failure.retry_after), "Retry-After: " INT64_FORMAT "\r\n",
				 delay / USECS_PER_SEC);
}

static void
token_note_failure(Token *token, const HttpResult *result, const char *problem, TimestampTz now)
{
	token->failure.at = now;
	token->failure.no_proxy = result->outcome == HTTP_PROXY && result->proxy_fault == HTTP_PROXY_DOWN;
	token->failure.status = result->status;
	token->failure.duration_us = result->duration_us;
	snprintf(token->failure.error, sizeof(token->failure.error), "no access token: %s", problem);
	token_note_retry_after(token, result, now);
	token->renew_at = now + RENEW_AGAIN_US;
}

/* A token of the same origin must use this one, too. */
static void
token_replace_refresh(Token *token, const char *refresh_token)
{
	HASH_SEQ_STATUS status;
	Token	   *other;

	hash_seq_init(&status, token_table);
	while ((other = hash_seq_search(&status)) != NULL)
	{
		if (!token_have_same_refresh(other, token))
			continue;
		explicit_bzero(other->refresh_token, strlen(other->refresh_token));
		pfree(other->refresh_token);
		other->refresh_token = MemoryContextStrdup(other->context, refresh_token);
	}
}

static void
token_accept(Token *token, const TokenAnswer *answer, TimestampTz now)
{
	MemoryContext old = MemoryContextSwitchTo(token->context);

	token_forget(token);
	token->header = psprintf("Authorization: Bearer %s", answer->access_token);
	MemoryContextSwitchTo(old);
	token->number = ++token_last_number;
	token->fetched_at = now;
	token->lifetime = answer->lifetime * USECS_PER_SEC;
	token->renew_at = now + Max(MIN_RENEW_US, token->lifetime / 100 * RENEW_PERCENT);
	token->used = false;
	token->failure.at = 0;
	if (token->refresh_token == NULL || answer->refresh_token[0] == '\0' ||
		strcmp(answer->refresh_token, token->refresh_token) == 0)
		return;
	token_replace_refresh(token, answer->refresh_token);
	token->state = TOKEN_UNSAVED;
	dlist_push_tail(&token_to_save, &token->node);
}

TokenOutcome
token_answered(Token *token, const HttpResult *result, TimestampTz now)
{
	static TokenAnswer answer;
	TokenOutcome outcome = TOKEN_DENIED;
	const char *problem = result->error;
	const char *code;

	Assert(token->state == TOKEN_IN_FLIGHT);
	dlist_delete(&token->node);
	token->state = TOKEN_IDLE;
	MemoryContextDelete(token->request_context);
	token->request_context = NULL;

	if (result->outcome == HTTP_DELIVERED)
	{
		problem = token_answer_read(result->body, result->body_len, &answer);
		if (problem == NULL)
			token_accept(token, &answer, now);
		else
			problem = psprintf("the answer cannot be used, %s", problem);
		explicit_bzero(&answer, sizeof(answer));
	}
	else if (result->outcome == HTTP_REDIRECT)
		problem = psprintf("HTTP status %d, redirect not followed", result->status);
	else if ((code = token_answer_error(result->body, result->body_len)) != NULL)
		problem = psprintf("%s, %s", result->error, code);
	if (problem != NULL)
		token_note_failure(token, result, problem, now);
	if (token->used)
		token_look_at = Min(token_look_at, token->renew_at);
	if (problem == NULL)
		outcome = token->state == TOKEN_UNSAVED ? TOKEN_GRANTED_UNSAVED : TOKEN_GRANTED;
	token_free_unused(token);
	return outcome;
}

bool
token_failed_lately(const Token *token, TimestampTz now)
{
	return token->failure.at != 0 && now < token->failure.at + FAILURE_US && token->state == TOKEN_IDLE;
}

void
token_failure(const Token *token, HttpResult *result)
{
	memset(result, 0, sizeof(*result));
	result->outcome = token->failure.no_proxy ? HTTP_PROXY : HTTP_OAUTH;
	result->proxy_fault = token->failure.no_proxy ? HTTP_PROXY_DOWN : HTTP_PROXY_REFUSED;
	result->status = token->failure.status;
	result->error = token->failure.error;
	result->duration_us = token->failure.duration_us;
	result->headers = token->failure.retry_after;
	result->headers_len = strlen(token->failure.retry_after);
	result->body = result->detail.address = result->detail.version = "";
}

TimestampTz
token_next_event(void)
{
	return token_look_at;
}

/* ---------- the database ---------- */

bool
token_unsaved(void)
{
	return !dlist_is_empty(&token_to_save);
}

static void
token_save_one(const Token *token)
{
	RefreshTokenOrigin origin = token_origin(token);
	Datum	   *references = palloc(hash_get_num_entries(token_table) * sizeof(Datum));
	int			n = 0;
	HASH_SEQ_STATUS status;
	Token	   *other;

	hash_seq_init(&status, token_table);
	while ((other = hash_seq_search(&status)) != NULL)
	{
		if (token_have_same_refresh(other, token))
			references[n++] = CStringGetTextDatum(other->settings.refresh_reference);
	}
	refresh_token_save(&origin, references, n, token->refresh_token);
	pfree(references);
}

void
token_save(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &token_to_save)
	{
		token_save_one(dlist_container(Token, node, iter.cur));
	}
	refresh_token_clean();
}

void
token_saved(void (*callback) (Token *token))
{
	while (!dlist_is_empty(&token_to_save))
	{
		Token	   *token = dlist_container(Token, node, dlist_pop_head_node(&token_to_save));

		token->state = TOKEN_IDLE;
		if (token->users > 0)
			callback(token);
		else
			token_free_unused(token);
	}
}

void
token_clock_set_back(TimestampTz now)
{
	HASH_SEQ_STATUS status;
	Token	   *token;

	hash_seq_init(&status, token_table);
	while ((token = hash_seq_search(&status)) != NULL)
	{
		token->fetched_at = Min(token->fetched_at, now);
		token->renew_at = Min(token->renew_at, now + Max(MIN_RENEW_US, token->lifetime / 100 * RENEW_PERCENT));
		token->refused_at = Min(token->refused_at, now);
		token->failure.at = Min(token->failure.at, now);
	}
	token_look_at = now;
}
