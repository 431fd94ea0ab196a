/*
 * dashboard.h -- the pages of the dashboard: made by tools/build_dashboard.py, part of the module.
 *
 * Threads: read only.
 */
#ifndef BRISK_SRC_DAEMON_DASHBOARD_H
#define BRISK_SRC_DAEMON_DASHBOARD_H

#include <stdbool.h>
#include <stddef.h>

#include <brisk/err.h>

#include "daemon/http/routes.h"

typedef struct dashboard_page {
    const char *name;          /* "app.js" */
    const char *type;          /* of its content */
    const unsigned char *data; /* gzip */
    size_t size;
} dashboard_page;

extern const dashboard_page dashboard_pages[];
extern const unsigned dashboard_page_count;
/* Nothing but a page that says why there is no dashboard. */
extern const bool dashboard_is_plain;

/* "/" and its files.  Errors: those of http_routes_add. */
BRISK_NODISCARD brisk_err dashboard_add_routes(http_routes *routes);

#endif /* BRISK_SRC_DAEMON_DASHBOARD_H */
