/*-------------------------------------------------------------------------
 *
 * token_answer.c
 *		The answer of an OAuth 2 token server.
 *
 * It becomes a header of all requests, and is read before anything is known of
 * the server but its URL.  So it must be valid JSON, with what is used in the
 * form that the standard prescribes, and nothing else of it is ever shown: it may
 * contain secrets.
 *
 *-------------------------------------------------------------------------
 */
#include "pure/token_answer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pure/ascii.h"

#define MAX_DEPTH		32
#define MAX_NUMBER		63		/* characters */

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))

/* What is left of the text. */
typedef struct TokenText
{
	const char *at;
	const char *end;
} TokenText;

/* A string or number.  Characters other than printable ASCII are replaced by '\n', which is not allowed anywhere. */
typedef struct TokenValue
{
	bool		is_string;
	bool		is_number;
	bool		too_long;
	size_t		len;
	char		text[TOKEN_ANSWER_MAX_TOKEN + 1];
} TokenValue;

static bool token_answer_skip_value(TokenText *rest, int depth);

static void
token_answer_skip_space(TokenText *rest)
{
	while (rest->at < rest->end && (*rest->at == ' ' || *rest->at == '\t' || *rest->at == '\r' || *rest->at == '\n'))
		rest->at++;
}

/* Skip this character, with space around it; false if there is something else. */
static bool
token_answer_skip(TokenText *rest, char c)
{
	token_answer_skip_space(rest);
	if (rest->at == rest->end || *rest->at != c)
		return false;
	rest->at++;
	token_answer_skip_space(rest);
	return true;
}

static bool
token_answer_skip_word(TokenText *rest, const char *word)
{
	size_t		len = strlen(word);

	if ((size_t) (rest->end - rest->at) < len || memcmp(rest->at, word, len) != 0)
		return false;
	rest->at += len;
	return true;
}

static void
token_answer_put(TokenValue *value, char c)
{
	if (value == NULL)
		return;
	if (value->len >= sizeof(value->text) - 1)
		value->too_long = true;
	else
		value->text[value->len++] = c >= ' ' && c <= '~' ? c : '\n';
}

static bool
token_answer_read_hex(TokenText *rest, unsigned *code)
{
	*code = 0;
	for (int i = 0; i < 4; i++, rest->at++)
	{
		static const char digits[] = "0123456789abcdef";
		const char *digit;

		if (rest->at == rest->end || *rest->at == '\0')
			return false;
		digit = strchr(digits, *rest->at >= 'A' && *rest->at <= 'F' ? *rest->at + ('a' - 'A') : *rest->at);
		if (digit == NULL)
			return false;
		*code = *code * 16 + (unsigned) (digit - digits);
	}
	return true;
}

/* The rest of an escape sequence, after the backslash. */
static bool
token_answer_read_escape(TokenText *rest, TokenValue *value)
{
	unsigned	code;
	char		c;

	if (rest->at == rest->end)
		return false;
	c = *rest->at++;
	switch (c)
	{
		case '"':
		case '\\':
		case '/':
			token_answer_put(value, c);
			return true;
		case 'b':
		case 'f':
		case 'n':
		case 'r':
		case 't':
			token_answer_put(value, '\n');
			return true;
		case 'u':
			if (!token_answer_read_hex(rest, &code))
				return false;
			token_answer_put(value, code < 0x80 ? (char) code : '\n');
			return true;
		default:
			return false;
	}
}

/* value may be NULL. */
static bool
token_answer_read_string(TokenText *rest, TokenValue *value)
{
	if (rest->at == rest->end || *rest->at != '"')
		return false;
	rest->at++;
	while (rest->at < rest->end)
	{
		char		c = *rest->at++;

		if (c == '"')
		{
			if (value != NULL)
				value->text[value->len] = '\0';
			return true;
		}
		if (c == '\\')
		{
			if (!token_answer_read_escape(rest, value))
				return false;
		}
		else if ((unsigned char) c < ' ')
			return false;
		else
			token_answer_put(value, c);
	}
	return false;
}

static bool
token_answer_skip_digits(TokenText *rest)
{
	const char *start = rest->at;

	while (rest->at < rest->end && ascii_is_digit(*rest->at))
		rest->at++;
	return rest->at > start;
}

/* value may be NULL. */
static bool
token_answer_read_number(TokenText *rest, TokenValue *value)
{
	const char *start = rest->at;

	(void) token_answer_skip_word(rest, "-");
	if (!token_answer_skip_word(rest, "0") && !token_answer_skip_digits(rest))
		return false;
	if (token_answer_skip_word(rest, ".") && !token_answer_skip_digits(rest))
		return false;
	if (token_answer_skip_word(rest, "e") || token_answer_skip_word(rest, "E"))
	{
		if (!token_answer_skip_word(rest, "+"))
			(void) token_answer_skip_word(rest, "-");
		if (!token_answer_skip_digits(rest))
			return false;
	}
	for (; value != NULL && start < rest->at; start++)
		token_answer_put(value, *start);
	if (value != NULL)
		value->text[value->len] = '\0';
	return true;
}

/* An object or an array; its members and elements are skipped. */
static bool
token_answer_skip_container(TokenText *rest, char close, int depth)
{
	rest->at++;
	if (token_answer_skip(rest, close))
		return true;
	do
	{
		if (close == '}' && !(token_answer_read_string(rest, NULL) && token_answer_skip(rest, ':')))
			return false;
		if (!token_answer_skip_value(rest, depth + 1))
			return false;
	} while (token_answer_skip(rest, ','));
	return token_answer_skip(rest, close);
}

static bool
token_answer_skip_value(TokenText *rest, int depth)
{
	if (rest->at == rest->end || depth > MAX_DEPTH)
		return false;
	switch (*rest->at)
	{
		case '{':
			return token_answer_skip_container(rest, '}', depth);
		case '[':
			return token_answer_skip_container(rest, ']', depth);
		case '"':
			return token_answer_read_string(rest, NULL);
		case 't':
			return token_answer_skip_word(rest, "true");
		case 'f':
			return token_answer_skip_word(rest, "false");
		case 'n':
			return token_answer_skip_word(rest, "null");
		default:
			return token_answer_read_number(rest, NULL);
	}
}

static bool
token_answer_read_value(TokenText *rest, TokenValue *value)
{
	value->is_string = rest->at < rest->end && *rest->at == '"';
	value->is_number = rest->at < rest->end && (*rest->at == '-' || ascii_is_digit(*rest->at));
	value->too_long = false;
	value->len = 0;
	value->text[0] = '\0';
	if (value->is_string)
		return token_answer_read_string(rest, value);
	return value->is_number ? token_answer_read_number(rest, value) : token_answer_skip_value(rest, 1);
}

typedef bool (*TokenMember) (const char *name, const TokenValue *value, void *arg);

/* Call back for each member of the object; false if the text is something else, or the callback has returned false. */
static bool
token_answer_read_object(const char *body, size_t len, TokenMember callback, void *arg)
{
	static TokenValue name;
	static TokenValue value;
	TokenText	rest = {body, body + len};

	if (len > TOKEN_ANSWER_MAX || !token_answer_skip(&rest, '{'))
		return false;
	if (token_answer_skip(&rest, '}'))
		return rest.at == rest.end;
	do
	{
		if (!token_answer_read_value(&rest, &name) || !name.is_string || !token_answer_skip(&rest, ':') ||
			!token_answer_read_value(&rest, &value) || !callback(name.text, &value, arg))
			return false;
	} while (token_answer_skip(&rest, ','));
	return token_answer_skip(&rest, '}') && rest.at == rest.end;
}

/* Some servers send the lifetime as a string. */
static int
token_answer_lifetime(const TokenValue *value)
{
	double		seconds;
	char	   *end;

	if (!value->is_string && !value->is_number)
		return TOKEN_ANSWER_DEFAULT_LIFETIME;
	if (value->len == 0 || value->len > MAX_NUMBER || value->text[strspn(value->text, "0123456789+-.eE")] != '\0')
		return TOKEN_ANSWER_DEFAULT_LIFETIME;
	seconds = strtod(value->text, &end);
	if (*end != '\0')
		return TOKEN_ANSWER_DEFAULT_LIFETIME;
	if (seconds <= TOKEN_ANSWER_MIN_LIFETIME)
		return TOKEN_ANSWER_MIN_LIFETIME;
	return seconds >= TOKEN_ANSWER_MAX_LIFETIME ? TOKEN_ANSWER_MAX_LIFETIME : (int) seconds;
}

typedef struct TokenMembers
{
	TokenAnswer *answer;
	const char *problem;
} TokenMembers;

/* Copy a token; false if it is none.  A null stands for a missing one. */
static bool
token_answer_copy(const TokenValue *value, const char *forbidden, char *out)
{
	out[0] = '\0';
	if (!value->is_string)
		return !value->is_number;
	if (value->too_long || value->text[strcspn(value->text, forbidden)] != '\0')
		return false;
	memcpy(out, value->text, value->len + 1);
	return true;
}

static bool
token_answer_take_member(const char *name, const TokenValue *value, void *arg)
{
	TokenMembers *members = arg;

	if (strcmp(name, "access_token") == 0 && !token_answer_copy(value, "\n ", members->answer->access_token))
		members->problem = "its access_token is too long, or contains characters that a header cannot have";
	else if (strcmp(name, "refresh_token") == 0 && !token_answer_copy(value, "\n", members->answer->refresh_token))
		members->problem = "its refresh_token is too long, or contains characters that it cannot have";
	else if (strcmp(name, "token_type") == 0 && value->is_string && strcasecmp(value->text, "bearer") != 0)
		members->problem = "its token_type is not Bearer";
	else if (strcmp(name, "expires_in") == 0)
		members->answer->lifetime = token_answer_lifetime(value);
	return members->problem == NULL;
}

const char *
token_answer_read(const char *body, size_t len, TokenAnswer *answer)
{
	TokenMembers members = {.answer = answer};

	answer->access_token[0] = answer->refresh_token[0] = '\0';
	answer->lifetime = TOKEN_ANSWER_DEFAULT_LIFETIME;
	if (!token_answer_read_object(body, len, token_answer_take_member, &members))
		return members.problem != NULL ? members.problem : "it is not a JSON object";
	return answer->access_token[0] == '\0' ? "it has no access_token" : NULL;
}

/* Servers may repeat anything in an error, secrets included, so only known codes are taken. */
static bool
token_answer_take_error(const char *name, const TokenValue *value, void *arg)
{
	static const char *const codes[] = {
		"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
		"invalid_scope", "invalid_target", "access_denied", "server_error", "temporarily_unavailable"
	};
	const char **error = arg;

	if (strcmp(name, "error") != 0 || !value->is_string)
		return true;
	*error = NULL;
	for (size_t i = 0; i < lengthof(codes); i++)
		if (strcmp(value->text, codes[i]) == 0)
			*error = codes[i];
	return true;
}

const char *
token_answer_error(const char *body, size_t len)
{
	const char *error = NULL;

	return token_answer_read_object(body, len, token_answer_take_error, &error) ? error : NULL;
}
