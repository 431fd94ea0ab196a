/*
 * client_hiredis.c -- hiredis against the server at the port that is given.
 */
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

static void expect(redisReply *reply, int type, const char *text, long long number)
{
    bool good = reply != NULL && reply->type == type;
    if (good && text != NULL) {
        good = reply->str != NULL && strcmp(reply->str, text) == 0;
    } else if (good && type == REDIS_REPLY_INTEGER) {
        good = reply->integer == number;
    }
    if (!good) {
        (void)fprintf(stderr, "hiredis: type %d instead of %d, '%s'\n",
                      reply != NULL ? reply->type : -1, type,
                      reply != NULL && reply->str != NULL ? reply->str : "");
        failures++;
    }
    freeReplyObject(reply);
}

int main(int argc, char **argv)
{
    redisContext *c = redisConnect("127.0.0.1", argc > 1 ? (int)strtol(argv[1], NULL, 10) : 6380);
    if (c == NULL || c->err != 0) {
        return 1;
    }
    expect(redisCommand(c, "PING"), REDIS_REPLY_STATUS, "PONG", 0);
    expect(redisCommand(c, "SET %s %b", "hi:key", "a\0b", (size_t)3), REDIS_REPLY_STATUS, "OK", 0);
    expect(redisCommand(c, "STRLEN hi:key"), REDIS_REPLY_INTEGER, NULL, 3);
    expect(redisCommand(c, "GET hi:none"), REDIS_REPLY_NIL, NULL, 0);
    for (int i = 0; i < 1000; i++) {
        (void)redisAppendCommand(c, "INCR hi:n");
    }
    for (int i = 0; i < 1000; i++) {
        void *reply = NULL;
        (void)redisGetReply(c, &reply);
        expect(reply, REDIS_REPLY_INTEGER, NULL, i + 1);
    }
    expect(redisCommand(c, "LPUSH l 1"), REDIS_REPLY_ERROR, NULL, 0);
    expect(redisCommand(c, "MGET hi:n hi:none"), REDIS_REPLY_ARRAY, NULL, 0);
    redisFree(c);
    return failures == 0 ? 0 : 1;
}
