/*-------------------------------------------------------------------------
 *
 * ascii.h
 *		Classes of ASCII characters, independent of the locale.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ASCII_H
#define WEBHOOK_ASCII_H

#include <stdbool.h>

static inline bool
ascii_is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static inline bool
ascii_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

#endif							/* WEBHOOK_ASCII_H */
