/*
 * mime.c -- the table, sorted by extension.
 */
#include "daemon/files/mime.h"

#include <string.h>
#include <strings.h>

typedef struct mime_row {
    const char *extension;
    http_text type;
} mime_row;

#define TEXT(literal)                                                                              \
    {                                                                                              \
        "" literal, sizeof(literal) - 1                                                            \
    }
#define UTF8 "; charset=utf-8"

static const mime_row rows[] = {
    {"7z", TEXT("application/x-7z-compressed")},
    {"aac", TEXT("audio/aac")},
    {"apng", TEXT("image/apng")},
    {"atom", TEXT("application/atom+xml")},
    {"avif", TEXT("image/avif")},
    {"bin", TEXT("application/octet-stream")},
    {"bmp", TEXT("image/bmp")},
    {"br", TEXT("application/octet-stream")},
    {"bz2", TEXT("application/x-bzip2")},
    {"css", TEXT("text/css" UTF8)},
    {"csv", TEXT("text/csv" UTF8)},
    {"deb", TEXT("application/vnd.debian.binary-package")},
    {"eot", TEXT("application/vnd.ms-fontobject")},
    {"epub", TEXT("application/epub+zip")},
    {"flac", TEXT("audio/flac")},
    {"gif", TEXT("image/gif")},
    {"gz", TEXT("application/gzip")},
    {"htm", TEXT("text/html" UTF8)},
    {"html", TEXT("text/html" UTF8)},
    {"ico", TEXT("image/x-icon")},
    {"ics", TEXT("text/calendar" UTF8)},
    {"jar", TEXT("application/java-archive")},
    {"jpeg", TEXT("image/jpeg")},
    {"jpg", TEXT("image/jpeg")},
    {"js", TEXT("text/javascript" UTF8)},
    {"json", TEXT("application/json")},
    {"jsonl", TEXT("application/jsonl")},
    {"jxl", TEXT("image/jxl")},
    {"m3u8", TEXT("application/vnd.apple.mpegurl")},
    {"m4a", TEXT("audio/mp4")},
    {"map", TEXT("application/json")},
    {"md", TEXT("text/markdown" UTF8)},
    {"mjs", TEXT("text/javascript" UTF8)},
    {"mp3", TEXT("audio/mpeg")},
    {"mp4", TEXT("video/mp4")},
    {"ogg", TEXT("audio/ogg")},
    {"ogv", TEXT("video/ogg")},
    {"opus", TEXT("audio/ogg")},
    {"otf", TEXT("font/otf")},
    {"pdf", TEXT("application/pdf")},
    {"png", TEXT("image/png")},
    {"rss", TEXT("application/rss+xml")},
    {"svg", TEXT("image/svg+xml")},
    {"tar", TEXT("application/x-tar")},
    {"tif", TEXT("image/tiff")},
    {"tiff", TEXT("image/tiff")},
    {"ttf", TEXT("font/ttf")},
    {"txt", TEXT("text/plain" UTF8)},
    {"wasm", TEXT("application/wasm")},
    {"wav", TEXT("audio/wav")},
    {"weba", TEXT("audio/webm")},
    {"webm", TEXT("video/webm")},
    {"webmanifest", TEXT("application/manifest+json")},
    {"webp", TEXT("image/webp")},
    {"woff", TEXT("font/woff")},
    {"woff2", TEXT("font/woff2")},
    {"xhtml", TEXT("application/xhtml+xml")},
    {"xml", TEXT("application/xml")},
    {"xz", TEXT("application/x-xz")},
    {"yaml", TEXT("application/yaml")},
    {"yml", TEXT("application/yaml")},
    {"zip", TEXT("application/zip")},
    {"zst", TEXT("application/zstd")},
};

http_text mime_of(const char *path)
{
    static const http_text unknown = TEXT("application/octet-stream");
    const char *slash = strrchr(path, '/');
    const char *dot = strrchr(slash != NULL ? slash : path, '.');
    size_t low = 0;
    size_t high = sizeof rows / sizeof rows[0];
    while (dot != NULL && low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcasecmp(dot + 1, rows[middle].extension);
        if (order == 0) {
            return rows[middle].type;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return unknown;
}
