/*
 * knob_node.h -- a part of a YAML document as the value of a knob of type BRISK_KNOB_YAML.
 */
#ifndef BRISK_SRC_BASE_KNOB_NODE_H
#define BRISK_SRC_BASE_KNOB_NODE_H

#include <brisk/knob.h>

typedef struct knob_node {
    const brisk_yaml_doc *doc;
    const brisk_yaml_node *node; /* of `doc` */
} knob_node;

/* As brisk_knobs_set; the knob is one of YAML. */
BRISK_NODISCARD brisk_err knobs_set_node(brisk_knobs *knobs, const char *name,
                                         const knob_node *node, brisk_knob_source source,
                                         brisk_errinfo *info);

#endif /* BRISK_SRC_BASE_KNOB_NODE_H */
