/*-------------------------------------------------------------------------
 *
 * signature.c
 *		Signatures in headers of the receiver's choice.
 *
 * A header template is compiled into a list of parts, which are written one after
 * the other, to the header or, between the beginning and the end of a function, into
 * its HMAC.  So the body is hashed where it is, however large.
 *
 * The schemes of well-known senders are templates as well.
 *
 *-------------------------------------------------------------------------
 */
#include "pure/signature.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pure/hmac.h"
#include "pure/url.h"

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))

typedef enum PartKind
{
	PART_TEXT,
	PART_ID,
	PART_TIMESTAMP,
	PART_METHOD,
	PART_URL,
	PART_BODY,
	PART_BEGIN,					/* of a function */
	PART_END
} PartKind;

typedef struct SignatureFunction
{
	const char *name;
	HmacDigest	digest;
	bool		base64;			/* else hexadecimal */
} SignatureFunction;

typedef struct SignaturePart
{
	PartKind	kind;
	const char *text;
	size_t		len;
	const SignatureFunction *function;
} SignaturePart;

typedef struct SignatureHeader
{
	const char *name;
	int			first;			/* part */
	int			n;				/* parts */
	int			repeated;		/* parts after those, for the previous key */
} SignatureHeader;

struct Signature
{
	char	   *text;			/* names and texts point into it */
	SignaturePart *parts;
	int			nparts;
	int			space;
	int			nbodies;		/* parts that are the body */
	SignatureHeader headers[SIGNATURE_MAX_HEADERS];
	int			nheaders;
	bool		standard;
	bool		none;
	bool		digests[2];		/* used, by HmacDigest */
};

struct SignatureKey
{
	Hmac	   *hmacs[2];		/* by HmacDigest; NULL if unused */
};

static const struct
{
	const char *name;
	const char *header;
	const char *value;
	const char *repeated;		/* added for the previous key, or NULL */
}			signature_schemes[] = {
	{"github", "X-Hub-Signature-256", "sha256={hmac_sha256_hex:{body}}", NULL},
	{"stripe", "Stripe-Signature", "t={timestamp},v1={hmac_sha256_hex:{timestamp}.{body}}",
	",v1={hmac_sha256_hex:{timestamp}.{body}}"},
	{"shopify", "X-Shopify-Hmac-Sha256", "{hmac_sha256_base64:{body}}", NULL},
};

static const SignatureFunction signature_functions[] = {
	{"hmac_sha256_hex", HMAC_SHA256, false},
	{"hmac_sha256_base64", HMAC_SHA256, true},
	{"hmac_sha1_hex", HMAC_SHA1, false},
};

static const struct
{
	const char *name;
	PartKind	kind;
}			signature_placeholders[] = {
	{"id", PART_ID},
	{"timestamp", PART_TIMESTAMP},
	{"method", PART_METHOD},
	{"url", PART_URL},
	{"body", PART_BODY},
};


/* Add a part; returns what is wrong, or NULL. */
static const char *
signature_add_part(Signature *signature, PartKind kind, const char *text, size_t len, const SignatureFunction *function)
{
	SignaturePart *part;

	if (kind == PART_BODY && signature->nbodies++ == SIGNATURE_MAX_BODIES)
		return "{body} is used too often";
	if (signature->nparts == signature->space)
	{
		int			space = signature->space == 0 ? 16 : 2 * signature->space;
		SignaturePart *parts = realloc(signature->parts, space * sizeof(SignaturePart));

		if (parts == NULL)
			return "out of memory";
		signature->parts = parts;
		signature->space = space;
	}
	part = &signature->parts[signature->nparts++];
	part->kind = kind;
	part->text = text;
	part->len = len;
	part->function = function;
	if (function != NULL)
		signature->digests[function->digest] = true;
	return NULL;
}

static bool
signature_name_is(const char *name, const char *text, size_t len)
{
	return strlen(name) == len && memcmp(name, text, len) == 0;
}

static const char *
signature_add_placeholder(Signature *signature, const char *name, size_t len, bool within)
{
	for (size_t i = 0; i < lengthof(signature_placeholders); i++)
	{
		if (!signature_name_is(signature_placeholders[i].name, name, len))
			continue;
		if (signature_placeholders[i].kind == PART_BODY && !within)
			return "{body} can be used in a function only";
		return signature_add_part(signature, signature_placeholders[i].kind, NULL, 0, NULL);
	}
	return "it has an unknown placeholder";
}

static const char *
signature_add_function(Signature *signature, const char *name, size_t len, bool within)
{
	if (within)
		return "a function cannot be used in another";
	for (size_t i = 0; i < lengthof(signature_functions); i++)
		if (signature_name_is(signature_functions[i].name, name, len))
			return signature_add_part(signature, PART_BEGIN, NULL, 0, &signature_functions[i]);
	return "it has an unknown function";
}

/* What begins with a brace; sets *len to how much of the text it takes. */
static const char *
signature_add_braces(Signature *signature, const char *text, bool *within, size_t *len)
{
	size_t		name_len = strcspn(text + 1, "{}:");
	const char *problem;

	*len = name_len + 2;
	if (text[name_len + 1] == '}')
		return signature_add_placeholder(signature, text + 1, name_len, *within);
	if (text[name_len + 1] != ':')
		return "it has a brace that is not closed";
	problem = signature_add_function(signature, text + 1, name_len, *within);
	*within = true;
	return problem;
}

static const char *
signature_add_end(Signature *signature)
{
	if (signature->parts[signature->nparts - 1].kind == PART_BEGIN)
		return "it has a function without an argument";
	return signature_add_part(signature, PART_END, NULL, 0, NULL);
}

/* Add the parts of a value; returns what is wrong, or NULL. */
static const char *
signature_add_value(Signature *signature, const char *value)
{
	bool		within = false; /* a function */
	const char *problem = NULL;

	while (problem == NULL && *value != '\0')
	{
		size_t		len = strcspn(value, "{}");

		if (len > 0)
			problem = signature_add_part(signature, PART_TEXT, value, len, NULL);
		else if (*value == '{')
			problem = signature_add_braces(signature, value, &within, &len);
		else if (!within)
			problem = "it has a brace that was not opened";
		else
		{
			len = 1;
			problem = signature_add_end(signature);
			within = false;
		}
		value += len;
	}
	return problem == NULL && within ? "it has a brace that is not closed" : problem;
}

bool
signature_has_header(const Signature *signature, const char *name)
{
	for (int i = 0; i < signature->nheaders; i++)
		if (strcasecmp(signature->headers[i].name, name) == 0)
			return true;
	return false;
}

static const char *
signature_add_header(Signature *signature, const char *name, const char *value, const char *repeated)
{
	SignatureHeader *header = &signature->headers[signature->nheaders];
	const char *problem;

	if (signature_has_header(signature, name))
		return "the header is specified twice";
	if (signature->nheaders == SIGNATURE_MAX_HEADERS)
		return "there are too many headers";
	header->name = name;
	header->first = signature->nparts;
	problem = signature_add_value(signature, value);
	header->n = signature->nparts - header->first;
	if (problem == NULL && repeated != NULL)
		problem = signature_add_value(signature, repeated);
	header->repeated = signature->nparts - header->first - header->n;
	signature->nheaders++;
	return problem;
}

/* Headers that requests have anyway. */
static bool
signature_is_taken(const char *name)
{
	static const char *const names[] = {"Content-Type", "User-Agent", "Accept", "traceparent", "tracestate"};

	for (size_t i = 0; i < lengthof(names); i++)
		if (strcasecmp(name, names[i]) == 0)
			return true;
	return strncasecmp(name, "webhook-", strlen("webhook-")) == 0;
}

/* A line "Name: value", which is cut in two. */
static const char *
signature_add_template(Signature *signature, char *line)
{
	char	   *value = strchr(line, ':');
	const char *problem;

	if (value == NULL)
		return "it is neither a known scheme nor a header with a colon";
	*value++ = '\0';
	value += strspn(value, " \t");
	problem = url_check_header(line, value);
	if (problem != NULL)
		return problem;
	if (signature_is_taken(line))
		return "the header is set by the sender itself";
	for (const char *p = value; *p != '\0'; p++)
		if (*p < ' ' || *p > '~')
			return "the value has a character that is not printable ASCII";
	if (strpbrk(value, "{}") == NULL)
		return "the value has no placeholder";
	return signature_add_header(signature, line, value, NULL);
}

/* A line without the blanks around it. */
static const char *
signature_add_line(Signature *signature, char *line)
{
	if (signature->none || (strcmp(line, "none") == 0 && (signature->standard || signature->nheaders > 0)))
		return "\"none\" cannot be combined with others";
	if (strcmp(line, "none") == 0)
	{
		signature->none = true;
		return NULL;
	}
	if (strcmp(line, "standard") == 0)
	{
		if (signature->standard)
			return "it is specified twice";
		signature->standard = true;
		return NULL;
	}
	for (size_t i = 0; i < lengthof(signature_schemes); i++)
		if (strcmp(line, signature_schemes[i].name) == 0)
			return signature_add_header(signature, signature_schemes[i].header, signature_schemes[i].value,
										signature_schemes[i].repeated);
	return signature_add_template(signature, line);
}

/* Strip blanks from the end of a text of this length. */
static void
signature_strip(char *text, size_t len)
{
	while (len > 0 && strchr(" \t\r", text[len - 1]) != NULL)
		len--;
	text[len] = '\0';
}

/* Add all lines; returns what is wrong, or NULL. */
static const char *
signature_add_lines(Signature *signature, int *line)
{
	char	   *text = signature->text;
	const char *problem = NULL;
	bool		last = false;

	for (*line = 1; problem == NULL; (*line)++)
	{
		size_t		len = strcspn(text, "\n");
		size_t		blanks;

		last = text[len] == '\0';
		signature_strip(text, len);
		blanks = strspn(text, " \t");
		if (text[blanks] != '\0')
			problem = signature_add_line(signature, text + blanks);
		if (problem != NULL || last)
			break;
		text += len + 1;
	}
	if (problem == NULL && !signature->standard && !signature->none && signature->nheaders == 0)
	{
		*line = 0;
		problem = "it is empty";
	}
	return problem;
}

Signature *
signature_compile(const char *text, int *line, const char **problem)
{
	Signature  *signature;

	*line = 0;
	*problem = "it is too long";
	if (text == NULL)
		text = "standard";
	if (strlen(text) > SIGNATURE_MAX_TEXT)
		return NULL;
	*problem = "out of memory";
	signature = calloc(1, sizeof(Signature));
	if (signature == NULL)
		return NULL;
	signature->text = strdup(text);
	if (signature->text != NULL)
		*problem = signature_add_lines(signature, line);
	if (*problem == NULL)
		return signature;
	signature_free(signature);
	return NULL;
}

void
signature_free(Signature *signature)
{
	if (signature == NULL)
		return;
	free(signature->parts);
	free(signature->text);
	free(signature);
}

bool
signature_has_standard(const Signature *signature)
{
	return signature->standard;
}

bool
signature_needs_key(const Signature *signature)
{
	return signature->digests[HMAC_SHA1] || signature->digests[HMAC_SHA256];
}

int
signature_headers(const Signature *signature)
{
	return signature->nheaders;
}

SignatureKey *
signature_key_create(const Signature *signature, const char *secret)
{
	SignatureKey *key = calloc(1, sizeof(SignatureKey));

	for (size_t i = 0; key != NULL && i < lengthof(key->hmacs); i++)
	{
		if (!signature->digests[i])
			continue;
		key->hmacs[i] = hmac_create((HmacDigest) i, secret, strlen(secret));
		if (key->hmacs[i] == NULL)
		{
			/* Other users of OpenSSL must not find our errors in its queue. */
			ERR_clear_error();
			signature_key_free(key);
			return NULL;
		}
	}
	return key;
}

void
signature_key_free(SignatureKey *key)
{
	if (key == NULL)
		return;
	for (size_t i = 0; i < lengthof(key->hmacs); i++)
		hmac_free(key->hmacs[i]);
	free(key);
}

/* Where parts are written to. */
typedef struct SignatureWriter
{
	char	   *out;
	size_t		size;
	size_t		len;
	const SignatureFunction *function;	/* its HMAC gets the text; or NULL */
	Hmac	   *hmac;
	const char *problem;
} SignatureWriter;

static void
signature_put(SignatureWriter *writer, const char *text, size_t len)
{
	if (writer->function != NULL)
	{
		if (!hmac_add(writer->hmac, text, len))
			writer->problem = "OpenSSL cannot compute the signature";
	}
	else if (len >= writer->size - writer->len)
		writer->problem = "the header is too long";
	else
	{
		memcpy(writer->out + writer->len, text, len);
		writer->len += len;
	}
}

static void
signature_put_number(SignatureWriter *writer, int64_t number)
{
	char		text[24];

	signature_put(writer, text, (size_t) snprintf(text, sizeof(text), "%" PRId64, number));
}

static void
signature_begin_function(SignatureWriter *writer, const SignatureFunction *function, const SignatureKey *key)
{
	writer->function = function;
	writer->hmac = key->hmacs[function->digest];
	if (!hmac_begin(writer->hmac))
		writer->problem = "OpenSSL cannot compute the signature";
}

static void
signature_end_function(SignatureWriter *writer)
{
	const SignatureFunction *function = writer->function;
	size_t		n = hmac_bytes(function->digest);
	unsigned char bytes[HMAC_MAX_BYTES];
	char		text[2 * HMAC_MAX_BYTES + 1];
	size_t		len = 2 * n;

	writer->function = NULL;
	if (!hmac_finish(writer->hmac, bytes))
	{
		writer->problem = "OpenSSL cannot compute the signature";
		return;
	}
	if (function->base64)
		len = (size_t) EVP_EncodeBlock((unsigned char *) text, bytes, (int) n);
	else
		for (size_t i = 0; i < n; i++)
			snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	signature_put(writer, text, len);
}

static void
signature_put_part(SignatureWriter *writer, const SignaturePart *part, const SignatureKey *key,
				   const SignatureValues *values)
{
	switch (part->kind)
	{
		case PART_TEXT:
			signature_put(writer, part->text, part->len);
			break;
		case PART_ID:
			signature_put(writer, values->id, strlen(values->id));
			break;
		case PART_TIMESTAMP:
			signature_put_number(writer, values->timestamp);
			break;
		case PART_METHOD:
			signature_put(writer, values->method, strlen(values->method));
			break;
		case PART_URL:
			signature_put(writer, values->url, strlen(values->url));
			break;
		case PART_BODY:
			signature_put(writer, values->body, values->body_len);
			break;
		case PART_BEGIN:
			signature_begin_function(writer, part->function, key);
			break;
		case PART_END:
			signature_end_function(writer);
			break;
	}
}

size_t
signature_write(const Signature *signature, int header, const SignatureKey *key, const SignatureKey *previous,
				const SignatureValues *values, char *out, size_t size, const char **problem)
{
	const SignatureHeader *h = &signature->headers[header];
	const SignaturePart *parts = signature->parts + h->first;
	SignatureWriter writer = {.out = out,.size = size};

	signature_put(&writer, h->name, strlen(h->name));
	signature_put(&writer, ": ", 2);
	for (int i = 0; i < h->n && writer.problem == NULL; i++)
		signature_put_part(&writer, &parts[i], key, values);
	if (previous != NULL)
		for (int i = h->n; i < h->n + h->repeated && writer.problem == NULL; i++)
			signature_put_part(&writer, &parts[i], previous, values);

	*problem = writer.problem;
	if (writer.problem != NULL)
	{
		ERR_clear_error();
		return 0;
	}
	out[writer.len] = '\0';
	return writer.len;
}
