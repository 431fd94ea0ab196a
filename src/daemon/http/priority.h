/*
 * priority.h -- the Priority field of RFC 9218, and the rules of serve.priorities.
 *
 * The value is a dictionary of structured fields (RFC 8941): "u=3, i".  Members that are not known,
 * or are of another type, say nothing; what is no dictionary at all is as if it were not there.
 *
 * Who decides, the last wins: the default of the route, the client's field, the first rule that fits.
 *
 *     serve.priorities: [{at: /v1/, urgency: 1}, {at: /assets/, urgency: 5, incremental: true},
 *                        {header: {name: x-class, value: batch}, urgency: 6}]
 *
 * Threads: rules are made by one and read by any.
 */
#ifndef BRISK_SRC_DAEMON_HTTP_PRIORITY_H
#define BRISK_SRC_DAEMON_HTTP_PRIORITY_H

#include <stdbool.h>

#include <brisk/alloc.h>
#include <brisk/err.h>
#include <brisk/yaml.h>

#include "daemon/http/exchange.h"

typedef struct http_priorities http_priorities;

/* Change *priority as the field's `value` says; false: it is no dictionary, nothing was changed. */
bool http_priority_read(http_text value, http_priority *priority);

/*
 * Rules from the knob's document, which is theirs when this succeeds; NULL makes none.
 * Errors: INVALID (with `info`, which names file and line), NOMEM.
 */
BRISK_NODISCARD brisk_err http_priorities_create(brisk_yaml_doc *doc, const brisk_alloc *alloc,
                                                 http_priorities **ret, brisk_errinfo *info);
void http_priorities_destroy(http_priorities *rules); /* NULL is accepted */
/* Set x->priority from its route, its field and the rules, which may be NULL. */
void http_priority_choose(exchange *x, const http_priorities *rules);
/* What the first rule that fits says; false: none does.  `rules` may be NULL. */
bool http_priorities_find(const http_priorities *rules, const exchange *x, http_priority *ret);

#endif /* BRISK_SRC_DAEMON_HTTP_PRIORITY_H */
