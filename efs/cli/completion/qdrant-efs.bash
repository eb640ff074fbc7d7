# bash completion for qdrant-efs, which knows its commands, flags, and what is on EFS.
_qdrant_efs()
{
    # From the line, since bash parts its words at colons and equals signs, too.
    local line=${COMP_LINE:0:COMP_POINT} words value i
    read -a words <<<"$line"
    [[ $line == *[!\\][[:space:]] ]] && words+=("")
    mapfile -t COMPREPLY < <("${words[0]}" complete "${words[@]:1}" 2>/dev/null)
    value=${words[-1]}
    [[ $value == --*=* ]] && value=${value#*=}
    for i in "${!COMPREPLY[@]}"; do
        # What stands before the last colon is there already.
        [[ $value == *:* && $COMP_WORDBREAKS == *:* ]] && COMPREPLY[i]=${COMPREPLY[i]#"${value%"${value##*:}"}"}
        printf -v "COMPREPLY[i]" %q "${COMPREPLY[i]}"
    done
}
complete -o default -F _qdrant_efs qdrant-efs
