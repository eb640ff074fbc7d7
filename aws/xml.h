/* The small XML documents that S3 answers with, read by libxml2: no network, no entities, no document type.
 * Namespaces are not looked at, since S3's own servers do not agree on them. */
#ifndef AWS_XML_H
#define AWS_XML_H
#include <libxml/tree.h>
#include <stdbool.h>
#include <stddef.h>

xmlDoc *xml_parse(const char *text, size_t n); /* NULL: not well formed, or with a document type */
static inline void xml_freep(xmlDoc **d) { xmlFreeDoc(*d); }
#define cleanup_xml __attribute__((cleanup(xml_freep)))
/* The root element, if that is its name. */
xmlNode *xml_root(xmlDoc *doc, const char *name);
/* The first child element of that name, and the next one beside it; NULL when there is none. `parent` may be
 * NULL. */
xmlNode *xml_child(const xmlNode *parent, const char *name);
xmlNode *xml_next(const xmlNode *node);
/* The text of a child; false when it is missing or does not fit. */
bool xml_text(const xmlNode *parent, const char *name, char *out, size_t size);
#endif
