/*
 * yaml_text.h -- YAML that is part of a larger text: read with the larger one's lines, and written
 * so that lines stay what they were.
 */
#ifndef BRISK_SRC_BASE_YAML_TEXT_H
#define BRISK_SRC_BASE_YAML_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include <brisk/yaml.h>

#include "base/str.h"

typedef struct yaml_text {
    const char *name;    /* in errors, and of the document */
    uint32_t first_line; /* of `data`, from 1 */
    const char *data;
    size_t size;
} yaml_text;

/* As brisk_yaml_parse. */
BRISK_NODISCARD brisk_err yaml_parse_text(const yaml_text *text, const brisk_alloc *alloc,
                                          brisk_yaml_doc **ret, brisk_errinfo *info);
/*
 * Append `node` in flow style.  A line break stands where one stood before, so that what is parsed
 * again from node->line on has the lines of the original; all breaks are between words.
 * Words that are not plain letters, digits and a few signs are quoted; an empty entry of a list is
 * written as "".
 */
void yaml_write_flow(const brisk_yaml_node *node, brisk_str *to);

#endif /* BRISK_SRC_BASE_YAML_TEXT_H */
