#include "efs/repo/readme.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include <limits.h>
#include <string.h>

static const char name[] = "README.txt";
static const char text[] =
    "Backups of Qdrant, written by qdrant-replicator.\n"
    "\n"
    "  FREQUENCY/COLLECTION/NAME.snapshot.zst     a snapshot: zstd -d gives it back as Qdrant made it\n"
    "  FREQUENCY/COLLECTION/NAME.snapshot         the same, not compressed\n"
    "  FREQUENCY/COLLECTION/NAME.snapshot.delta   what of a snapshot differs from other backups\n"
    "  ....sha256                                 for sha256sum -c, in that folder\n"
    "  ....json                                   the manifest. A backup without it is not finished.\n"
    "  ....pin, ....note                          it is kept for ever; what somebody wrote of it\n"
    "  index/COLLECTION/index.tsv                 a row for each of them, for cut, awk and spreadsheets. It "
    "may be\n"
    "                                             two hours late: the manifests are right where they differ\n"
    "\n"
    "FREQUENCY is 15min, hourly, daily or monthly. %XX in a name is the byte with that code.\n"
    "\n"
    "With our program, any of them:\n"
    "\n"
    "  qdrant-efs restore --root DIR --snapshot NAME --to FILE.snapshot     DIR: the folder above this one\n"
    "\n"
    "With plain tools, a delta: its manifest says under \"bases\" what it is made of, the whole first. "
    "Begin\n"
    "with the whole, and apply the others in that order, the delta itself last, each with the \"offset\" "
    "and\n"
    "the \"size\" of its \"recipe\" (for a base these are in the same list). A base lies in the folder of "
    "its\n"
    "\"frequency\", below that in one of the delta's folder's name. Each step writes a whole snapshot: do it "
    "where\n"
    "there is room, and not here:\n"
    "\n"
    "  zstd -dc WHOLE.snapshot.zst >s0\n"
    "  sh undelta.sh s0 NEXT.snapshot.delta OFFSET SIZE >s1\n"
    "  sh undelta.sh s1 THIS.snapshot.delta OFFSET SIZE >s2\n"
    "  sha256sum s2                               has to be \"sha256\" of the delta's manifest\n"
    "\n"
    "undelta.sh, which needs coreutils and zstd alone:\n"
    "\n"
    "  #!/bin/sh\n"
    "  # undelta.sh BASE DELTA OFFSET SIZE >SNAPSHOT\n"
    "  part() { tail -c +$(($2 + 1)) \"$1\" | head -c \"$3\"; }\n"
    "  part \"$2\" \"$3\" \"$4\" | {\n"
    "    while read -r how from length at size rest; do\n"
    "      case $how in\n"
    "      =) part \"$1\" \"$from\" \"$length\" ;;\n"
    "      +) part \"$2\" \"$at\" \"$size\" | zstd -dcq ;;\n"
    "      '~') part \"$1\" \"$from\" \"$length\" >prefix.$$ &&\n"
    "        part \"$2\" \"$at\" \"$size\" | zstd -dcq --patch-from=prefix.$$ ;;\n"
    "      *) false ;;\n"
    "      esac || exit 1\n"
    "      any=yes\n"
    "    done\n"
    "    test \"$any\" && test -z \"$how\"\n"
    "  } || { echo \"undelta.sh: not a delta, or not its OFFSET and SIZE: $2\" >&2; rm -f prefix.$$; exit 1; "
    "}\n"
    "  rm -f prefix.$$\n"
    "\n"
    "A running Qdrant takes a snapshot so:\n"
    "\n"
    "  curl -H 'api-key: KEY' -F snapshot=@FILE.snapshot \\\n"
    "    'http://localhost:6333/collections/COLLECTION/snapshots/upload?priority=snapshot'\n";

int readme_put(const char *base, struct err *e)
{
    char path[PATH_MAX];
    struct err ignored;
    if (files_join(path, sizeof path, base, name, e) != 0)
        return -1;
    cleanup_free char *there = files_get(path, sizeof text * 2, &ignored);
    return there && strcmp(there, text) == 0 ? 0 : files_put(base, name, text, e);
}
