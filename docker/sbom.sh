#!/bin/sh
# Prints what an image of Debian or Ubuntu is made of, as SPDX 2.3 in JSON: its packages as dpkg has them, and our
# programs. Run in the image as it is built (docker/Dockerfile): needs dpkg, awk and sha256sum alone.
#
#     sbom.sh BASE VERSION PROGRAM...      BASE: the name of the image below; VERSION: the programs'
set -eu
base=$1 version=$2
shift 2
. /etc/os-release

packages() {
    dpkg-query -W -f '${db:Status-Abbrev}\t${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n' |
        grep '^ii' | cut -f2-
    for program; do
        printf '%s\t%s\t\t%s\t%s\n' "${program##*/}" "$version" "$program" "$(sha256sum "$program" | cut -d' ' -f1)"
    done
}

# Lines of a Debian package: name, version, architecture, source, its version; of ours: name, version, nothing, path,
# SHA-256. Names and versions have no character that JSON escapes.
body() {
    packages "$@" | awk -F'\t' -v id="$ID" -v release="${VERSION_ID:-}" -v supplier="${NAME%% *}" \
        -v base="$base" -v version="$version" '
        function encoded(s) { gsub(/\+/, "%2B", s); gsub(/:/, "%3A", s); return s }
        function ref_of(s) { gsub(/[^A-Za-z0-9.-]/, "-", s); return "SPDXRef-" s }
        function member(name, value) { return sprintf("\"%s\": \"%s\"", name, value) }
        function package(ref, name, more) {
            printf "%s\n    {%s, %s, %s, \"filesAnalyzed\": false,\n     %s}", comma, member("SPDXID", ref),
                member("name", name), member("downloadLocation", "NOASSERTION"), more
            comma = ","
        }
        # A slim image lacks the few that are a link to the folder of another package.
        function licence(path,  line, got) {
            got = getline line <path
            close(path)
            return got < 0 ? "" : ",\n     " member("licenseComments", path)
        }
        BEGIN {
            print "  \"packages\": ["
            package("SPDXRef-image", "qdrant-efs-image",
                    member("versionInfo", version) ", " member("primaryPackagePurpose", "CONTAINER"))
            package("SPDXRef-base", base, member("primaryPackagePurpose", "CONTAINER"))
        }
        $3 == "" {
            package(ids[++n] = ref_of("program-" $1), $1,
                    member("versionInfo", $2) ", " member("packageFileName", $4) ",\n     " \
                    member("primaryPackagePurpose", "APPLICATION") ", " member("licenseDeclared", "Apache-2.0") \
                    ",\n     \"checksums\": [{\"algorithm\": \"SHA256\", " member("checksumValue", $5) "}]")
            next
        }
        {
            purl = "pkg:deb/" id "/" encoded($1) "@" encoded($2) "?arch=" $3 "&distro=" id "-" release
            package(ids[++n] = ref_of("deb-" $1 "-" $3), $1,
                    member("versionInfo", $2) ", " member("supplier", "Organization: " supplier) \
                    ",\n     " member("sourceInfo", "built package from: " $4 " " $5) \
                    licence("/usr/share/doc/" $1 "/copyright") \
                    ",\n     \"externalRefs\": [{" member("referenceCategory", "PACKAGE-MANAGER") ", " \
                    member("referenceType", "purl") ",\n      " member("referenceLocator", purl) "}]")
        }
        function relation(a, what, b) {
            printf "%s\n    {%s, %s, %s}", comma, member("spdxElementId", a), member("relationshipType", what),
                member("relatedSpdxElement", b)
            comma = ","
        }
        END {
            print "\n  ],\n  \"relationships\": ["
            comma = ""
            relation("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-image")
            relation("SPDXRef-image", "DESCENDANT_OF", "SPDXRef-base")
            for (i = 1; i <= n; i++)
                relation("SPDXRef-image", "CONTAINS", ids[i])
            print "\n  ]"
        }'
}

made=$(body "$@")
cat <<END
{
  "spdxVersion": "SPDX-2.3",
  "dataLicense": "CC0-1.0",
  "SPDXID": "SPDXRef-DOCUMENT",
  "name": "qdrant-efs-image-$version",
  "documentNamespace": "https://spdx.org/spdxdocs/qdrant-efs-image-$version-$(printf %s "$made" | sha256sum | cut -c1-32)",
  "creationInfo": {
    "created": "$(date -u -d "@${SOURCE_DATE_EPOCH:-$(date +%s)}" +%Y-%m-%dT%H:%M:%SZ)",
    "creators": ["Tool: qdrant-efs-$version"]
  },
$made
}
END
