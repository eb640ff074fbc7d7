/* Pins and notes: what a person says of one backup, each a small JSON file beside it. {stem}.pin: retention
 * does not let it go, nor what it is made of. {stem}.note: a text. Neither ends in ".json", which programs
 * from before there were pins would take for the manifest of another backup. A pin that cannot be made out is
 * one all the same: better one backup too many. Every call may hang with EFS. */
#ifndef EFS_REPO_PIN_H
#define EFS_REPO_PIN_H
#include "efs/repo/backup.h"

enum { PIN_FORMAT = 1, NOTE_MAX = 400, PIN_FILE_MAX = 4096, PIN_BY = 128 };
#define PIN_SUFFIX ".pin"
#define NOTE_SUFFIX ".note"
struct pin {
    char note[NOTE_MAX + 1]; /* empty: none, or it cannot be read */
    char by[PIN_BY];         /* who pinned it; empty: not known */
    time_t at;               /* when; 0: not known */
};
/* What the files of an entry say, as its listing has found them. */
void pin_read(const struct backup *b, struct pin *out);
/* Can that be a note? UTF-8 on one line, at most NOTE_MAX bytes, and not empty. */
bool pin_note_fits(const char *text);
/* Durable when it returns. PIN_GONE: the backup was deleted meanwhile, and nothing is left of the pin. */
enum pin_outcome { PIN_DONE, PIN_GONE, PIN_FAILED };
enum pin_outcome pin_put(const struct backup *b, struct err *e);
/* `text` empty: the note is gone when it returns. */
enum pin_outcome pin_put_note(const struct backup *b, const char *text, struct err *e);
/* The pin is gone when it returns; none there is no error. */
int pin_remove(const struct backup *b, struct err *e);
/* Is it pinned now, whatever its listing said? Whoever deletes it asks again. */
bool pin_there(const struct backup *b);
/* Is that the name of a pin or a note, and of which stem? `n`: the stem's length. */
bool pin_is_name(const char *name, size_t *n, bool *pin);
#endif
