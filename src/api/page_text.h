/*-------------------------------------------------------------------------
 *
 * page_text.h
 *		Texts in the HTML pages.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_PAGE_TEXT_H
#define WEBHOOK_PAGE_TEXT_H

#include "lib/stringinfo.h"

/* Append a number, in millions if it is large. */
extern void page_text_append_number(StringInfo s, int64 n);

/* Append a duration; a negative one is unknown. */
extern void page_text_append_seconds(StringInfo s, double seconds);

#endif							/* WEBHOOK_PAGE_TEXT_H */
