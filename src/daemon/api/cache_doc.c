/*
 * cache_doc.c -- what /v1/cache takes and gives, for the API's document.
 */
#include "daemon/api/cache.h"
#include "daemon/api/openapi.h"

#define KEY_PARAMETER                                                                              \
    {                                                                                              \
        "key", "path", API_TEXT, "The key, percent-encoded, or in the encoding that is said", true \
    }
#define ENCODING_PARAMETER                                                                         \
    {                                                                                              \
        "encoding", "query", "{\"enum\": [\"hex\", \"base64url\"]}", "How names are written",      \
            false                                                                                  \
    }
#define CONDITION_PARAMETERS                                                                       \
    {"if-match", "header", API_TEXT, "Only if the entry has one of these tags", false},            \
    {                                                                                              \
        "if-none-match", "header", API_TEXT, "Only if it has none of them", false                  \
    }

static const api_parameter key_parameters[] = {KEY_PARAMETER, ENCODING_PARAMETER,
                                               CONDITION_PARAMETERS};

static const api_parameter get_parameters[] = {
    KEY_PARAMETER,
    ENCODING_PARAMETER,
    CONDITION_PARAMETERS,
    {"range", "header", API_TEXT, "Bytes wanted: one range", false},
    {"if-range", "header", API_TEXT, "The range only if the tag is this one, else all", false},
};

static const api_parameter put_parameters[] = {
    KEY_PARAMETER,
    ENCODING_PARAMETER,
    CONDITION_PARAMETERS,
    {"cache-control", "header", API_TEXT, "s-maxage or max-age: how long it lives, in seconds",
     false},
    {"x-brisk-ttl-ms", "header", API_INTEGER, "The same in milliseconds; goes before", false},
    {"surrogate-key", "header", API_TEXT, "Tags, separated by blanks", false},
};

static const api_parameter list_parameters[] = {
    {"cursor", "query", API_TEXT, "Where to go on: what the last answer said", false},
    {"limit", "query", "{\"type\": \"integer\", \"minimum\": 1, \"maximum\": 1000}",
     "About how many entries", false},
    {"prefix", "query", API_TEXT, "Only keys that begin so", false},
    ENCODING_PARAMETER,
};

static const api_parameter delete_parameters[] = {
    {"prefix", "query", API_TEXT, "Keys that begin so", false},
    {"all", "query", API_BOOLEAN, "Everything, when there is no prefix", false},
    ENCODING_PARAMETER,
};

static const api_response get_responses[] = {
    {200, "The value", "application/octet-stream", NULL},
    {206, "Part of it", "application/octet-stream", NULL},
    {304, "It is the one with that tag", NULL, NULL},
    {404, "There is none", "application/json", API_REF("Error")},
    {412, "It is not the one with that tag", NULL, NULL},
    {416, "It has no such bytes", NULL, NULL},
};

static const api_response put_responses[] = {
    {201, "Stored where there was none", NULL, NULL},
    {204, "Stored in place of another", NULL, NULL},
    {412, "What is there is not what the condition says", "application/json", API_REF("Error")},
    {413, "The value is too large", "application/json", API_REF("Error")},
    {507, "There is no room", "application/json", API_REF("Error")},
};

static const api_response delete_responses[] = {
    {204, "It is gone", NULL, NULL},
    {404, "There was none", "application/json", API_REF("Error")},
    {412, "What is there is not what the condition says", "application/json", API_REF("Error")},
};

static const api_response list_responses[] = {
    {200, "Entries, and where to go on", "application/json", API_REF("CacheEntries")},
};

static const api_response gone_responses[] = {
    {204, "They are gone", NULL, NULL},
};

static const api_response invalidate_responses[] = {
    {200, "What was done", "application/json", API_REF("CacheInvalidated")},
};

static const api_operation operations[] = {
    {.method = "get",
     .path = "/v1/cache/{key}",
     .id = "getEntry",
     .summary = "The value of a key",
     .description =
         "HEAD says the same without the value.  The tag is a hash of the value's bytes.",
     .right = HTTP_RIGHT_READ,
     .parameters = API_ROWS(get_parameters),
     .responses = API_ROWS(get_responses)},
    {.method = "put",
     .path = "/v1/cache/{key}",
     .id = "putEntry",
     .summary = "Store a value",
     .right = HTTP_RIGHT_CHANGE,
     .parameters = API_ROWS(put_parameters),
     .body_type = "application/octet-stream",
     .responses = API_ROWS(put_responses)},
    {.method = "delete",
     .path = "/v1/cache/{key}",
     .id = "deleteEntry",
     .summary = "Remove a key",
     .description = "PURGE does the same.",
     .right = HTTP_RIGHT_CHANGE,
     .parameters = API_ROWS(key_parameters),
     .responses = API_ROWS(delete_responses)},
    {.method = "get",
     .path = "/v1/cache",
     .id = "listEntries",
     .summary = "A step of a walk through the entries in memory",
     .right = HTTP_RIGHT_READ,
     .parameters = API_ROWS(list_parameters),
     .responses = API_ROWS(list_responses)},
    {.method = "delete",
     .path = "/v1/cache",
     .id = "deleteEntries",
     .summary = "Remove all keys with a prefix, or all",
     .right = HTTP_RIGHT_CHANGE,
     .parameters = API_ROWS(delete_parameters),
     .responses = API_ROWS(gone_responses)},
    {.method = "post",
     .path = "/v1/cache/invalidate",
     .id = "invalidate",
     .summary = "Make keys, tags and prefixes outdated",
     .description = "All of it is looked at before any of it is done.",
     .right = HTTP_RIGHT_CHANGE,
     .body_type = "application/json",
     .body_schema = API_REF("CacheInvalidate"),
     .responses = API_ROWS(invalidate_responses)},
};

#define NAMES "{\"type\": \"array\", \"maxItems\": 10000, \"items\": {\"type\": \"string\"}}"

static const api_schema schemas[] = {
    {"CacheEntries",
     "{\"type\": \"object\", \"required\": [\"schema\", \"cursor\", \"complete\", \"entries\"], "
     "\"properties\": {\"schema\": {\"const\": 1}, "
     "\"cursor\": {\"type\": \"string\", \"description\": \"0: that was the end\"}, "
     "\"complete\": {\"type\": \"boolean\", \"description\": \"false: there may be entries on disk "
     "alone\"}, "
     "\"entries\": {\"type\": \"array\", \"items\": " API_REF("CacheEntry") "}}}"},
    {"CacheEntry", "{\"type\": \"object\", \"required\": [\"key\", \"encoding\", \"size\", "
                   "\"ttl_ms\", \"tagged\"], "
                   "\"properties\": {\"key\": {\"type\": \"string\"}, \"encoding\": {\"enum\": "
                   "[\"text\", \"hex\"]}, "
                   "\"size\": " API_INTEGER ", \"ttl_ms\": {\"type\": [\"integer\", \"null\"]}, "
                   "\"tagged\": {\"type\": \"boolean\"}}}"},
    {"CacheInvalidate",
     "{\"type\": \"object\", \"properties\": {\"keys\": " NAMES ", \"tags\": " NAMES
     ", \"prefixes\": " NAMES ", \"encoding\": {\"enum\": [\"hex\", \"base64url\"]}}}"},
    {"CacheInvalidated",
     "{\"type\": \"object\", \"required\": [\"schema\", \"keys\", \"tags\", \"prefixes\"], "
     "\"properties\": {\"schema\": {\"const\": 1}, \"keys\": {\"type\": \"integer\", "
     "\"description\": \"those that were in memory\"}, \"tags\": " API_INTEGER
     ", \"prefixes\": " API_INTEGER "}}"},
};

const api_set api_cache_set = {
    .tag = "cache",
    .summary = "Entries: the same as those of the Redis protocol",
    .operations = API_ROWS(operations),
    .schemas = API_ROWS(schemas),
};
