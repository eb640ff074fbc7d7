# fish completion for qdrant-efs, which knows its commands, flags, and what is on EFS.
complete -c qdrant-efs -a '(set -l words (commandline -opc); $words[1] complete $words[2..] (commandline -ct) 2>/dev/null)'
