/*
 * codec_dict.h -- what codec.c needs of a dictionary: its digests.
 */
#ifndef BRISK_SRC_WIRE_CODEC_DICT_H
#define BRISK_SRC_WIRE_CODEC_DICT_H

#ifndef ZSTD_STATIC_LINKING_ONLY
#    define ZSTD_STATIC_LINKING_ONLY
#endif
#include <zstd.h>

#include "wire/codec.h"

/* Bytes that a context needs for any dictionary. */
size_t codec_dict_workspace(void);
const ZSTD_CDict *codec_dict_squeezer(const codec_dict *dict);
const ZSTD_DDict *codec_dict_expander(const codec_dict *dict);

#endif /* BRISK_SRC_WIRE_CODEC_DICT_H */
