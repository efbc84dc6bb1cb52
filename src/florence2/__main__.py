"""``python -m florence2``: the command, for ``torchrun`` and for where no script is installed."""

from .cli import main

if __name__ == "__main__":
    main()
