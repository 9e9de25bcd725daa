"""The script that completes verbs, options, stages, configuration files and keys in a shell.

All words are in the script: completing starts no Python.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from unidet import conf
from unidet.config.study import Config
from unidet.pipelines.engine.graph import STAGES
from unidet.pipelines.verbs.support.arguments import parser_of
from unidet.pipelines.verbs.support.verb import load, names

_SCRIPT = """\
# Completion of unidet. In ~/.{shell}rc: eval "$(unidet completion {shell})"
{start}_unidet_keys="{keys}"
_unidet() {{
    local line=${{COMP_LINE:0:$COMP_POINT}}
    local word=${{line##* }} keys="$_unidet_keys" words key rest part
    case $line in
{cases}
    *" "*" "*) words="" ;;
    *) words="{first}" ;;
    esac
    # of keys the next part alone: rpn= and rpn., then rpn.network.
    for key in $(compgen -W "$keys" -- "$word"); do
        [[ $key == "$word"* ]] || continue  # zsh's compgen lets others through
        rest=${{key#"$word"}}
        part=${{rest%%[.=]*}}
        words+=" $word$part${{rest:${{#part}}:1}}"
    done
    COMPREPLY=($(compgen -W "$words" -- "$word" | sort -u))
    [[ ${{COMPREPLY[*]-}} == *[.=] ]] && compopt -o nospace 2>/dev/null
    # bash replaces only what stands behind the last = or :
    if [[ -n ${{BASH_VERSION-}} ]]; then
        part=${{word%"${{word##*[=:]}}"}}
        COMPREPLY=("${{COMPREPLY[@]#"$part"}}")
    fi
}}
complete -o default{options} -F _unidet unidet
"""
_ZSH_START = "autoload -U +X bashcompinit && bashcompinit\n"


def script(shell: str, config: Config) -> str:
    """The text for `bash` or `zsh`; `config` says which keys there are."""
    verbs = {name: load(name) for name in names()}
    cases = []
    for name, verb in verbs.items():
        parser = parser_of(name, verb)
        words = sorted(option for action in parser._actions for option in action.option_strings)
        words += STAGES if verb.takes_overrides else []
        keys = "" if verb.takes_overrides else " keys="
        cases.append(f'    "unidet {name} "*) words="{" ".join(words)}"{keys} ;;')
    return _SCRIPT.format(
        shell=shell,
        start=_ZSH_START if shell == "zsh" else "",
        options=" -o nospace" if shell == "zsh" else "",  # which has no compopt
        cases="\n".join(cases),
        keys=" ".join(_overrides(config)),
        first=" ".join([*verbs, "-h", "-m", "--version"]),
    )


def _overrides(config: Config) -> Iterator[str]:
    """`stage=roi` and the like, the files of `conf/` as values, and every key."""
    yield from (f"stage={name}" for name in STAGES)
    for folder in sorted(files(conf).iterdir(), key=lambda entry: entry.name):
        if folder.is_dir() and hasattr(config, folder.name):
            pages = sorted(page.name for page in folder.iterdir() if page.name.endswith(".yaml"))
            yield from (f"{folder.name}={page.removesuffix('.yaml')}" for page in pages)
    yield from (f"{key}=" for key in _keys(asdict(config)) if key != "stage")


def _keys(values: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Dotted names of all values."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _keys(value, f"{above}{name}.")
        else:
            yield f"{above}{name}"
