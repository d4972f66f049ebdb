/*-------------------------------------------------------------------------
 *
 * secret.c
 *		The secret of a webhook, and the signatures that are made with it.
 *
 * For Standard Webhooks a secret is a list of keys.  Other schemes use its text as it
 * stands, so if only those are used, it may be any text that a receiver prescribes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "api/check.h"
#include "api/fields.h"
#include "api/secret.h"
#include "base/argument.h"
#include "base/secret_file.h"
#include "pure/sign.h"
#include "pure/signature.h"

#define MAX_SECRET_LENGTH	1000	/* bytes */

/* The arguments, for errors that are found when both are known. */
static const Field secret_field = {
	.name = "secret",.sqlstate = ERRCODE_INVALID_PARAMETER_VALUE,.hint = SECRET_HINT
};
static const Field secret_signature_field = {
	.name = "signature",.sqlstate = ERRCODE_INVALID_PARAMETER_VALUE,.hint = SIGNATURE_HINT
};


Datum
check_secret(const Field *field, Datum value)
{
	char	   *s = TextDatumGetCString(value);

	if (check_file_reference(field, s, ""))
		return value;
	if (*s == '\0')
		check_refuse(field, "it is empty");
	if (strlen(s) > MAX_SECRET_LENGTH)
		check_refuse(field, "it is too long");
	if (check_has_control_character(s))
		check_refuse(field, "it contains a control character");
	return value;
}

static Signature *
secret_compile(const char *text)
{
	const char *problem;
	int			line;
	Signature  *signature = signature_compile(text, &line, &problem);

	if (signature == NULL)
		check_refuse(&secret_signature_field, line > 0 && strchr(text, '\n') != NULL ?
					 psprintf("line %d: %s", line, problem) : problem);
	return signature;
}

Datum
check_signature(const Field *field, Datum value)
{
	signature_free(secret_compile(TextDatumGetCString(value)));
	return value;
}

/* Is the signature of Standard Webhooks among these? */
static bool
secret_is_standard(const char *signature)
{
	Signature  *compiled = secret_compile(signature);
	bool		result = signature_has_standard(compiled);

	signature_free(compiled);
	return result;
}

/* Replace "v1" and "v1a" in the list by generated keys. */
static char *
secret_generate_keys(const char *list)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (;;)
	{
		size_t		len = strcspn(list, " ");
		char	   *token = pnstrdup(list, len);
		char	   *made = check_generate_key(token);

		appendStringInfoString(&buf, made != NULL ? made : token);
		if (list[len] == '\0')
			return buf.data;
		appendStringInfoChar(&buf, ' ');
		list += len + 1;
	}
}

/*
 * A list of keys for Standard Webhooks.  Requests are always signed with a shared
 * secret, so one is added if there is none.
 */
static char *
secret_complete_keys(char *list)
{
	const char *problem;
	SignKey    *key = sign_key_create(list, &problem);
	bool		has_shared = sign_key_has(key, SIGN_HMAC_SHA256);

	if (key == NULL)
		check_refuse(&secret_field, problem);
	sign_key_free(key);
	return has_shared ? list : psprintf("%s %s", check_generate_key("v1"), list);
}

Datum
secret_for_signature(Datum secret, const char *signature)
{
	char	   *s = TextDatumGetCString(secret);

	if (secret_file_is_reference(s))
		return secret;
	if (secret_is_standard(signature))
		return CStringGetTextDatum(secret_complete_keys(secret_generate_keys(s)));
	return strcmp(s, "v1") == 0 ? CStringGetTextDatum(check_generate_key("v1")) : secret;
}

/* The name of a header that is among both, or NULL. */
static char *
secret_find_common_header(const Signature *compiled, Jsonb *headers)
{
	JsonbIterator *it = JsonbIteratorInit(&headers->root);
	JsonbValue	v;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		char	   *name;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(v.val.string.val, v.val.string.len);
		if (signature_has_header(compiled, name))
			return name;
	}
	return NULL;
}

/* Receivers of another scheme know the whole text, in which there must be no private key. */
static void
secret_refuse_private_key(const char *secret)
{
	const char *problem;
	SignKey    *key = sign_key_create(secret, &problem);
	bool		has_private = sign_key_has(key, SIGN_ED25519);

	sign_key_free(key);
	if (has_private)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a secret with a private key can be used for the signature \"standard\" only"),
				 errhint("Specify a secret without \"v1a\" or \"whsk_\", or set \"signature\" to \"standard\".")));
}

void
secret_require_signature(const char *secret, const char *signature, Jsonb *headers)
{
	Signature  *compiled = secret_compile(signature);
	bool		standard = signature_has_standard(compiled);
	bool		needs_key = signature_needs_key(compiled);
	char	   *common = secret_find_common_header(compiled, headers);

	signature_free(compiled);
	if (common != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("header \"%s\" is in both arguments \"headers\" and \"signature\"",
						argument_excerpt(common, strlen(common))),
				 errhint("Remove it from one of them.")));
	if (secret_file_is_reference(secret))
		return;
	if (standard)
		(void) secret_complete_keys(pstrdup(secret));
	if (needs_key)
		secret_refuse_private_key(secret);
}
