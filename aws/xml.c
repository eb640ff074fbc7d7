#include "aws/xml.h"
#include <libxml/parser.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

xmlDoc *xml_parse(const char *text, size_t n)
{
    if (n > INT_MAX)
        return NULL;
    xmlDoc *doc =
        xmlReadMemory(text, (int)n, NULL, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    if (doc && (doc->intSubset || doc->extSubset)) { /* where entities would be defined */
        xmlFreeDoc(doc);
        return NULL;
    }
    return doc;
}

static bool is(const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0;
}

xmlNode *xml_root(xmlDoc *doc, const char *name)
{
    xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;
    return root && is(root, name) ? root : NULL;
}

static xmlNode *from(xmlNode *node, const char *name)
{
    while (node && !is(node, name))
        node = node->next;
    return node;
}

xmlNode *xml_child(const xmlNode *parent, const char *name)
{
    return parent ? from(parent->children, name) : NULL;
}

xmlNode *xml_next(const xmlNode *node) { return from(node->next, (const char *)node->name); }

bool xml_text(const xmlNode *parent, const char *name, char *out, size_t size)
{
    const xmlNode *node = xml_child(parent, name);
    xmlChar *text = node ? xmlNodeGetContent(node) : NULL;
    bool ok = text && (size_t)snprintf(out, size, "%s", (const char *)text) < size;
    xmlFree(text);
    return ok;
}
