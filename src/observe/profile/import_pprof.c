/*
 * import_pprof.c -- pprof's Profile message, and gperftools' older binary.
 *
 * Two passes over the top level: tables of strings, functions, mappings and locations, then the
 * samples that point into them.  Numbers of things are any 64-bit values; they are found through
 * indexes, never used as places.
 *
 * A location is read once, by the first sample that has it: a sample is a list of numbers of one byte, and a body of
 * a megabyte that each of a million numbers had read again would take hours.
 */
#include <inttypes.h>

#include "observe/profile/lines.h"
#include "observe/profile/pprof.h"
#include "wire/protobuf.h"

typedef struct thing { /* a function, a mapping or a location */
    uint64_t id;
    uint64_t a;                /* function: name; mapping: file; location: mapping */
    uint64_t b;                /* function: file; location: address */
    const unsigned char *body; /* location */
    size_t size;
    uint32_t first; /* location: its frames, in the loader's */
    uint32_t count; /* 0: not read yet */
} thing;

typedef struct things {
    BRISK_VEC(thing) items;
    prof_index index;
} things;

typedef struct loader {
    prof_model *model;
    prof_bytes bytes;
    brisk_errinfo *info;
    BRISK_VEC(prof_piece) strings;
    things functions;
    things mappings;
    things locations;
    BRISK_VEC(uint32_t) frames; /* of the locations that were read, innermost first */
    uint32_t types[PROF_VALUES_MAX];
    uint32_t type_count;
    uint64_t default_type; /* string */
    brisk_err err;
} loader;

static brisk_err fail(loader *l, const unsigned char *at, const char *what)
{
    if (l->err == BRISK_OK) {
        l->err = brisk_errinfo_set(l->info, BRISK_ERR_CORRUPT, "%s: %s at offset %zu",
                                   l->bytes.name, what, (size_t)(at - l->bytes.data));
    }
    return l->err;
}

/* The next field; false: the end, or damage, which is kept. */
static bool next(loader *l, wire_pb_reader *reader, wire_pb_field *field)
{
    const unsigned char *at = reader->at;
    brisk_err err = l->err == BRISK_OK ? wire_pb_next(reader, field) : BRISK_ERR_NOT_FOUND;
    if (err == BRISK_ERR_CORRUPT) {
        (void)fail(l, at, "a damaged field");
    }
    return err == BRISK_OK;
}

static wire_pb_reader reader_of(const wire_pb_field *field)
{
    return (wire_pb_reader){field->data, field->data + field->size};
}

static bool same_thing(const void *owner, uint32_t id, const void *key)
{
    return ((const things *)owner)->items.items[id].id == *(const uint64_t *)key;
}

static const thing *find(const things *all, uint64_t id)
{
    uint32_t at = prof_index_find(&all->index, prof_mix(id, 3), same_thing, all, &id);
    return at != PROF_NO_ID && all->items.items != NULL ? &all->items.items[at] : NULL;
}

static void add(loader *l, things *all, const thing *one)
{
    uint32_t at = (uint32_t)all->items.count;
    if (find(all, one->id) != NULL) {
        return; /* the first of a number */
    }
    if (at >= PROF_ITEMS_MAX || !BRISK_VEC_PUSH(&all->items, *one) ||
        !prof_index_add(&all->index, l->model->alloc, prof_mix(one->id, 3), at)) {
        l->err = BRISK_ERR_NOMEM;
    }
}

static uint32_t string_of(const loader *l, uint64_t index)
{
    if (index >= l->strings.count) {
        return 0;
    }
    return prof_string_of(l->model, l->strings.items[index].text, l->strings.items[index].size);
}

/* --- tables --------------------------------------------------------------------------------- */

static void take_function(loader *l, const wire_pb_field *of)
{
    wire_pb_reader r = reader_of(of);
    wire_pb_field f;
    thing one = {0};
    uint64_t system = 0;
    while (next(l, &r, &f)) {
        switch (f.number) {
        case PB_FUNCTION_ID: one.id = f.value; break;
        case PB_FUNCTION_NAME: one.a = f.value; break;
        case PB_FUNCTION_SYSTEM_NAME: system = f.value; break;
        case PB_FUNCTION_FILE: one.b = f.value; break;
        default: break;
        }
    }
    one.a = one.a != 0 ? one.a : system;
    add(l, &l->functions, &one);
}

static void take_mapping(loader *l, const wire_pb_field *of)
{
    wire_pb_reader r = reader_of(of);
    wire_pb_field f;
    thing one = {0};
    while (next(l, &r, &f)) {
        one.id = f.number == PB_MAPPING_ID ? f.value : one.id;
        one.a = f.number == PB_MAPPING_FILE ? f.value : one.a;
    }
    add(l, &l->mappings, &one);
}

static void take_location(loader *l, const wire_pb_field *of)
{
    wire_pb_reader r = reader_of(of);
    wire_pb_field f;
    thing one = {.body = of->data, .size = of->size};
    while (next(l, &r, &f)) {
        switch (f.number) {
        case PB_LOCATION_ID: one.id = f.value; break;
        case PB_LOCATION_MAPPING: one.a = f.value; break;
        case PB_LOCATION_ADDRESS: one.b = f.value; break;
        default: break;
        }
    }
    add(l, &l->locations, &one);
}

static void take_type(loader *l, const wire_pb_field *of, uint64_t names[2])
{
    wire_pb_reader r = reader_of(of);
    wire_pb_field f;
    names[0] = 0;
    names[1] = 0;
    while (next(l, &r, &f)) {
        if (f.number == PB_TYPE_NAME || f.number == PB_TYPE_UNIT) {
            names[f.number - PB_TYPE_NAME] = f.value;
        }
    }
}

// NOLINTNEXTLINE(readability-function-size): the macros of vec.h count
static void take_tables(loader *l)
{
    wire_pb_reader r = {l->bytes.data, l->bytes.data + l->bytes.size};
    wire_pb_field f;
    while (next(l, &r, &f)) {
        bool message = f.type == WIRE_PB_BYTES;
        switch (f.number) {
        case PB_PROFILE_STRING:
            if (message &&
                (l->strings.count >= PROF_ITEMS_MAX ||
                 !BRISK_VEC_PUSH(&l->strings, (prof_piece){(const char *)f.data, f.size}))) {
                l->err = BRISK_ERR_NOMEM;
            }
            break;
        case PB_PROFILE_FUNCTION:
            if (message) {
                take_function(l, &f);
            }
            break;
        case PB_PROFILE_MAPPING:
            if (message) {
                take_mapping(l, &f);
            }
            break;
        case PB_PROFILE_LOCATION:
            if (message) {
                take_location(l, &f);
            }
            break;
        default: break;
        }
    }
}

/* --- samples -------------------------------------------------------------------------------- */

static const char *text_of(const loader *l, uint32_t string)
{
    return prof_text(l->model, string);
}

static uint32_t flags_of(const loader *l, uint32_t module)
{
    const char *path = text_of(l, module);
    size_t length = strlen(path);
    if (strncmp(path, "[kernel", 7) == 0 || strncmp(path, "[guest.kernel", 13) == 0) {
        return PROF_FRAME_KERNEL;
    }
    bool jit = strncmp(path, "/tmp/perf-", 10) == 0 && length > 4 &&
               strcmp(path + length - 4, ".map") == 0;
    return jit ? PROF_FRAME_JIT : 0;
}

static uint32_t unknown_frame(loader *l, const thing *location, uint32_t module)
{
    const char *path = text_of(l, module);
    const char *slash = strrchr(path, '/');
    char name[PROF_NAME_MAX + 8];
    const char *base = slash != NULL ? slash + 1 : path;
    (void)snprintf(name, sizeof name, base[0] == '[' ? "%s" : "[%s]",
                   base[0] != '\0' ? base : "unknown");
    prof_frame frame = {.name = prof_text_of(l->model, name),
                        .module = module,
                        .flags = flags_of(l, module) | PROF_FRAME_UNKNOWN,
                        .address = location->b};
    return prof_frame_of(l->model, &frame);
}

typedef struct stack_list {
    uint32_t frames[PROF_DEPTH_MAX]; /* innermost first */
    uint32_t count;
} stack_list;

/* False: no such function. */
static bool read_source_line(loader *l, const wire_pb_field *line, uint32_t module, uint32_t *ret)
{
    wire_pb_reader r = reader_of(line);
    wire_pb_field f;
    uint64_t function = 0;
    uint64_t number = 0;
    while (next(l, &r, &f)) {
        function = f.number == PB_LINE_FUNCTION ? f.value : function;
        number = f.number == PB_LINE_LINE ? f.value : number;
    }
    const thing *found = find(&l->functions, function);
    if (found == NULL) {
        return false;
    }
    prof_frame frame = {.name = string_of(l, found->a),
                        .file = string_of(l, found->b),
                        .module = module,
                        .line = number <= UINT32_MAX ? (uint32_t)number : 0,
                        .flags = flags_of(l, module)};
    const char *name = text_of(l, frame.name);
    frame.flags |= name[0] == '[' ? PROF_FRAME_UNKNOWN : 0;
    *ret = prof_frame_of(l->model, &frame);
    return true;
}

static void keep_frame(loader *l, thing *location, uint32_t frame)
{
    if (!BRISK_VEC_PUSH(&l->frames, frame)) {
        l->err = BRISK_ERR_NOMEM;
    } else {
        location->count++;
    }
}

/* The frames of one location, innermost first. */
static void read_location(loader *l, thing *location)
{
    const thing *mapping = find(&l->mappings, location->a);
    uint32_t module = mapping != NULL ? string_of(l, mapping->a) : 0;
    wire_pb_reader r = {location->body, location->body + location->size};
    wire_pb_field f;
    uint32_t frame;
    location->first = (uint32_t)l->frames.count;
    while (location->count < PROF_DEPTH_MAX && next(l, &r, &f)) {
        if (f.number == PB_LOCATION_LINE && f.type == WIRE_PB_BYTES &&
            read_source_line(l, &f, module, &frame)) {
            keep_frame(l, location, frame);
        }
    }
    if (location->count == 0 && l->err == BRISK_OK) {
        keep_frame(l, location, unknown_frame(l, location, module));
    }
    /* All but the last of a location were inlined into it. */
    for (uint32_t i = 0; i + 1 < location->count && l->err == BRISK_OK; i++) {
        uint32_t *kept = &l->frames.items[location->first + i];
        prof_frame inlined = l->model->frames.items[*kept];
        inlined.flags |= PROF_FRAME_INLINED;
        *kept = prof_frame_of(l->model, &inlined);
    }
}

static void add_location(loader *l, uint64_t id, stack_list *to)
{
    const thing *found = find(&l->locations, id);
    if (found == NULL) {
        return;
    }
    thing *location = &l->locations.items.items[found - l->locations.items.items];
    if (location->count == 0) {
        read_location(l, location);
    }
    for (uint32_t i = 0; i < location->count && to->count < PROF_DEPTH_MAX && l->err == BRISK_OK;
         i++) {
        to->frames[to->count++] = l->frames.items[location->first + i];
    }
}

typedef struct labels {
    uint64_t pid, tid;
    uint32_t thread;
    bool has_pid, has_any;
} labels;

static void take_label(loader *l, const wire_pb_field *of, labels *to)
{
    wire_pb_reader r = reader_of(of);
    wire_pb_field f;
    uint64_t key = 0;
    uint64_t text = 0;
    uint64_t number = 0;
    while (next(l, &r, &f)) {
        key = f.number == PB_LABEL_KEY ? f.value : key;
        text = f.number == PB_LABEL_TEXT ? f.value : text;
        number = f.number == PB_LABEL_NUMBER ? f.value : number;
    }
    const char *name = text_of(l, string_of(l, key));
    if (strcmp(name, "thread") == 0) {
        to->thread = string_of(l, text);
        to->has_any = true;
    } else if (strcmp(name, "tid") == 0) {
        to->tid = number;
        to->has_any = true;
    } else if (strcmp(name, "pid") == 0) {
        to->pid = number;
        to->has_pid = true;
    }
}

/* Numbers of a field that is packed, or not. */
static bool next_number(loader *l, const wire_pb_field *f, wire_pb_reader *packed, bool *single,
                        uint64_t *ret)
{
    if (f->type != WIRE_PB_BYTES) {
        *ret = f->value;
        bool first = *single;
        *single = false;
        return first;
    }
    brisk_err err = wire_pb_next_varint(packed, ret);
    if (err == BRISK_ERR_CORRUPT) {
        (void)fail(l, packed->at, "a damaged number");
    }
    return err == BRISK_OK;
}

static void take_sample(loader *l, const wire_pb_field *of, stack_list *stack)
{
    wire_pb_reader r = reader_of(of);
    wire_pb_field f;
    uint64_t values[PROF_VALUES_MAX] = {0};
    uint32_t value_count = 0;
    labels found = {0};
    stack->count = 0;
    while (next(l, &r, &f)) {
        wire_pb_reader packed = f.type == WIRE_PB_BYTES ? reader_of(&f) : (wire_pb_reader){0};
        bool single = true;
        uint64_t number;
        if (f.number == PB_SAMPLE_LABEL && f.type == WIRE_PB_BYTES) {
            take_label(l, &f, &found);
        } else if (f.number == PB_SAMPLE_LOCATION || f.number == PB_SAMPLE_VALUE) {
            while (next_number(l, &f, &packed, &single, &number)) {
                if (f.number == PB_SAMPLE_LOCATION) {
                    add_location(l, number, stack);
                } else if (value_count < PROF_VALUES_MAX) {
                    values[value_count++] = number;
                }
            }
        }
    }
    uint32_t node = 0;
    while (stack->count > 0) {
        node = prof_stack_of(l->model, node, stack->frames[--stack->count]);
    }
    uint32_t thread = 0;
    if (found.has_any) {
        thread = prof_thread_of(l->model, found.has_pid ? (uint32_t)found.pid : PROF_PID_UNKNOWN,
                                (uint32_t)found.tid, text_of(l, found.thread));
    }
    for (uint32_t i = 0; i < l->type_count && i < value_count && l->err == BRISK_OK; i++) {
        if ((int64_t)values[i] < 0) {
            l->err = brisk_errinfo_set(l->info, BRISK_ERR_UNSUPPORTED,
                                       "%s: negative values: it is a difference, not a profile",
                                       l->bytes.name);
        } else if (values[i] > 0) {
            prof_sample_add(l->model, node, thread, l->types[i], values[i]);
        }
    }
}

/* "brisk: key=value ...", written by export_pprof.c; anything else is a note. */
static void take_comment(loader *l, uint64_t index)
{
    const char *text = text_of(l, string_of(l, index));
    static const char command[] = PROF_PPROF_MARK " command=";
    prof_meta *meta = &l->model->meta;
    if (strncmp(text, command, sizeof command - 1) == 0) {
        meta->command = prof_text_of(l->model, text + sizeof command - 1);
    } else if (strncmp(text, PROF_PPROF_MARK, sizeof PROF_PPROF_MARK - 1) == 0) {
        /* NOLINTNEXTLINE(cert-err34-c): what does not fit is cut */
        (void)sscanf(text, PROF_PPROF_MARK " cpu_ns=%" SCNu64 " lost=%" SCNu64 " samples=%" SCNu64,
                     &meta->cpu_ns, &meta->lost, &meta->samples);
    } else if (text[0] != '\0') {
        prof_note(l->model, "%s", text);
    }
}

static void take_types(loader *l)
{
    wire_pb_reader r = {l->bytes.data, l->bytes.data + l->bytes.size};
    wire_pb_field f;
    while (next(l, &r, &f)) {
        uint64_t names[2];
        if (f.number == PB_PROFILE_SAMPLE_TYPE && f.type == WIRE_PB_BYTES &&
            l->type_count < PROF_VALUES_MAX) {
            take_type(l, &f, names);
            l->types[l->type_count++] = prof_type_of(l->model, text_of(l, string_of(l, names[0])),
                                                     text_of(l, string_of(l, names[1])));
        } else if (f.number == PB_PROFILE_DEFAULT_TYPE) {
            l->default_type = f.value;
        }
    }
    uint32_t wanted = string_of(l, l->default_type);
    l->model->meta.default_type = l->model->type_count > 0 ? l->model->type_count - 1 : 0;
    for (uint32_t i = 0; i < l->model->type_count && wanted != 0; i++) {
        if (l->model->types[i].name == wanted) {
            l->model->meta.default_type = i;
        }
    }
}

static void take_samples(loader *l, stack_list *stack)
{
    wire_pb_reader r = {l->bytes.data, l->bytes.data + l->bytes.size};
    wire_pb_field f;
    prof_meta *meta = &l->model->meta;
    while (next(l, &r, &f) && prof_model_err(l->model) == BRISK_OK) {
        wire_pb_reader packed = f.type == WIRE_PB_BYTES ? reader_of(&f) : (wire_pb_reader){0};
        bool single = true;
        uint64_t number;
        switch (f.number) {
        case PB_PROFILE_SAMPLE:
            if (f.type == WIRE_PB_BYTES) {
                take_sample(l, &f, stack);
            }
            break;
        case PB_PROFILE_COMMENT:
            while (next_number(l, &f, &packed, &single, &number)) {
                take_comment(l, number);
            }
            break;
        case PB_PROFILE_TIME: meta->wall_start_ns = f.value; break;
        case PB_PROFILE_DURATION: meta->duration_ns = f.value; break;
        case PB_PROFILE_PERIOD: meta->period = f.value; break;
        default: break;
        }
    }
}

static void deinit_things(things *all, const brisk_alloc *alloc)
{
    prof_index_deinit(&all->index, alloc);
    BRISK_VEC_DEINIT(&all->items);
}

brisk_err prof_import_pprof(prof_bytes bytes, prof_model *model, brisk_errinfo *info)
{
    const brisk_alloc *alloc = model->alloc;
    loader l = {.model = model,
                .bytes = bytes,
                .info = info,
                .strings = BRISK_VEC_INIT(alloc),
                .functions = {.items = BRISK_VEC_INIT(alloc)},
                .mappings = {.items = BRISK_VEC_INIT(alloc)},
                .locations = {.items = BRISK_VEC_INIT(alloc)},
                .frames = BRISK_VEC_INIT(alloc)};
    stack_list *stack = alloc->acquire(alloc->ctx, sizeof *stack, _Alignof(stack_list));
    if (stack == NULL) {
        return BRISK_ERR_NOMEM;
    }
    take_tables(&l);
    if (l.err == BRISK_OK && (l.strings.count == 0 || l.strings.items[0].size != 0)) {
        (void)fail(&l, bytes.data, "no profile: its first string is not empty");
    }
    take_types(&l);
    if (l.err == BRISK_OK && l.type_count == 0) {
        (void)fail(&l, bytes.data, "no profile: it names no type of value");
    }
    take_samples(&l, stack);
    alloc->release(alloc->ctx, stack, sizeof *stack, _Alignof(stack_list));
    deinit_things(&l.functions, alloc);
    deinit_things(&l.mappings, alloc);
    deinit_things(&l.locations, alloc);
    BRISK_VEC_DEINIT(&l.strings);
    BRISK_VEC_DEINIT(&l.frames);
    return l.err;
}
