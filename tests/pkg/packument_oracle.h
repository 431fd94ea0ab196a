/*
 * packument_oracle.h -- what a record must say of a document, by way of the strict parser (jsontext.h)
 * and the rules of packument.h said once more, plainly.
 *
 *     const char *wrong = oracle_check(name, json, arena, package);      NULL: as it must be
 *
 * For tests and for fuzzing; it asserts nothing itself.
 */
#ifndef BRISK_TESTS_PKG_PACKUMENT_ORACLE_H
#define BRISK_TESTS_PKG_PACKUMENT_ORACLE_H

#include <string.h>

#include "workload/pkg/jsontext.h"
#include "workload/pkg/package.h"

static inline bool oracle_is(const pkg_json *value, pkg_json_type type)
{
    return value != NULL && value->type == type;
}

static inline bool oracle_truthy(const pkg_json *value)
{
    return value != NULL && (value->type == PKG_JSON_OBJECT || value->type == PKG_JSON_ARRAY ||
                             (value->type == PKG_JSON_BOOL && value->boolean) ||
                             (value->type == PKG_JSON_STRING && value->text.size > 0) ||
                             (value->type == PKG_JSON_NUMBER && value->number != 0));
}

/* The raw JSON of what npm would write into a lock. */
static inline pkg_text oracle_raw(const pkg_json *value)
{
    bool empty =
        !oracle_truthy(value) ||
        ((value->type == PKG_JSON_OBJECT || value->type == PKG_JSON_ARRAY) && value->count == 0);
    return empty ? (pkg_text){0} : value->raw;
}

/* The member of an object by its text, for names that are no C strings. */
static inline const pkg_json *oracle_member(const pkg_json *object, pkg_text key)
{
    for (uint32_t i = 0; oracle_is(object, PKG_JSON_OBJECT) && i < object->count; i++) {
        if (pkg_text_equal(object->keys[i], key)) {
            return object->items[i];
        }
    }
    return NULL;
}

/* Whether `name`: `spec` of `object` (a kind of dependencies) is among the manifest's. */
static inline bool oracle_has_dep(const pkg_manifest *m, pkg_text name, pkg_text spec,
                                  pkg_dep_kind kind)
{
    for (uint32_t i = 0; i < m->dep_count; i++) {
        const pkg_dep *dep = &m->deps[i];
        if (dep->kind == kind && pkg_text_equal(dep->name, name)) {
            return pkg_text_equal(dep->spec, spec) && dep->name_hash == pkg_text_hash(name);
        }
    }
    return false;
}

static inline bool oracle_optional_peer(const pkg_json *version, pkg_text name)
{
    const pkg_json *meta = oracle_member(pkg_json_get(version, "peerDependenciesMeta"), name);
    const pkg_json *optional =
        oracle_is(meta, PKG_JSON_OBJECT) ? pkg_json_get(meta, "optional") : NULL;
    return oracle_is(optional, PKG_JSON_BOOL) && optional->boolean;
}

static inline const char *oracle_deps(const pkg_json *version, const pkg_manifest *m)
{
    static const char *const fields[] = {"dependencies", "optionalDependencies",
                                         "peerDependencies"};
    uint32_t count = 0;
    for (uint32_t field = 0; field < 3; field++) {
        const pkg_json *deps = pkg_json_get(version, fields[field]);
        for (uint32_t i = 0; oracle_is(deps, PKG_JSON_OBJECT) && i < deps->count; i++) {
            pkg_text name = deps->keys[i];
            pkg_dep_kind kind = field == 0                            ? PKG_DEP_PROD
                                : field == 1                          ? PKG_DEP_OPTIONAL
                                : oracle_optional_peer(version, name) ? PKG_DEP_PEER_OPTIONAL
                                                                      : PKG_DEP_PEER;
            const pkg_json *optional =
                oracle_member(pkg_json_get(version, "optionalDependencies"), name);
            bool replaced = field == 0 && oracle_is(optional, PKG_JSON_STRING);
            if (deps->items[i]->type == PKG_JSON_STRING && !replaced) {
                count++;
                if (!oracle_has_dep(m, name, deps->items[i]->text, kind)) {
                    return "a dependency";
                }
            }
        }
    }
    for (uint32_t i = 1; i < m->dep_count; i++) {
        int order = pkg_text_compare(m->deps[i - 1].name, m->deps[i].name);
        if (order > 0 || (order == 0 && m->deps[i - 1].kind >= m->deps[i].kind)) {
            return "the order of dependencies";
        }
    }
    return count == m->dep_count ? NULL : "the number of dependencies";
}

static inline bool oracle_list_is(const pkg_json *value, pkg_texts list)
{
    uint32_t count = 0;
    if (oracle_is(value, PKG_JSON_STRING)) {
        return list.count == 1 && pkg_text_equal(list.items[0], value->text);
    }
    for (uint32_t i = 0; oracle_is(value, PKG_JSON_ARRAY) && i < value->count; i++) {
        if (value->items[i]->type == PKG_JSON_STRING) {
            if (count >= list.count || !pkg_text_equal(list.items[count], value->items[i]->text)) {
                return false;
            }
            count++;
        }
    }
    return count == list.count;
}

static inline bool oracle_script(const pkg_json *version)
{
    const pkg_json *scripts = pkg_json_get(version, "scripts");
    const pkg_json *flag = pkg_json_get(version, "hasInstallScript");
    return (oracle_is(flag, PKG_JSON_BOOL) && flag->boolean) ||
           (oracle_is(scripts, PKG_JSON_OBJECT) &&
            (oracle_truthy(pkg_json_get(scripts, "preinstall")) ||
             oracle_truthy(pkg_json_get(scripts, "install")) ||
             oracle_truthy(pkg_json_get(scripts, "postinstall"))));
}

static inline const char *oracle_meta(const pkg_json *version, const pkg_manifest *m)
{
    const pkg_json *engines = pkg_json_get(version, "engines");
    const pkg_json *license = pkg_json_get(version, "license");
    const pkg_json *bundle = pkg_json_get(version, "bundleDependencies");
    bundle = bundle != NULL ? bundle : pkg_json_get(version, "bundledDependencies");
    if (!pkg_text_equal(m->engine_node, pkg_json_get_text(engines, "node")) ||
        !pkg_text_equal(m->engine_npm, pkg_json_get_text(engines, "npm")) ||
        !pkg_text_equal(m->engines, oracle_raw(engines))) {
        return "engines";
    }
    pkg_text type =
        oracle_is(license, PKG_JSON_STRING) ? license->text : pkg_json_get_text(license, "type");
    if (!pkg_text_equal(m->license, type) ||
        !pkg_text_equal(m->deprecated, pkg_json_get_text(version, "deprecated"))) {
        return "license or deprecated";
    }
    if (!pkg_text_equal(m->bin, oracle_raw(pkg_json_get(version, "bin"))) ||
        !pkg_text_equal(m->funding, oracle_raw(pkg_json_get(version, "funding")))) {
        return "bin or funding";
    }
    if (!oracle_list_is(bundle, m->bundled) ||
        !oracle_list_is(pkg_json_get(version, "os"), m->os) ||
        !oracle_list_is(pkg_json_get(version, "cpu"), m->cpu) ||
        !oracle_list_is(pkg_json_get(version, "libc"), m->libc)) {
        return "a list";
    }
    const pkg_json *shrinkwrap = pkg_json_get(version, "_hasShrinkwrap");
    uint32_t flags =
        (oracle_script(version) ? PKG_HAS_INSTALL_SCRIPT : 0U) |
        (oracle_is(shrinkwrap, PKG_JSON_BOOL) && shrinkwrap->boolean ? PKG_HAS_SHRINKWRAP : 0U) |
        (oracle_truthy(pkg_json_get(version, "deprecated")) ? PKG_DEPRECATED : 0U) |
        (oracle_is(bundle, PKG_JSON_BOOL) && bundle->boolean ? PKG_BUNDLES_ALL : 0U);
    return flags == m->flags ? NULL : "flags";
}

static inline const char *oracle_dist(const pkg_json *version, const pkg_manifest *m)
{
    const pkg_json *dist = pkg_json_get(version, "dist");
    pkg_text integrity = pkg_json_get_text(dist, "integrity");
    if (integrity.size > 0 && !pkg_text_equal(m->integrity, integrity)) {
        return "integrity";
    }
    if (integrity.size == 0 && pkg_json_get_text(dist, "shasum").size != 40 &&
        m->integrity.size != 0) {
        return "an integrity that is not there";
    }
    return pkg_text_equal(m->tarball, pkg_json_get_text(dist, "tarball")) ? NULL : "tarball";
}

static inline const char *oracle_version(const pkg_package *package, pkg_text key,
                                         const pkg_json *version, brisk_arena *arena)
{
    uint32_t index = pkg_package_find(package, key);
    const pkg_manifest *m;
    if (index == PKG_NO_VERSION) {
        return "a version is missing";
    }
    if (pkg_package_manifest(package, index, arena, &m) != BRISK_OK) {
        return "a manifest cannot be read";
    }
    const char *wrong = pkg_text_equal(m->version, key) ? NULL : "the version";
    wrong = wrong != NULL ? wrong : oracle_deps(version, m);
    wrong = wrong != NULL ? wrong : oracle_meta(version, m);
    return wrong != NULL ? wrong : oracle_dist(version, m);
}

static inline const char *oracle_tags(const pkg_package *package, const pkg_json *tags)
{
    for (uint32_t i = 0; oracle_is(tags, PKG_JSON_OBJECT) && i < tags->count; i++) {
        uint32_t expected = tags->items[i]->type == PKG_JSON_STRING
                                ? pkg_package_find(package, tags->items[i]->text)
                                : PKG_NO_VERSION;
        if (pkg_package_tag(package, tags->keys[i]) != expected) {
            return "a tag";
        }
    }
    return NULL;
}

static inline const char *oracle_order(const pkg_package *package)
{
    pkg_version before = {0};
    for (uint32_t i = 0; i < pkg_package_count(package); i++) {
        pkg_version version;
        pkg_package_version(package, i, &version);
        if (i > 0 && semver_compare(&before.semver, &version.semver) > 0) {
            return "the order of versions";
        }
        before = version;
    }
    return NULL;
}

/* `package` is what was made of `json`, or NULL: it was refused. */
static inline const char *oracle_check(pkg_text name, pkg_text json, brisk_arena *arena,
                                       const pkg_package *package)
{
    const pkg_json *root;
    if (pkg_json_parse(json, arena, &root, NULL) != BRISK_OK) {
        return NULL; /* what is stepped over may be wrong unseen */
    }
    const pkg_json *stated = pkg_json_get(root, "name");
    bool good = oracle_is(root, PKG_JSON_OBJECT) && oracle_is(stated, PKG_JSON_STRING) &&
                pkg_text_equal(stated->text, name);
    if (!good || package == NULL) {
        return good ? "it was refused" : package != NULL ? "it was not refused" : NULL;
    }
    const pkg_json *versions = pkg_json_get(root, "versions");
    uint32_t count = 0;
    for (uint32_t i = 0; oracle_is(versions, PKG_JSON_OBJECT) && i < versions->count; i++) {
        semver parsed;
        if (versions->items[i]->type != PKG_JSON_OBJECT ||
            versions->keys[i].size > SEMVER_LENGTH_MAX ||
            !semver_parse(versions->keys[i], SEMVER_LOOSE, &parsed)) {
            continue;
        }
        count++;
        const char *wrong = oracle_version(package, versions->keys[i], versions->items[i], arena);
        if (wrong != NULL) {
            return wrong;
        }
    }
    if (count != pkg_package_count(package)) {
        return "the number of versions";
    }
    const char *wrong = oracle_order(package);
    return wrong != NULL ? wrong : oracle_tags(package, pkg_json_get(root, "dist-tags"));
}

#endif /* BRISK_TESTS_PKG_PACKUMENT_ORACLE_H */
