#include "qdrant/denial.h"
#include <stddef.h>
#include <string.h>

enum denial denial_of(long status, const char *said)
{
    static const struct {
        const char *part;
        enum denial is;
    } known[] = {
        {"Storage locked", DENIAL_LOCKED},
        {" Help: ", DENIAL_STRICT}, /* what every refusal of strict mode ends with */
        {"access is required", DENIAL_RIGHTS},
        {"ccess to collection", DENIAL_RIGHTS},
        {"access for this operation is required", DENIAL_RIGHTS},
        {"access is allowed", DENIAL_RIGHTS},
    };
    if (status == 401)
        return DENIAL_KEY;
    if (status != 403)
        return DENIAL_NONE;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strstr(said, known[i].part))
            return known[i].is;
    return DENIAL_KEY;
}

const char *denial_advice(enum denial d)
{
    switch (d) {
    case DENIAL_KEY: return "check the API key (AK_ARN, QDRANT_API_KEY_FILE or QDRANT_API_KEY)";
    case DENIAL_RIGHTS:
        return "this API key may only read, or not all: use Qdrant's api_key itself, not its "
               "read_only_api_key "
               "(AK_ARN, QDRANT_API_KEY_FILE or QDRANT_API_KEY)";
    case DENIAL_STRICT:
        return "the key is good: the collection's strict mode forbids it (strict_mode_config)";
    case DENIAL_LOCKED: return "the key is good: writing to Qdrant is locked";
    default: return NULL;
    }
}
