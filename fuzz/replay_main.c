/*
 * replay_main.c -- runs a fuzz target over its corpus as an ordinary test, without libFuzzer.
 *
 *     fuzz_x FILE-OR-FOLDER...
 *
 * Besides each file itself it runs prefixes of it and copies with one bit flipped, at most
 * VARIANTS_MAX of each, spread evenly: the cheapest mutations, and always the same ones.  Inputs
 * are heap blocks of their exact size, so that AddressSanitizer sees the first byte read beyond.
 */
#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { VARIANTS_MAX = 256 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Run `size` bytes of `data`, bit `flip` of them inverted unless it lies beyond. */
static void run(const uint8_t *data, size_t size, size_t flip)
{
    uint8_t *copy = malloc(size != 0 ? size : 1);
    if (copy == NULL) {
        abort();
    }
    if (size != 0) {
        memcpy(copy, data, size);
    }
    if (flip / 8 < size) {
        copy[flip / 8] ^= (uint8_t)(1u << (flip % 8));
    }
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static size_t step_of(size_t count)
{
    return count / VARIANTS_MAX + 1;
}

static bool replay_file(const char *path)
{
    FILE *file = fopen(path, "rbe");
    struct stat st;
    if (file == NULL || fstat(fileno(file), &st) != 0) {
        (void)fprintf(stderr, "%s: cannot be read\n", path);
        return false;
    }
    size_t size = (size_t)st.st_size;
    uint8_t *data = malloc(size + 1);
    bool whole = data != NULL && fread(data, 1, size, file) == size;
    (void)fclose(file);
    if (whole) {
        run(data, size, SIZE_MAX);
        for (size_t cut = 0; cut < size; cut += step_of(size)) {
            run(data, cut, SIZE_MAX);
        }
        for (size_t bit = 0; bit < size * 8; bit += step_of(size * 8)) {
            run(data, size, bit);
        }
    }
    free(data);
    return whole;
}

static bool replay_folder(DIR *dir, const char *folder, size_t *count)
{
    bool ok = true;
    for (const struct dirent *entry; ok && (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        char path[PATH_MAX];
        (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        ok = replay_file(path);
        ++*count;
    }
    return ok;
}

int main(int argc, char **argv)
{
    size_t count = 0;
    bool ok = true;
    for (int i = 1; ok && i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        if (dir != NULL) {
            ok = replay_folder(dir, argv[i], &count);
            (void)closedir(dir);
        } else {
            ok = replay_file(argv[i]);
            count++;
        }
    }
    (void)printf("%zu inputs replayed\n", count);
    return ok && count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
