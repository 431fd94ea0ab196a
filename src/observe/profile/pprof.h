/*
 * pprof.h -- field numbers of pprof's messages, which writer and reader share.
 *
 * What pprof has no field for stands in comments that begin with PROF_PPROF_MARK: so a profile that
 * was saved is the profile that was made.  Source: google/pprof, proto/profile.proto.
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_PPROF_H
#define BRISK_SRC_OBSERVE_PROFILE_PPROF_H

#define PROF_PPROF_MARK "brisk:"

enum {
    PB_PROFILE_SAMPLE_TYPE = 1,
    PB_PROFILE_SAMPLE = 2,
    PB_PROFILE_MAPPING = 3,
    PB_PROFILE_LOCATION = 4,
    PB_PROFILE_FUNCTION = 5,
    PB_PROFILE_STRING = 6,
    PB_PROFILE_TIME = 9,
    PB_PROFILE_DURATION = 10,
    PB_PROFILE_PERIOD_TYPE = 11,
    PB_PROFILE_PERIOD = 12,
    PB_PROFILE_COMMENT = 13,
    PB_PROFILE_DEFAULT_TYPE = 14,

    PB_TYPE_NAME = 1,
    PB_TYPE_UNIT = 2,

    PB_SAMPLE_LOCATION = 1,
    PB_SAMPLE_VALUE = 2,
    PB_SAMPLE_LABEL = 3,

    PB_LABEL_KEY = 1,
    PB_LABEL_TEXT = 2,
    PB_LABEL_NUMBER = 3,

    PB_MAPPING_ID = 1,
    PB_MAPPING_START = 2,
    PB_MAPPING_LIMIT = 3,
    PB_MAPPING_FILE = 5,
    PB_MAPPING_HAS_FUNCTIONS = 7,

    PB_LOCATION_ID = 1,
    PB_LOCATION_MAPPING = 2,
    PB_LOCATION_ADDRESS = 3,
    PB_LOCATION_LINE = 4,

    PB_LINE_FUNCTION = 1,
    PB_LINE_LINE = 2,

    PB_FUNCTION_ID = 1,
    PB_FUNCTION_NAME = 2,
    PB_FUNCTION_SYSTEM_NAME = 3,
    PB_FUNCTION_FILE = 4,
};

#endif /* BRISK_SRC_OBSERVE_PROFILE_PPROF_H */
