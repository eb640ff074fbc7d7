/* Small files on EFS that are obeyed, tombstones and records of restores, with the signature beside each as a
 * manifest has it: {file}.sig. One without a good signature is not obeyed where signatures are required, and
 * one with a bad signature nowhere that has keys. */
#ifndef EFS_REPO_SIGNED_H
#define EFS_REPO_SIGNED_H
#include "common/base/err.h"
#include "efs/repo/signature.h"

/* Set once, before there are threads; the keys stay the caller's. `own` NULL: nothing is signed. `others`
 * NULL: nothing is checked. */
void signed_keys(const struct signing_key *own, const struct verify_keys *others, bool required);
/* Before the file itself. Without a key one that is there is deleted: it would be of another text. One whose
 * name has no room for the suffix goes without. */
int signed_put(const char *dir, const char *name, const char *text, struct err *e);
/* None there is no error. */
int signed_remove(const char *dir, const char *name, struct err *e);
/* May what was read from there be obeyed? False with the reason, also when that cannot be found out. */
bool signed_obeyed(const char *path, const char *text, struct err *why);
#endif
