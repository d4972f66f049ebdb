/*-------------------------------------------------------------------------
 *
 * refresh_token.h
 *		The refresh tokens that have replaced configured ones, as they are saved.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_REFRESH_TOKEN_H
#define WEBHOOK_REFRESH_TOKEN_H

/* Identifies the webhooks that share a refresh token. */
typedef struct RefreshTokenOrigin
{
	Oid			owner;			/* of the webhooks */
	const char *token_url;
	const char *client_id;
	const char *configured;		/* a hash of the former two and the configured
								 * refresh token */
} RefreshTokenOrigin;

/*
 * All of these need a transaction with SPI connected.
 */

/* The one to be used instead of the configured one, or NULL. */
extern const char *refresh_token_load(const RefreshTokenOrigin *origin);

/*
 * Save a replacement for the webhooks whose configuration contains one of these
 * references: the token itself or the name of a file.
 */
extern void refresh_token_save(const RefreshTokenOrigin *origin, Datum *references, int nreferences, const char *token);

/* Remove those of webhooks that were deleted while one was being saved. */
extern void refresh_token_clean(void);

#endif							/* WEBHOOK_REFRESH_TOKEN_H */
