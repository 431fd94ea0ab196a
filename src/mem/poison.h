/*
 * poison.h -- tells AddressSanitizer which bytes of a block nobody owns.
 *
 * An arena or pool hides its free bytes from ASan inside one large block, so that a write beyond
 * an allocation would go unseen.  Poisoning what is not handed out makes such a write an error;
 * MEM_REDZONE_BYTES of it stand behind every allocation.  Nothing in other builds.
 */
#ifndef BRISK_SRC_MEM_POISON_H
#define BRISK_SRC_MEM_POISON_H

#if defined(__has_feature)
#    if __has_feature(address_sanitizer)
#        define MEM_ASAN 1
#    endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(MEM_ASAN)
#    define MEM_ASAN 1
#endif

#ifdef MEM_ASAN
#    include <sanitizer/asan_interface.h>
enum { MEM_REDZONE_BYTES = 16 };
#    define MEM_POISON(ptr, size)   __asan_poison_memory_region((ptr), (size))
#    define MEM_UNPOISON(ptr, size) __asan_unpoison_memory_region((ptr), (size))
#    define MEM_IS_POISONED(ptr)    (__asan_address_is_poisoned((ptr)) != 0)
#else
enum { MEM_REDZONE_BYTES = 0 };
#    define MEM_POISON(ptr, size)   ((void)(ptr), (void)(size))
#    define MEM_UNPOISON(ptr, size) ((void)(ptr), (void)(size))
#    define MEM_IS_POISONED(ptr)    ((void)(ptr), 0)
#endif

#endif /* BRISK_SRC_MEM_POISON_H */
