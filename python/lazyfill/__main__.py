"""`python -m lazyfill` and the command `lazyfill`: the program, which lies in the package."""

import os
import pathlib
import sys


def main() -> None:
    """Becomes the program, with its arguments and exit codes."""
    program = pathlib.Path(__file__).with_name("bin") / "lazyfill"
    try:
        os.execv(program, ["lazyfill", *sys.argv[1:]])
    except OSError as error:
        sys.exit(f"lazyfill: the program {program} cannot be started ({error.strerror}): install the package again")


if __name__ == "__main__":
    main()
