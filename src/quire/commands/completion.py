"""`quire completion`: scripts by which shells complete command lines, made from the parser of the commands.

A script names every command and flag, and for values and arguments whether they are files, directories, projects or one
of a few words. Projects are asked of `quire ls`, which finds the store as every other command does.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

_KINDS = {
    **dict.fromkeys(("FILE", "HTML_FILE"), "file"),
    **dict.fromkeys(("DIR", "DIRECTORY", "FOLDER", "SOURCE"), "directory"),
    "PROJECT": "project",
}
_PROJECTS = "quire ls 2>/dev/null | cut -f1"


@dataclass(frozen=True, slots=True)
class _Word:
    """A flag with its value, or an argument."""

    flags: tuple[str, ...]
    """Empty for an argument."""
    kind: str
    """The kind of its value: `file`, `directory`, `project`, `choice`, `other`; empty for a flag without one."""
    choices: tuple[str, ...]
    help: str
    repeats: bool


@dataclass(frozen=True, slots=True)
class _Known:
    """A command."""

    name: str
    help: str
    words: tuple[_Word, ...]

    @property
    def flags(self) -> list[_Word]:
        return [word for word in self.words if word.flags]

    @property
    def arguments(self) -> list[_Word]:
        return [word for word in self.words if not word.flags]


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `completion`."""
    text = "print a script that completes quire's command lines in a shell"
    parser = subparsers.add_parser(
        "completion",
        help=text,
        description=f"{text[:1].upper()}{text[1:]}. In ~/.bashrc or ~/.zshrc: source <(quire completion bash), or zsh. "
        "For fish: quire completion fish > ~/.config/fish/completions/quire.fish",
    )
    parser.set_defaults(commands=subparsers)
    parser.add_argument("shell", choices=sorted(_SCRIPTS), metavar="SHELL", help=", ".join(sorted(_SCRIPTS)))


def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    print(_SCRIPTS[arguments.shell](_commands(arguments.commands)), end="")
    return 0


def _commands(action: argparse._SubParsersAction[Any]) -> list[_Known]:
    helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
    return [_Known(name, helps[name], tuple(_words(found))) for name, found in action.choices.items()]


def _words(parser: argparse.ArgumentParser) -> Iterator[_Word]:
    for action in parser._actions:
        if action.help is argparse.SUPPRESS:
            continue
        metavar = action.metavar if isinstance(action.metavar, str) else ""
        choices = tuple(map(str, action.choices)) if action.choices is not None else ()
        kind = "" if action.nargs == 0 else "choice" if choices else _KINDS.get(metavar, "other")
        # as argparse prints it, with %(default)s and %% filled in; completion lists show one line of it
        text = parser._get_formatter()._expand_help(action) if action.help else ""
        flags = tuple(action.option_strings)
        yield _Word(flags, kind, choices, text.partition(";")[0], action.nargs in {"*", "+"})


# -- bash -------------------------------------------------------------------------------------------------------------


def _bash(commands: Sequence[_Known]) -> str:
    lines = [
        "# bash completion for quire: source <(quire completion bash)",
        "_quire() {",
        "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}",
        "    local words= kind=",
        "    if (( COMP_CWORD == 1 )); then",
        f"        words={shlex.quote(' '.join([*(each.name for each in commands), '--help', '--version']))}",
        "    else",
        "        case $command in",
    ]
    for command in commands:
        lines += [f"        {command.name})", "            case $prev in"]
        for flag in command.flags:
            if flag.kind:
                lines.append(f"                {'|'.join(flag.flags)}) {_bash_value(flag)} ;;")
        flags = " ".join(name for flag in command.flags for name in flag.flags)
        first = command.arguments[:1]
        lines += [
            f"                *) {_bash_value(first[0]) if first else 'kind=other'}",
            f"                   [[ $cur == -* ]] && kind= words={shlex.quote(flags)} ;;",
            "            esac ;;",
        ]
    lines += [
        "        esac",
        "    fi",
        "    case $kind in",
        '        file) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); compopt -o filenames 2>/dev/null ;;',
        '        directory) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); compopt -o filenames 2>/dev/null ;;',
        f'        project) mapfile -t COMPREPLY < <(compgen -W "$({_PROJECTS})" -- "$cur") ;;',
        '        *) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur") ;;',
        "    esac",
        "}",
        "complete -F _quire quire",
    ]
    return "\n".join(lines) + "\n"


def _bash_value(word: _Word) -> str:
    return f"kind=other words={shlex.quote(' '.join(word.choices))}" if word.choices else f"kind={word.kind}"


# -- zsh --------------------------------------------------------------------------------------------------------------


def _zsh(commands: Sequence[_Known]) -> str:
    lines = [
        "#compdef quire",
        "# zsh completion for quire: source <(quire completion zsh)",
        "_quire_projects() {",
        f"    compadd -- $({_PROJECTS})",
        "}",
        "_quire() {",
        "    local state line",
        "    typeset -A opt_args",
        "    _arguments -C '(- *)'{-h,--help}'[show the help]' '(- *)--version[show the version]' \\",
        "        '1:command:->command' '*::argument:->argument'",
        "    case $state in",
        "    command)",
        "        local -a commands=(",
        *(f"            {shlex.quote(f'{each.name}:{_zsh_text(each.help)}')}" for each in commands),
        "        )",
        "        _describe command commands ;;",
        "    argument)",
        "        case $words[1] in",
    ]
    for command in commands:
        specs = [_zsh_flag(flag) for flag in command.flags]
        specs += [
            shlex.quote(f"{'*' if word.repeats else place}:argument:{_zsh_value(word)}")
            for place, word in enumerate(command.arguments, 1)
        ]
        body = " \\\n                ".join(specs)
        lines += [f"        {command.name})", f"            _arguments \\\n                {body} ;;"]
    lines += [
        "        esac ;;",
        "    esac",
        "}",
        'if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _quire "$@"; else compdef _quire quire; fi',
    ]
    return "\n".join(lines) + "\n"


def _zsh_flag(flag: _Word) -> str:
    value = f":value:{_zsh_value(flag)}" if flag.kind else ""
    text = f"[{_zsh_text(flag.help)}]{value}"
    names = " ".join(flag.flags)
    if len(flag.flags) == 1:
        return shlex.quote(f"{names}{text}")
    return f"'({names})'{{{','.join(flag.flags)}}}{shlex.quote(text)}"


def _zsh_value(word: _Word) -> str:
    if word.choices:
        return f"({' '.join(word.choices)})"
    return {"file": "_files", "directory": "_files -/", "project": "_quire_projects"}.get(word.kind, " ")


def _zsh_text(text: str) -> str:
    """The text without the characters that have a meaning in a specification of zsh's `_arguments`."""
    return "".join(" " if character in "[]:\\" else character for character in text)


# -- fish -------------------------------------------------------------------------------------------------------------


def _fish(commands: Sequence[_Known]) -> str:
    lines = [
        "# fish completion for quire: quire completion fish > ~/.config/fish/completions/quire.fish",
        "complete -c quire -f",
        "complete -c quire -n __fish_use_subcommand -l version -d 'show the version'",
    ]
    first = "complete -c quire -n __fish_use_subcommand"
    lines += [f"{first} -a {command.name} -d {_fish_text(command.help)}" for command in commands]
    for command in commands:
        start = f"complete -c quire -n '__fish_seen_subcommand_from {command.name}'"
        for flag in command.flags:
            names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in flag.flags)
            value = f" -r{_fish_value(flag)}" if flag.kind else ""
            lines.append(f"{start} {names}{value} -d {_fish_text(flag.help)}")
        lines += [f"{start}{value}" for word in command.arguments[:1] if (value := _fish_value(word))]
    return "\n".join(lines) + "\n"


def _fish_value(word: _Word) -> str:
    if word.choices:
        return f" -a {_fish_text(' '.join(word.choices))}"
    return {
        "file": " -F",
        "directory": " -a '(__fish_complete_directories)'",
        "project": f" -a '({_PROJECTS})'",
    }.get(word.kind, "")


def _fish_text(text: str) -> str:
    """Quoted as fish does it, which knows no other escape in single quotes than these (fish, Quotes)."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


_SCRIPTS = {"bash": _bash, "zsh": _zsh, "fish": _fish}
