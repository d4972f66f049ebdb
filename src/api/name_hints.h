/*-------------------------------------------------------------------------
 *
 * name_hints.h
 *		Notices about names of a webhook that are probably misspelt.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_NAME_HINTS_H
#define WEBHOOK_NAME_HINTS_H

/*
 * Check the trigger names and columns of a webhook that has just been stored.  Must
 * be called between as_owner_begin() and as_owner_end().
 */
extern void name_hints_names(int64 webhook_id);

#endif							/* WEBHOOK_NAME_HINTS_H */
