/*
 * graph_json.c -- the graph as one JSON object: points, and lines between their numbers.
 */
#include "workload/pkg/graph.h"
#include "workload/pkg/report.h"

static void put_point(brisk_json *json, const pkg_point *point)
{
    static const char *const classes[PKG_POINT_CLASSES] = {
        [PKG_POINT_PROJECT] = "project", [PKG_POINT_PROD] = "prod",
        [PKG_POINT_DEV] = "dev",         [PKG_POINT_OPTIONAL] = "optional",
        [PKG_POINT_PEER] = "peer",       [PKG_POINT_EXTRANEOUS] = "extraneous",
    };
    brisk_json_object_begin(json, NULL);
    pkg_json_put(json, "name", point->node->manifest->name);
    pkg_json_put(json, "version", point->node->manifest->version);
    pkg_json_put(json, "path", point->node->path);
    brisk_json_str(json, "class", classes[point->class_]);
    brisk_json_u64(json, "places", point->places);
    brisk_json_u64(json, "depth", point->depth);
    brisk_json_u64(json, "parent", point->parent);
    brisk_json_u64(json, "behind", point->size);
    brisk_json_bool(json, "duplicate", point->duplicate);
    brisk_json_object_end(json);
}

static void put_line(brisk_json *json, const pkg_line *line)
{
    static const char *const kinds[] = {
        [PKG_DEP_PROD] = "prod", [PKG_DEP_OPTIONAL] = "optional",
        [PKG_DEP_PEER] = "peer", [PKG_DEP_PEER_OPTIONAL] = "peerOptional",
        [PKG_DEP_DEV] = "dev",   [PKG_DEP_WORKSPACE] = "workspace",
    };
    brisk_json_object_begin(json, NULL);
    brisk_json_u64(json, "from", line->from);
    brisk_json_u64(json, "to", line->to);
    brisk_json_str(json, "kind", kinds[line->kind]);
    brisk_json_bool(json, "satisfied", !line->bad);
    brisk_json_object_end(json);
}

brisk_err pkg_graph_write_json(const pkg_graph *graph, brisk_out out)
{
    brisk_json json;
    brisk_json_init(&json, out, 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_str(&json, "title", graph->title);
    brisk_json_array_begin(&json, "points");
    for (uint32_t i = 0; i < graph->count; i++) {
        put_point(&json, &graph->points[i]);
    }
    brisk_json_array_end(&json);
    brisk_json_array_begin(&json, "lines");
    for (uint32_t i = 0; i < graph->line_count; i++) {
        put_line(&json, &graph->lines[i]);
    }
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}
