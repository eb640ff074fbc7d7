#include "common/config.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static void flag_of(const char *name, char out[64])
{
    size_t n = 0;
    out[n++] = '-';
    out[n++] = '-';
    for (; *name && n < 63; name++)
        out[n++] = *name == '_' ? '-' : (char)tolower((unsigned char)*name);
    out[n] = 0;
}

int config_flag(const struct config_row *rows, size_t count, const char *flag, const char *next,
                bool *took_next)
{
    char ours[64];
    size_t n = strcspn(flag, "=");
    *took_next = false;
    for (size_t i = 0; i < count; i++) {
        flag_of(rows[i].name, ours);
        if (rows[i].secret || strlen(ours) != n || strncmp(ours, flag, n) != 0)
            continue;
        *took_next = flag[n] != '=';
        const char *value = *took_next ? next : flag + n + 1;
        return value && setenv(rows[i].name, value, 1) == 0 ? 1 : -1;
    }
    return 0;
}

const char *config_standard(const struct config_row *rows, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(rows[i].name, name) == 0)
            return rows[i].standard;
    abort(); /* the caller is mistyped, which the first start shows */
}

void config_help(const struct config_row *rows, size_t n, FILE *to)
{
    for (size_t i = 0; i < n; i++) {
        const char *standard = rows[i].words ? rows[i].words : rows[i].standard;
        (void)fprintf(to, "  %-26s %s%s%s%s%s\n", rows[i].name, rows[i].help, *standard ? " (" : "", standard,
                      *standard ? ")" : "", rows[i].secret ? "; no flag: arguments are public" : "");
    }
}

const char *config_env(const char *name, const char *standard)
{
    const char *v = getenv(name);
    return v && *v ? v : standard;
}

int config_wrong(struct err *e, const char *name, const char *value, const char *allowed)
{
    char what[768], clean[201];
    size_t n = 0;
    for (const char *p = value; *p && n < sizeof clean - 1; p++)
        clean[n++] = (unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p;
    clean[n] = 0;
    (void)snprintf(what, sizeof what, "%s=%s is not allowed; use %s", name, clean, allowed);
    return err_set(e, 0, what, NULL, NULL);
}

int config_text(char *out, size_t size, const char *name, const char *value, struct err *e)
{
    return (size_t)snprintf(out, size, "%s", value) < size ? 0
                                                           : config_wrong(e, name, value, "a shorter value");
}

int config_number(const char *name, const char *standard, long min, long max, long *out, struct err *e)
{
    char *end = NULL, allowed[64];
    const char *v = config_env(name, standard);
    *out = strtol(v, &end, 10);
    (void)snprintf(allowed, sizeof allowed, "a whole number from %ld to %ld", min, max);
    if (*v < '0' || *v > '9' || *end || *out < min || *out > max)
        return config_wrong(e, name, v, allowed);
    return 0;
}

/* A whole number and one letter of `units`, which stand for `factors`; a plain number counts `plain` each. */
static bool quantity(const char *v, const char *units, const uint64_t *factors, uint64_t plain, uint64_t *out)
{
    char *end = NULL;
    if (*v < '0' || *v > '9')
        return false;
    unsigned long long n = strtoull(v, &end, 10);
    uint64_t factor = plain;
    if (*end) {
        const char *unit = strchr(units, tolower((unsigned char)*end));
        if (!unit || end[1])
            return false;
        factor = factors[unit - units];
    }
    if (n > 0 && (factor == 0 || n > UINT64_MAX / 2 / factor))
        return false;
    *out = n * factor;
    return true;
}

static void spell_seconds(unsigned s, char *out, size_t size)
{
    unsigned factor = s % 86400 == 0 ? 86400 : s % 3600 == 0 ? 3600 : s % 60 == 0 ? 60 : 1;
    (void)snprintf(out, size, "%u%c", s / factor,
                   factor == 86400  ? 'd'
                   : factor == 3600 ? 'h'
                   : factor == 60   ? 'm'
                                    : 's');
}

int config_seconds(const char *name, const char *standard, unsigned min, unsigned max, unsigned *out,
                   struct err *e)
{
    static const uint64_t factors[] = {1, 60, 3600, 86400};
    char allowed[96], least[24], most[24];
    uint64_t n = 0;
    const char *v = config_env(name, standard);
    bool good = quantity(v, "smhd", factors, 0, &n) && n <= max && n >= min;
    *out = (unsigned)n;
    if (good)
        return 0;
    spell_seconds(min, least, sizeof least);
    spell_seconds(max, most, sizeof most);
    (void)snprintf(allowed, sizeof allowed, "a time such as 90s, 15m, 24h or 7d, from %s to %s",
                   min ? least : "0", most);
    return config_wrong(e, name, v, allowed);
}

int config_bytes(const char *name, const char *standard, uint64_t *out, struct err *e)
{
    static const uint64_t factors[] = {1ULL << 10, 1ULL << 20, 1ULL << 30, 1ULL << 40};
    const char *v = config_env(name, standard);
    if (quantity(v, "kmgt", factors, 1, out))
        return 0;
    return config_wrong(e, name, v, "a size in bytes, or such as 500m, 1g or 2t");
}

int config_choice(const char *name, const char *standard, const char *const *words, unsigned *out,
                  struct err *e)
{
    char allowed[256] = "";
    const char *v = config_env(name, standard);
    for (*out = 0; words[*out]; (*out)++) {
        if (strcmp(v, words[*out]) == 0)
            return 0;
        size_t n = strlen(allowed);
        (void)snprintf(allowed + n, sizeof allowed - n, "%s%s",
                       !*out             ? ""
                       : words[*out + 1] ? ", "
                                         : " or ",
                       words[*out]);
    }
    return config_wrong(e, name, v, allowed);
}

static void clean_path(char *path)
{
    char *to = path;
    for (const char *p = path; *p;) {
        if (*p == '/' && (p[1] == '/' || (p[1] == '.' && (p[2] == '/' || !p[2])))) {
            p += p[1] == '/' ? 1 : 2;
            if (!*p && to == path)
                *to++ = '/';
        } else {
            *to++ = *p++;
        }
    }
    while (to > path + 1 && to[-1] == '/')
        to--;
    *to = 0;
}

int config_path(char *out, size_t size, const char *name, const char *value, struct err *e)
{
    if (config_text(out, size, name, value, e) != 0)
        return -1;
    if (*out && *out != '/')
        return config_wrong(e, name, out, "an absolute path");
    clean_path(out);
    return 0;
}

int config_word(const char *name, const char *v, struct err *e)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    if (strlen(v) > 64 || v[0] == '.' || v[0] == '-' || strspn(v, letters) != strlen(v))
        return config_wrong(e, name, v, "up to 64 letters, digits, '.', '_' and '-', not '.' or '-' first");
    return 0;
}

int config_bucket(char *out, size_t size, const char *name, const char *value, struct err *e)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789.-";
    size_t n = strlen(value);
    if (n > 0 && (n < 3 || n > 63 || n >= size || strspn(value, letters) != n))
        return config_wrong(e, name, value, "a bucket's name: 3 to 63 small letters, digits, '.' and '-'");
    return config_text(out, size, name, value, e);
}
