/* A manifest is whatever stands on EFS. What is taken for one must print to one that reads the same. */
#include "efs/repo/manifest.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manifest m, again;
    struct err e = {0};
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    if (manifest_parse(text, "x", &m, &e) == 0) {
        assert(m.data[0] && !strchr(m.data, '/') && m.data[0] != '.');
        char *json = manifest_print(&m, NULL);
        assert(json && manifest_parse(json, "x", &again, &e) == 0);
        assert(m.slot == again.slot && m.content.size == again.content.size &&
               strcmp(m.data, again.data) == 0);
        assert(strcmp(m.source.collection, again.source.collection) == 0 && m.points == again.points);
        free(json);
    } else {
        assert(e.text[0]);
    }
    free(text);
    return 0;
}
