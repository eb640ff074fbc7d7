#!/bin/sh
# Prints task-definition.json with each ${NAME} replaced from the environment; fails if one is not set.
#
#     export ARCHITECTURE=X86_64 …       (or ARM64; `render.sh --names` lists them all)
#     docker/fargate/render.sh >task.json && aws ecs register-task-definition --cli-input-json file://task.json
set -eu
file=$(dirname "$0")/task-definition.json
case ${1:-} in
--names) exec jq -r '[.. | strings | scan("\\$\\{([A-Z_]+)\\}")[]] | unique[]' "$file" ;;
'') ;;
*) echo "usage: $0 [--names]" >&2; exit 64 ;;
esac
# By jq, so that no value can break out of its string.
exec jq 'walk(if type == "string"
              then gsub("\\$\\{(?<name>[A-Z_]+)\\}";
                        .name as $name | env[$name] // "" |
                        if . == "" then error($name + " is not set") else . end)
              else . end)' "$file"
