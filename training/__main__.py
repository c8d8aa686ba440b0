"""`python -m training`, and `qmedsam-train`, which `pip install -e training` adds: all commands by one name."""

import ast
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path


def commands() -> dict[str, str]:
    """What each does in a sentence, by its name: the modules of this folder."""
    modules = sorted(path for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))
    return {path.stem: _first_sentence(ast.get_docstring(ast.parse(path.read_text())) or "") for path in modules}


def _first_sentence(docstring: str) -> str:
    return docstring.partition("\n")[0].partition(". ")[0].rstrip(".:")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the first argument says; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    known = commands()
    if arguments and arguments[0] in known:
        status: int = import_module(f"training.{arguments[0]}").main(arguments[1:])
        return status
    told = "\n".join(f"  {name:<12} {summary}" for name, summary in known.items())
    usage = f"usage: qmedsam-train COMMAND ...\n\n{told}\n\n`qmedsam-train COMMAND --help` says what it takes."
    if arguments and arguments[0] in ("-h", "--help"):
        print(usage)
        return 0
    wrong = f"no command '{arguments[0]}'" if arguments else "a command is needed"
    print(f"{usage}\n\nerror: {wrong}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
