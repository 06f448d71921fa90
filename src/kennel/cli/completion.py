"""Shell completion: verbs here, settings and configs by Hydra's own query."""

from __future__ import annotations

from collections.abc import Sequence

BASH = """\
_kennel_complete() {
    local word="${COMP_WORDS[COMP_CWORD]}"
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "@VERBS@" -- "$word"))
    elif [ "${COMP_WORDS[1]}" = train ]; then
        local line="kennel ${COMP_LINE#*train}"
        COMPREPLY=($(compgen -o default -W "$(COMP_LINE="$line" kennel train -sc query=bash
        2>/dev/null)" -- "$word"))
    else
        COMPREPLY=($(compgen -o default -- "$word"))
    fi
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -o nospace -o default -F _kennel_complete kennel"""


def script(shell: str, verbs: Sequence[str]) -> str:
    """What `eval` takes in `shell`, "bash" or "zsh"."""
    bash = BASH.replace("@VERBS@", " ".join(verbs))
    return bash if shell == "bash" else f"autoload -U +X bashcompinit && bashcompinit\n{bash}"
