"""`unidet completion SHELL`: what makes a shell complete the command's words."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from unidet.pipelines.verbs.support.verb import Compose, Verb


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "shell",
        choices=("bash", "zsh"),
        help='for ~/.bashrc, ~/.zshrc: eval "$(unidet completion bash)"',
    )


def run(options: Namespace, compose: Compose) -> int:
    from unidet.pipelines.verbs.support.completion import script

    print(script(options.shell, compose([])), end="")
    return 0


VERB = Verb(
    group="This machine",
    summary="print the completion script for bash or zsh",
    example="unidet completion bash",
    run=run,
    add_arguments=add_arguments,
    takes_overrides=False,
)
