/*
 * test_policy.c -- what every policy owes its tier, whatever happens in whatever order.
 */
#include "cache/policy_auto.h"
#include "cache/policy_test.h"

static const char *const names[] = {"lru",    "lfu",      "fifo", "ttl",  "sieve",
                                    "s3fifo", "wtinylfu", "arc",  "lirs", "auto"};
enum { NAMES = sizeof names / sizeof names[0] };

static uint32_t some_live(const policy_stage *stage, uint64_t *random)
{
    uint32_t id = (uint32_t)(check_random(random) % stage->id_count);
    while (!stage->live[id]) {
        id = (id + 1) % stage->id_count;
    }
    return id;
}

static uint32_t some_dead(const policy_stage *stage, uint64_t *random)
{
    uint32_t id = (uint32_t)(check_random(random) % stage->id_count);
    while (stage->live[id]) {
        id = (id + 1) % stage->id_count;
    }
    return id;
}

static void step(policy_stage *stage, uint64_t *random)
{
    uint64_t dice = check_random(random) % 100;
    if (dice < 80) {
        uint64_t r = check_random(random);
        uint64_t range = r % 3 == 0 ? 8 : r % 3 == 1 ? 40 : 400;
        (void)stage_ask(stage, (uint32_t)(check_random(random) % range * 2654435761U));
    } else if (dice < 85 && stage->entries != 0) {
        stage_remove(stage, some_live(stage, random));
    } else if (dice < 92 && stage->entries != 0) {
        stage_move(stage, some_live(stage, random), some_dead(stage, random));
    } else if (dice < 94 && stage->entries != 0) {
        (void)stage_evict(stage); /* for want of bytes, without a newcomer */
    } else if (dice < 96) {
        stage->capacity = 1 + (uint32_t)(check_random(random) % (stage->id_count - 1));
        stage->ops->set_capacity(stage->policy, stage->capacity);
    } else if (dice < 98) {
        policy_hit hits[3]; /* late hits, also of what is no entry any more */
        for (int i = 0; i < 3; i++) {
            uint32_t id = (uint32_t)(check_random(random) % stage->id_count);
            hits[i] = (policy_hit){.id = id, .hash = stage->hashes[id]};
        }
        stage->ops->on_hits(stage->policy, hits, 3);
    } else if (stage->ops->on_expiry != NULL && stage->entries != 0) {
        uint32_t expires = (uint32_t)(check_random(random) % 5);
        stage->ops->on_expiry(stage->policy, some_live(stage, random), expires);
    }
}

static void test_any_order_of_calls(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    for (uint32_t i = 0; i < NAMES; i++) {
        for (uint32_t id_count = 2; id_count <= 64; id_count = id_count * 2 + 1) {
            policy_stage stage;
            stage_init(&stage, policy_find(names[i]), id_count, id_count - 1);
            for (int round = 0; round < 4000; round++) {
                step(&stage, &random);
                stage_check(&stage);
            }
            while (stage.entries != 0) {
                (void)stage_evict(&stage);
            }
            stage_check(&stage);
            stage_deinit(&stage);
        }
    }
}

/* Handing every entry of one policy over to another one keeps them all. */
typedef struct handover {
    policy_stage *from;
    policy_stage *to;
} handover;

static void hand_over(void *ctx, uint32_t id)
{
    handover *h = ctx;
    stage_insert(h->to, h->from->hashes[id], 0);
}

static void test_each_hands_over(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    for (uint32_t i = 0; i < NAMES * NAMES; i++) {
        policy_stage from;
        policy_stage to;
        stage_init(&from, policy_find(names[i / NAMES]), 40, 32);
        stage_init(&to, policy_find(names[i % NAMES]), 40, 32);
        for (int round = 0; round < 500; round++) {
            (void)stage_ask(&from, (uint32_t)(check_random(&random) % 60));
        }
        from.ops->each(from.policy, hand_over, &(handover){.from = &from, .to = &to});
        assert_int_equal(to.entries, from.entries);
        stage_check(&to);
        stage_deinit(&from);
        stage_deinit(&to);
    }
}

/* While auto hands a large cache over nothing is lost, whatever else happens meanwhile. */
static void test_auto_hands_over(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    policy_stage stage;
    stage_init(&stage, &policy_auto, 300, 200);
    uint32_t seen[ONE_FILLS + 1] = {0};
    for (uint32_t round = 0; round < 18000; round++) {
        if (round % 200 == 199 && stage.policy->stage == ONE_WORKS) {
            stage.policy->next = round / 200 % PANEL_SIZE;
            stage.policy->stage = ONE_DRAINS;
        }
        uint32_t key = (uint32_t)(check_random(&random) % (round % 400 + 100));
        (void)stage_ask(&stage, key * UINT32_C(2654435761));
        uint32_t capacity = stage.capacity;
        if (round % 4 == 0) {
            step(&stage, &random);
        }
        if (stage.capacity != capacity) { /* small ones are voted on */
            stage.capacity = 180 + stage.capacity % 40;
            stage.ops->set_capacity(stage.policy, stage.capacity);
        }
        while (stage.entries > stage.capacity) {
            (void)stage_evict(&stage);
        }
        stage_check(&stage);
        seen[stage.policy->stage]++;
    }
    CHECK(seen[ONE_DRAINS] != 0 && seen[ONE_CLEARS] != 0 && seen[ONE_FILLS] != 0);
    while (stage.entries != 0) {
        (void)stage_evict(&stage);
        stage_check(&stage);
    }
    stage_deinit(&stage);
}

/* A large cache that is asked for a loop is handed over to a policy that hits in it. */
static void test_auto_leaves_what_fails(void **state)
{
    (void)state;
    policy_stage stage;
    stage_init(&stage, &policy_auto, 300, 200);
    CHECK(!stage.policy->votes);
    uint32_t hits = 0;
    for (uint32_t round = 0; round < 100000; round++) {
        bool hit = stage_ask(&stage, round % 260 * UINT32_C(2654435761));
        hits += hit && round >= 80000;
    }
    CHECK(strcmp(stage.ops->at_work(stage.policy), "s3fifo") != 0);
    CHECK_U64(hits, >, 10000); /* LIRS: three quarters */
    stage_check(&stage);
    stage_deinit(&stage);
}

static void test_unknown_names(void **state)
{
    (void)state;
    CHECK(policy_find("") == NULL);
    CHECK(policy_find("mru") == NULL);
    for (uint32_t i = 0; i < NAMES; i++) {
        CHECK(strcmp(policy_find(names[i])->name, names[i]) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_order_of_calls), cmocka_unit_test(test_each_hands_over),
        cmocka_unit_test(test_auto_hands_over),    cmocka_unit_test(test_auto_leaves_what_fails),
        cmocka_unit_test(test_unknown_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
