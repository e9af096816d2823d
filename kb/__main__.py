"""``python -m kb`` is ``kbqa``."""

from kb.cli import main

if __name__ == "__main__":
    main()
