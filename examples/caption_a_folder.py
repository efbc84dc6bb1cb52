"""Write captions of all images of a directory, for training an image generator.

    python examples/caption_a_folder.py photos --trigger ohwx --model microsoft/Florence-2-base-ft

``captioned/sidecars`` gets a copy of each image with a text beside it. A run that was stopped
resumes when the script is started again: images that are done are not predicted again.
"""

import argparse
from pathlib import Path

import florence2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", help="a directory, a file or a pattern")
    parser.add_argument("--out", type=Path, default=Path("captioned"))
    parser.add_argument("--model", default="nano", help="a Hub id, a directory, or nano")
    parser.add_argument("--task", default="detailed-caption", help="how long a caption is")
    parser.add_argument("--trigger", default="", help="the first word of every caption")
    arguments = parser.parse_args()

    config = florence2.LabelConfig(
        model=arguments.model, formats=("sidecars",), trigger=arguments.trigger
    )
    outcome = florence2.label(
        arguments.images, arguments.task, out=arguments.out, resume=True, config=config
    )
    for image, error in outcome.failed.items():
        print(f"{image}: {error}")
    for text in sorted((arguments.out / "sidecars").rglob("*.txt")):
        print(f"{text}: {text.read_text('utf-8').strip()}")


if __name__ == "__main__":
    main()
