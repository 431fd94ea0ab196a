/*
 * vec.h -- a typed growable array over brisk_alloc.
 *
 *     BRISK_VEC(uint32_t) lines = BRISK_VEC_INIT(alloc);
 *     if (!BRISK_VEC_PUSH(&lines, 7)) { ... out of memory, the array is as before ... }
 *     for (size_t i = 0; i < lines.count; i++) { use(lines.items[i]); }
 *     BRISK_VEC_DEINIT(&lines);
 *
 * Capacity doubles, so pushing is O(1) amortised and at most half of the memory is unused.
 * Pointers into `items` die with the next push.  The macros only add the types: the work is done
 * by brisk_vec_grow_raw on raw bytes.
 */
#ifndef BRISK_SRC_BASE_VEC_H
#define BRISK_SRC_BASE_VEC_H

#include <stdbool.h>
#include <stddef.h>

#include <brisk/alloc.h>

/* What every vector looks like to brisk_vec_grow_raw; `items` alone has another type. */
#define BRISK_VEC(type)                                                                            \
    struct {                                                                                       \
        type *items;                                                                               \
        size_t count;                                                                              \
        size_t capacity;                                                                           \
        const brisk_alloc *alloc;                                                                  \
    }

#define BRISK_VEC_INIT(allocator)                                                                  \
    {                                                                                              \
        .alloc = (allocator)                                                                       \
    }

typedef struct brisk_vec_layout {
    size_t item_bytes;
    size_t align;
} brisk_vec_layout;

/* A block for at least `wanted` items with the old ones in it, or NULL; the old block is freed. */
void *brisk_vec_grow_raw(const brisk_alloc *alloc, void *items, size_t *capacity, size_t wanted,
                         brisk_vec_layout layout);

/* Room for `wanted` items in all; false when memory is exhausted. */
#define BRISK_VEC_RESERVE(vec, wanted)                                                             \
    __extension__({                                                                                \
        __typeof__(vec) vec_ = (vec);                                                              \
        size_t wanted_ = (wanted);                                                                 \
        bool enough_ = wanted_ <= vec_->capacity;                                                  \
        if (!enough_) {                                                                            \
            void *grown_ = brisk_vec_grow_raw(                                                     \
                vec_->alloc, vec_->items, &vec_->capacity, wanted_,                                \
                (brisk_vec_layout){sizeof *vec_->items, _Alignof(__typeof__(*vec_->items))});      \
            if (grown_ != NULL) {                                                                  \
                vec_->items = grown_;                                                              \
                enough_ = true;                                                                    \
            }                                                                                      \
        }                                                                                          \
        enough_;                                                                                   \
    })

/* Append one item; false when memory is exhausted. */
#define BRISK_VEC_PUSH(vec, ...)                                                                   \
    __extension__({                                                                                \
        __typeof__(vec) push_ = (vec);                                                             \
        bool fits_ = BRISK_VEC_RESERVE(push_, push_->count + 1);                                   \
        if (fits_) {                                                                               \
            push_->items[push_->count++] = (__VA_ARGS__);                                          \
        }                                                                                          \
        fits_;                                                                                     \
    })

/* Free the array and leave it empty and usable. */
#define BRISK_VEC_DEINIT(vec)                                                                      \
    do {                                                                                           \
        __typeof__(vec) gone_ = (vec);                                                             \
        if (gone_->items != NULL) {                                                                \
            gone_->alloc->release(gone_->alloc->ctx, gone_->items,                                 \
                                  gone_->capacity * sizeof *gone_->items,                          \
                                  _Alignof(__typeof__(*gone_->items)));                            \
        }                                                                                          \
        gone_->items = NULL;                                                                       \
        gone_->count = 0;                                                                          \
        gone_->capacity = 0;                                                                       \
    } while (0)

#endif /* BRISK_SRC_BASE_VEC_H */
