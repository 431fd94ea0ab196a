/*
 * life.c -- see life.h.
 */
#include "daemon/proxy/life.h"

const char *proxy_keep_text(proxy_keep keep)
{
    static const char *const texts[] = {
        [PROXY_KEEP] = "stored",
        [PROXY_KEEP_METHOD] = "method",
        [PROXY_KEEP_NO_STORE] = "no-store",
        [PROXY_KEEP_PRIVATE] = "private",
        [PROXY_KEEP_AUTHORIZATION] = "authorization",
        [PROXY_KEEP_STATUS] = "status",
        [PROXY_KEEP_VARY] = "vary",
        [PROXY_KEEP_COOKIES] = "cookies",
        [PROXY_KEEP_NO_LIFE] = "no-freshness",
    };
    return texts[keep];
}

bool proxy_status_is_heuristic(uint16_t status)
{
    static const uint16_t list[] = {200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        if (list[i] == status) {
            return true;
        }
    }
    return false;
}

bool proxy_status_is_known(uint16_t status)
{
    return (status >= 200 && status <= 206) || (status >= 300 && status <= 308 && status != 306) ||
           (status >= 400 && status <= 417) || status == 421 || status == 422 || status == 426 ||
           status == 428 || status == 429 || status == 431 || status == 451 ||
           (status >= 500 && status <= 505) || status == 511;
}

static bool has_validator(proxy_fields fields)
{
    return proxy_field(fields, "etag") != NULL || proxy_field(fields, "last-modified") != NULL;
}

static bool is_explicit(const proxy_got *got)
{
    return (got->control.flags & (CONTROL_MAX_AGE | CONTROL_S_MAXAGE)) != 0 ||
           ((got->control.flags & CONTROL_TARGETED) == 0 &&
            proxy_field(got->fields, "expires") != NULL);
}

static bool varies_always(proxy_fields fields)
{
    return proxy_list_has(fields, "vary", HTTP_TEXT("*"));
}

/* RFC 9111 3, without the rules about how long. */
static proxy_keep may_keep_at_all(const proxy_asked *asked, const proxy_got *got,
                                  const proxy_policy *policy)
{
    uint32_t flags = got->control.flags;
    bool understood = proxy_status_is_known(got->status);
    bool forgiven = (flags & CONTROL_MUST_UNDERSTAND) != 0 && understood;
    if (asked->method != HTTP_GET) {
        return PROXY_KEEP_METHOD;
    }
    if (((flags & CONTROL_NO_STORE) != 0 && !forgiven) ||
        ((asked->control.flags & CONTROL_NO_STORE) != 0 && !policy->deaf)) {
        return PROXY_KEEP_NO_STORE;
    }
    if ((flags & CONTROL_PRIVATE) != 0) {
        return PROXY_KEEP_PRIVATE;
    }
    if (got->status < 200 || got->status == 304 ||
        ((flags & CONTROL_MUST_UNDERSTAND) != 0 && !understood)) {
        return PROXY_KEEP_STATUS;
    }
    if (proxy_field(asked->fields, "authorization") != NULL &&
        (flags & (CONTROL_PUBLIC | CONTROL_MUST_REVALIDATE | CONTROL_S_MAXAGE)) == 0) {
        return PROXY_KEEP_AUTHORIZATION;
    }
    return varies_always(got->fields) ? PROXY_KEEP_VARY : PROXY_KEEP;
}

proxy_keep proxy_may_keep(const proxy_asked *asked, const proxy_got *got,
                          const proxy_policy *policy)
{
    proxy_keep keep = may_keep_at_all(asked, got, policy);
    if (keep != PROXY_KEEP) {
        return keep;
    }
    bool explicit_life = is_explicit(got);
    if (!explicit_life && (got->control.flags & CONTROL_PUBLIC) == 0 &&
        !proxy_status_is_heuristic(got->status)) {
        return PROXY_KEEP_STATUS;
    }
    /* Where nobody said that it may be shared, a cookie says that it is somebody's. */
    if (proxy_field(got->fields, "set-cookie") != NULL && (policy->no_cookies || !explicit_life)) {
        return PROXY_KEEP_COOKIES;
    }
    proxy_life life = proxy_life_of(got, policy);
    bool of_use = life.lifetime_s > 0 && (life.flags & LIFE_NO_CACHE) == 0;
    if (!of_use && !has_validator(got->fields) &&
        (got->control.flags & (CONTROL_STALE_WHILE | CONTROL_STALE_ERROR)) == 0) {
        return PROXY_KEEP_NO_LIFE;
    }
    return PROXY_KEEP;
}

/* --- ages -------------------------------------------------------------------------------- */

static int64_t floor_s(int64_t ms)
{
    return ms >= 0 ? ms / 1000 : -((999 - ms) / 1000);
}

/* The first element of the first Age; what is no number does not count (RFC 9111 5.1).  Of one with
 * parameters the number counts: that errs towards older. */
static uint32_t said_age(proxy_fields fields)
{
    const http_text *field = proxy_field(fields, "age");
    http_text rest = field != NULL ? *field : (http_text){0};
    http_text first;
    uint32_t age;
    if (!proxy_element_next(&rest, &first)) {
        return 0;
    }
    for (size_t i = 0; i < first.size; i++) {
        if (first.data[i] == ';') {
            first.size = i;
            break;
        }
    }
    return proxy_seconds(first, &age) ? age : 0;
}

static int64_t date_of(const proxy_got *got)
{
    int64_t now = floor_s(got->response_ms);
    const http_text *field = proxy_field(got->fields, "date");
    int64_t date;
    return field != NULL && proxy_date(*field, now, &date) ? date : now;
}

/* Seconds that Expires gives; an Expires that says nothing sensible has been long ago. */
static uint32_t expires_life(const proxy_got *got, int64_t date)
{
    int64_t first = 0;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < got->fields.count; i++) {
        const http_field *f = &got->fields.items[i];
        int64_t at;
        if (!proxy_same(f->name, HTTP_TEXT("expires"))) {
            continue;
        }
        if (!proxy_date(f->value, date, &at) || (seen > 0 && at != first)) {
            return 0;
        }
        first = at;
        seen++;
    }
    int64_t life = first - date;
    return seen == 0 || life <= 0     ? 0
           : life < PROXY_SECONDS_MAX ? (uint32_t)life
                                      : PROXY_SECONDS_MAX;
}

static uint32_t guessed_life(const proxy_got *got, int64_t date, const proxy_policy *policy)
{
    const http_text *field = proxy_field(got->fields, "last-modified");
    int64_t modified;
    bool may = proxy_status_is_heuristic(got->status) || (got->control.flags & CONTROL_PUBLIC) != 0;
    if (!may || field == NULL || !proxy_date(*field, date, &modified) || modified >= date) {
        return 0;
    }
    int64_t life = (date - modified) / 100 * policy->heuristic_percent +
                   (date - modified) % 100 * policy->heuristic_percent / 100;
    return life < policy->heuristic_max_s ? (uint32_t)life : policy->heuristic_max_s;
}

proxy_life proxy_life_of(const proxy_got *got, const proxy_policy *policy)
{
    uint32_t flags = got->control.flags;
    int64_t date = date_of(got);
    int64_t apparent_ms = (floor_s(got->response_ms) - date) * 1000;
    int64_t delay_ms = got->response_ms - got->request_ms;
    int64_t said_ms = (int64_t)said_age(got->fields) * 1000 + (delay_ms > 0 ? delay_ms : 0);
    int64_t age_ms = apparent_ms > said_ms ? apparent_ms : said_ms;
    proxy_life life = {
        .born_ms = got->response_ms - age_ms,
        .stale_while_s =
            (flags & CONTROL_STALE_WHILE) != 0 ? got->control.stale_while : policy->stale_while_s,
        .stale_error_s = got->control.stale_error,
        .flags = ((flags & CONTROL_NO_CACHE) != 0 ? LIFE_NO_CACHE : 0) |
                 ((flags & CONTROL_STALE_ERROR) != 0 ? LIFE_SAID_ERROR : 0),
    };
    if ((flags & CONTROL_S_MAXAGE) != 0) {
        life.lifetime_s = got->control.s_maxage;
    } else if ((flags & CONTROL_MAX_AGE) != 0) {
        life.lifetime_s = got->control.max_age;
    } else if (is_explicit(got)) {
        life.lifetime_s = expires_life(got, date);
    } else {
        life.lifetime_s = guessed_life(got, date, policy);
        life.flags |= LIFE_HEURISTIC;
    }
    if ((flags & (CONTROL_MUST_REVALIDATE | CONTROL_PROXY_REVALIDATE | CONTROL_S_MAXAGE |
                  CONTROL_NO_CACHE)) != 0) {
        life.flags |= LIFE_STRICT;
        life.stale_while_s = 0;
        life.stale_error_s = 0;
    }
    return life;
}

uint32_t proxy_age_s(const proxy_life *life, int64_t now_ms)
{
    int64_t age = floor_s(now_ms - life->born_ms);
    return age <= 0 ? 0 : age < PROXY_SECONDS_MAX ? (uint32_t)age : PROXY_SECONDS_MAX;
}

int64_t proxy_left_s(const proxy_life *life, int64_t now_ms)
{
    return (int64_t)life->lifetime_s - (int64_t)proxy_age_s(life, now_ms);
}

proxy_verdict proxy_judge(const proxy_life *life, const proxy_control *request, int64_t now_ms)
{
    int64_t age = proxy_age_s(life, now_ms);
    int64_t left = (int64_t)life->lifetime_s - age;
    bool choosy = ((request->flags & CONTROL_MAX_AGE) != 0 && age > request->max_age) ||
                  ((request->flags & CONTROL_MIN_FRESH) != 0 && left < request->min_fresh);
    if ((life->flags & LIFE_NO_CACHE) != 0 || (request->flags & CONTROL_NO_CACHE) != 0 || choosy) {
        return PROXY_VALIDATE;
    }
    if (left > 0) {
        /* "max-age=0" of a client means "ask", even in the first second. */
        return (request->flags & CONTROL_MAX_AGE) != 0 && request->max_age == 0 ? PROXY_VALIDATE
                                                                                : PROXY_USE;
    }
    if ((life->flags & LIFE_STRICT) != 0) {
        return PROXY_VALIDATE;
    }
    if ((request->flags & CONTROL_MAX_STALE) != 0 && -left <= request->max_stale) {
        return PROXY_USE;
    }
    return -left < life->stale_while_s ? PROXY_USE_AND_RENEW : PROXY_VALIDATE;
}

bool proxy_use_on_failure(const proxy_life *life, const proxy_policy *policy, proxy_failure failure,
                          int64_t now_ms)
{
    if ((life->flags & (LIFE_STRICT | LIFE_NO_CACHE)) != 0) {
        return false;
    }
    int64_t limit = life->stale_error_s;
    if ((life->flags & LIFE_SAID_ERROR) == 0) {
        limit =
            failure == PROXY_FAILED_REACH || policy->stale_on_status ? policy->stale_error_s : 0;
    }
    return -proxy_left_s(life, now_ms) < limit;
}
