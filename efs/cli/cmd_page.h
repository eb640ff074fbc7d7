/* Writing a JSON object member by member: whether memory was enough is asked once, at the end. */
#ifndef EFS_CLI_CMD_PAGE_H
#define EFS_CLI_CMD_PAGE_H
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <time.h>

struct page {
    time_t now; /* ages count from it */
    bool ok;
};
void page_text(struct page *p, cJSON *o, const char *key, const char *value);
void page_number(struct page *p, cJSON *o, const char *key, double value);
void page_flag(struct page *p, cJSON *o, const char *key, bool value);
void page_null(struct page *p, cJSON *o, const char *key);
/* A time and its age (`age` NULL: not that), null for 0. */
void page_time(struct page *p, cJSON *o, const char *key, const char *age, time_t t);
cJSON *page_object(struct page *p, cJSON *o, const char *key);
cJSON *page_array(struct page *p, cJSON *o, const char *key);
/* A new object at the end of a list. */
cJSON *page_element(struct page *p, cJSON *list);
/* Print `o` and free it. An exit code. */
int page_print(struct page *p, cJSON *o);
#endif
