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
 * Within as_owner_begin(): look at the trigger names and columns of a webhook
 * that has just been stored.
 */
extern void name_hints_names(int64 webhook_id);

#endif							/* WEBHOOK_NAME_HINTS_H */
