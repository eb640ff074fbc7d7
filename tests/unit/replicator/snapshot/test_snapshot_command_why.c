/* Why a snapshot made by hand is not on EFS: what the status document says of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <cjson/cJSON.h>
#include <string.h>
#include "replicator/snapshot/snapshot_command_why.h"

#define LINE(time, event, collection)                                                                        \
    "{\"time\":\"" time "\",\"event\":\"" event "\",\"collection\":\"" collection "\",\"message\":\"" event  \
    " of " collection "\"}"
#define DOCUMENT(efs, errors) "{\"efs\":{\"base\":\"/efs/t-c\"" efs "},\"errors\":[" errors "]}"
#define BUSY(what, silent) ",\"busy\":[{\"what\":\"" what "\",\"silent_seconds\":" silent "}]"
#define NOW "2026-11-24T08:00:00.500Z"
#define BEFORE "2026-11-24T07:59:59.900Z"

static const struct {
    const char *document;
    enum why is;
    const char *says;
} table[] = {
    {"{}", WHY_UNKNOWN, ""},
    {DOCUMENT(",\"usable\":true", ""), WHY_UNKNOWN, ""},
    {DOCUMENT(",\"usable\":null", ""), WHY_UNKNOWN, ""},
    {DOCUMENT(",\"usable\":false,\"why\":\"no mount\"", ""), WHY_TROUBLE, "no mount"},
    {DOCUMENT(",\"hangs\":true" BUSY("publish c/x", "300"), ""), WHY_TROUBLE, "EFS hangs"},
    {DOCUMENT(BUSY("publish c/x", "0"), ""), WHY_PROGRESS, ""},
    {DOCUMENT(BUSY("publish c/x", "120"), ""), WHY_UNKNOWN, ""},
    {DOCUMENT(BUSY("prune c", "0"), ""), WHY_UNKNOWN, ""},
    {DOCUMENT("", LINE(NOW, "publish_failed", "c")), WHY_TROUBLE, "publish_failed of c"},
    {DOCUMENT("", LINE(NOW, "upload_waits", "c")), WHY_TROUBLE, "upload_waits of c"},
    {DOCUMENT("", LINE(NOW, "efs_unusable", "")), WHY_TROUBLE, "efs_unusable"},
    {DOCUMENT("", LINE(NOW, "scan_failed", "")), WHY_TROUBLE, "scan_failed"},
    {DOCUMENT("", LINE(NOW, "publish_failed", "other")), WHY_UNKNOWN, ""},
    {DOCUMENT("", LINE(BEFORE, "publish_failed", "c")), WHY_UNKNOWN, ""},
    {DOCUMENT("", LINE(BEFORE, "mismatch", "c")), WHY_UNKNOWN, ""},
    {DOCUMENT("", LINE(NOW, "snapshot_failed", "c")), WHY_UNKNOWN, ""},
    {DOCUMENT("", LINE(NOW, "mismatch", "c")), WHY_NEVER, "mismatch of c"},
    {DOCUMENT("", LINE(NOW, "conflict", "c")), WHY_NEVER, "conflict of c"},
    {DOCUMENT("", LINE(NOW, "upload_refused", "c")), WHY_NEVER, "upload_refused of c"},
    {DOCUMENT("", LINE(NOW, "replica_not_active", "c")), WHY_NEVER, "replica_not_active of c"},
    {DOCUMENT("", LINE(NOW, "publish_failed", "c") "," LINE(NOW, "mismatch", "c")), WHY_NEVER,
     "mismatch of c"},
    {DOCUMENT(BUSY("publish c/x", "0"), LINE(NOW, "publish_failed", "c")), WHY_PROGRESS, ""},
    {DOCUMENT(BUSY("publish c/x", "0"), LINE(NOW, "mismatch", "c")), WHY_NEVER, "mismatch of c"},
    {"{\"efs\":{\"base\":\"/other/t-c\"}}", WHY_NEVER, "/other/t-c"},
};

static void the_document_tells_why_or_that_it_does_not(void **st)
{
    struct why_question q = {"/efs/t-c", "c", 1795507200 /* 2026-11-24T08:00:00Z */};
    (void)st;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char text[900];
        cJSON *document = cJSON_Parse(table[i].document);
        assert_non_null(document);
        assert_int_equal(snapshot_command_why(document, &q, text, sizeof text), table[i].is);
        assert_non_null(strstr(text, table[i].says));
        assert_int_equal(text[0] == 0, table[i].says[0] == 0);
        cJSON_Delete(document);
    }
}

static void without_a_document_nothing_is_known(void **st)
{
    struct why_question q = {"/efs/t-c", "c", 0};
    char text[10];
    (void)st;
    assert_int_equal(snapshot_command_why(NULL, &q, text, sizeof text), WHY_UNKNOWN);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_document_tells_why_or_that_it_does_not),
        cmocka_unit_test(without_a_document_nothing_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
