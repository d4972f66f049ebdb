/*-------------------------------------------------------------------------
 *
 * fuzz.h
 *		What the fuzz drivers share.
 *
 * A driver is one function that takes arbitrary bytes, calls the parser and
 * checks what must hold for any input.  The sanitizers look after the rest.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold; the fuzzer keeps the input for which it does not. */
#define MUST(condition) \
	((condition) ? (void) 0 : \
	 (fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition), abort()))

/* The bytes as text of exactly the right size, so that reading past the end is seen. */
static inline char *
fuzz_text(const uint8_t *data, size_t size)
{
	char	   *text = malloc(size + 1);

	MUST(text != NULL);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

/* Cut off the bytes up to the first newline as text; the rest stays in *data and *size. */
static inline char *
fuzz_line(const uint8_t **data, size_t *size)
{
	const uint8_t *end = *size > 0 ? memchr(*data, '\n', *size) : NULL;
	size_t		len = end != NULL ? (size_t) (end - *data) : *size;
	size_t		used = end != NULL ? len + 1 : len;
	char	   *text = fuzz_text(*data, len);

	*data += used;
	*size -= used;
	return text;
}

#endif							/* FUZZ_H */
