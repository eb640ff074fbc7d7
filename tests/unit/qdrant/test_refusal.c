/* What a Qdrant means that does not take a snapshot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "qdrant/refusal.h"

static void only_what_is_about_the_snapshot_itself_is_a_reason_for_another_one(void **st)
{
    static const struct {
        long status;
        const char *said;
        enum refusal want;
    } t[] = {
        {500, "Service internal error: File IO error: Malformed tar archive, reached unknown entry",
         REFUSAL_CONTENT},
        {500, "Service internal error: Can't read shard config at ./storage/tmp/col-c-recovery-x/0",
         REFUSAL_CONTENT},
        {500,
         "Service internal error: failed to unpack `config.json`: No such file or directory (os error 2)",
         REFUSAL_CONTENT},
        {500, "Service internal error: json (de)serialization error: expected value at line 1",
         REFUSAL_CONTENT},
        {400, "Wrong input: Snapshot is not compatible with existing collection: Collection vectors: …",
         REFUSAL_CONTENT},
        {400, "Wrong input: Vector dimension error: expected dim: 4, got 5", REFUSAL_CONTENT},
        {500, "Service internal error: No space left on device (os error 28)", REFUSAL_PLACE},
        {500, "Service internal error: Disk quota exceeded (os error 122)", REFUSAL_PLACE},
        {500, "WAL buffer size exceeds available disk space", REFUSAL_PLACE},
        {500, "Service internal error: Permission denied (os error 13)", REFUSAL_PLACE},
        {500, "Service internal error: Too many open files (os error 24)", REFUSAL_PLACE},
        {500, "Service internal error: Read-only file system (os error 30)", REFUSAL_PLACE},
        {500, "Service internal error: Input/output error (os error 5)", REFUSAL_PLACE},
        {500, "Service internal error: unexpected end of file (os error 25)", REFUSAL_CONTENT},
        {500, "Service internal error: Can't restore snapshot in local mode with missing data at shard",
         REFUSAL_PLACE},
        {500, "Service internal error: Error in Raft consensus: proposal dropped", REFUSAL_PLACE},
        {500, "Service internal error: Tonic transport error: connection refused", REFUSAL_PLACE},
        {400, "Bad request: Distributed mode disabled", REFUSAL_PLACE},
        {400, "Checksum mismatch: expected a, actual b", REFUSAL_PLACE},
        {400, "Wrong input: Snapshot checksum mismatch: expected a, got b", REFUSAL_PLACE},
        {400, "Bad request: Can't create collection with name c. Max collections limit reached: 3",
         REFUSAL_PLACE},
        {400, "Wrong input: Can't create collection with name c. Alias with the same name already exists",
         REFUSAL_PLACE},
        {401, "Must provide an API key", REFUSAL_PLACE},
        {403, "Forbidden: Global manage access is required", REFUSAL_PLACE},
        {404, "Not found: Collection `c` doesn't exist!", REFUSAL_PLACE},
        {408, "Timeout error: Operation timed out", REFUSAL_PLACE},
        {409, "Wrong input: Collection `c` already exists!", REFUSAL_PLACE},
        {413, "Payload too large", REFUSAL_PLACE},
        {422, "Validation error in query parameters", REFUSAL_PLACE},
        {429, "Rate limiting exceeded", REFUSAL_PLACE},
        {502, "Bad gateway", REFUSAL_PLACE},
        {503, "Service Unavailable", REFUSAL_PLACE},
        {307, "", REFUSAL_PLACE},
        {500, "", REFUSAL_CONTENT},
    };
    (void)st;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++)
        if (refusal_of(t[i].status, t[i].said) != t[i].want)
            fail_msg("%ld %s", t[i].status, t[i].said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_about_the_snapshot_itself_is_a_reason_for_another_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
